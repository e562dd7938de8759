package history

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"rollcall/probe"
)

// State is how a target is, and what a result says.
type State string

// The states.
const (
	StateUp      State = "up"
	StateDown    State = "down"
	StateUnknown State = "unknown" // no verdict: see the package comment
)

// Range is how far back an overview looks.
type Range string

// The ranges, and into how many buckets an overview cuts them.
const (
	Range24h Range = "24h" // 48 buckets of 30 minutes
	Range7d  Range = "7d"  // 56 of 3 hours
	Range30d Range = "30d" // 30 of a day
	Range90d Range = "90d" // 90 of a day
)

// Ranges lists them, the shortest first.
func Ranges() []Range { return []Range{Range24h, Range7d, Range30d, Range90d} }

// ParseRange reads a range as it stands in a URL.
func ParseRange(s string) (Range, error) {
	if r := Range(s); slices.Contains(Ranges(), r) {
		return r, nil
	}
	return "", fmt.Errorf("%q is no range; accepted: 24h, 7d, 30d, 90d", s)
}

// Buckets is the number of buckets and the width of each. Buckets begin at multiples of their width, in UTC.
func (r Range) Buckets() (n int, width time.Duration) {
	switch r {
	case Range7d:
		return 56, 3 * time.Hour
	case Range30d:
		return 30, 24 * time.Hour
	case Range90d:
		return 90, 24 * time.Hour
	default:
		return 48, 30 * time.Minute
	}
}

// Span is the range that ends in the bucket of now: from the start of its first bucket to now.
func (r Range) Span(now time.Time) (from, to time.Time) {
	n, width := r.Buckets()
	return now.UTC().Truncate(width).Add(width - time.Duration(n)*width), now.UTC()
}

// Counts is a number of turns.
type Counts struct {
	Up, Down, Unknown uint32
}

// Known is the number of verdicts.
func (c Counts) Known() int { return int(c.Up) + int(c.Down) }

// Uptime is up/known, from 0 to 1; ok is false when nothing is known.
func (c Counts) Uptime() (ratio float64, ok bool) {
	if c.Known() == 0 {
		return 0, false
	}
	return float64(c.Up) / float64(c.Known()), true
}

// UnknownShare is unknown/all, from 0 to 1; 0 when there was no turn.
func (c Counts) UnknownShare() float64 {
	all := c.Known() + int(c.Unknown)
	if all == 0 {
		return 0
	}
	return float64(c.Unknown) / float64(all)
}

// Add counts what o counts, too.
func (c *Counts) Add(o Counts) {
	c.Up, c.Down, c.Unknown = c.Up+o.Up, c.Down+o.Down, c.Unknown+o.Unknown
}

// Result is one turn.
type Result struct {
	Time       time.Time // when the probe began
	State      State
	Duration   time.Duration // 0 when unknown
	Phases     probe.Phases
	Stage      probe.Stage // empty: not down
	Reason     probe.Reason
	StatusCode int       // HTTP; 0: none
	CertExpiry time.Time // earliest of the certificates that were presented; zero: none
}

// Overview is how all configured targets are.
type Overview struct {
	Range    Range
	From, To time.Time     // what the buckets and counts cover
	Step     time.Duration // a bucket's width; the last one is as long as it has lasted
	Targets  []Summary     // in the order of Apply
}

// Summary is how one target is, with what a range says about it.
type Summary struct {
	ID     string
	Target probe.Target // Target.Target without userinfo
	State  State
	Since  time.Time // start of the state; zero: never probed
	Last   Result    // last turn; zero Time: none yet
	// Buckets are the counts of the range, the oldest first, as many as Range.Buckets says. A bucket before the first
	// result is all zero.
	Buckets []Counts
	Counts  Counts        // their sum
	Typical time.Duration // median duration of today and yesterday, in UTC; 0: no verdict
	// Incident is the ID of the open incident; empty: none.
	Incident string

	// Not from the history, but from who alerts: whether the target is under maintenance now, and how others see the
	// open incident (empty: not known).
	Maintenance bool
	Opinion     string
}

// Series is one target over time.
type Series struct {
	Target   probe.Target
	From, To time.Time
	Step     time.Duration // as asked for, or longer where the finer data is gone (see Points)
	Points   []Point       // one for each step from From to To, also the empty ones
	Counts   Counts        // their sum
	P50, P95 time.Duration // over the whole; 0: no verdict
}

// Point is a step: all results with Time <= their time < Time+Step. The durations are of the results with a verdict, up
// or down, and 0 when there is none.
type Point struct {
	Time     time.Time
	Counts   Counts
	Min      time.Duration
	Mean     time.Duration
	P50, P95 time.Duration
	Max      time.Duration
	Phases   probe.Phases // means
}

// Incident is a time in which a target was down: from the first down result after an up one (or the first ever) to the
// next up one. Unknown time does not end it.
type Incident struct {
	ID       string // probe.IncidentID of the target without userinfo and From
	TargetID string
	Target   probe.Target // Target.Target without userinfo; only the identity when the target left the configuration
	From     time.Time
	To       time.Time    // zero: open
	Last     time.Time    // last down result
	Left     bool         // ended because the target left the configuration, at its last result
	Stage    probe.Stage  // of the first failing probe
	Reason   probe.Reason // of the first failing probe
	Failures int          // down results in it; 0: not known
	// Evidence is what the first failing probe saw, and Good the last good probe before it; only Incident (not
	// Incidents) returns them. Nil: not kept, because the target flaps (see EvidenceOf), or gone by size, or, for
	// Good, there was none since the start.
	Evidence *Evidence
	Good     *Evidence
	// EvidenceOf is the ID of a former incident of the target, minutes ago, that has the evidence; empty: this one.
	EvidenceOf string
	// Opinion is how others saw the target, from who alerts; empty: not known.
	Opinion string `json:",omitempty"`
}

// Duration is how long the incident lasted, or has lasted at now.
func (i Incident) Duration(now time.Time) time.Duration {
	if !i.To.IsZero() {
		now = i.To
	}
	return max(now.Sub(i.From), 0)
}

// Evidence is what one probe saw, bounded and without secrets.
type Evidence struct {
	Time     time.Time
	Prober   string
	Duration time.Duration
	Timeout  time.Duration
	Stage    probe.Stage // empty: up
	Reason   probe.Reason
	Error    string // cause, for a person; empty: up
	Phases   probe.Phases
	Resolved bool   // a name or address was resolved
	Address  string // which was dialled first; empty: none
	// Addresses are all of a name that has several.
	Addresses []netip.Addr `json:",omitempty"`
	HTTP      *probe.HTTPFacts
	TCP       *probe.TCPFacts
	ICMP      *probe.ICMPFacts
	DNS       *probe.DNSFacts
	GRPC      *probe.GRPCFacts      `json:",omitempty"`
	WebSocket *probe.WebSocketFacts `json:",omitempty"`
	TLS       *probe.TLSFacts
	Chain     []Certificate // what the peer presented, the leaf first; nil: nothing, or a good probe
	Steps     []probe.Step  // of the trace, if the probe carried one
}

// Certificate is one of a chain.
type Certificate struct {
	Facts         probe.CertificateFacts
	Start, Expiry time.Time
}

// IncidentFilter selects incidents; its zero value selects all.
type IncidentFilter struct {
	TargetID string // empty: any
	Open     bool   // only those that are not over
}

// Status is how the history itself is, for a page.
type Status struct {
	Kind    string    // "embedded" or "prometheus"
	Problem string    // why history is not read or kept now; empty: it is
	Since   time.Time // of the problem
	Loading bool      // the store is being read after the start: overviews are not complete
	Oldest  time.Time // first time of which anything is known; zero: nothing yet
	Results time.Time // first time of which single results are known
	Bytes   int64     // on disk; 0 when not embedded
}

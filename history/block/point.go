package block

import (
	"encoding/binary"
	"errors"
	"time"

	"rollcall/history"
	"rollcall/probe"
)

// ErrFormat is returned for bytes that are not what this package writes.
var ErrFormat = errors.New("the row is damaged")

// State of a point.
type State uint8

// The states. The zero State is Unknown.
const (
	Unknown State = iota
	Up
	Down
)

// Counts is one turn of the state.
func (s State) Counts() history.Counts {
	switch s {
	case Up:
		return history.Counts{Up: 1}
	case Down:
		return history.Counts{Down: 1}
	}
	return history.Counts{Unknown: 1}
}

// Public is the state as pages have it.
func (s State) Public() history.State {
	switch s {
	case Up:
		return history.StateUp
	case Down:
		return history.StateDown
	}
	return history.StateUnknown
}

const phaseCount = 5

// Failure is a stage and a reason. Its zero value is none.
type Failure struct {
	Stage  probe.Stage
	Reason probe.Reason
}

// Point is a turn as it is kept.
type Point struct {
	Turn
	State    State
	Duration Code             // fine
	Phases   [phaseCount]Code // coarse
	Status   uint16           // HTTP; 0: none
	Failure  *Failure         // not changed; nil: none. Three points stand in memory for each target, and most are up.
	Expiry   int64            // of the certificate, Unix seconds; 0: none
}

// Cause is the failure; its zero value is none.
func (p *Point) Cause() Failure {
	if p.Failure == nil {
		return Failure{}
	}
	return *p.Failure
}

// NewPoint is what is kept of a turn that came to a verdict.
func NewPoint(r *probe.Result, interval int64) Point {
	p := Point{Turn: Turn{r.Start.UnixMilli(), interval}, State: Up, Duration: EncodeDuration(r.Duration, Fine)}
	for i, d := range [phaseCount]time.Duration{r.Phases.Resolve, r.Phases.Connect, r.Phases.TLS, r.Phases.Processing, r.Phases.Transfer} {
		p.Phases[i] = EncodeDuration(d, Coarse)
	}
	if f := r.Failure; f != nil {
		p.State, p.Failure = Down, &Failure{f.Stage, f.Reason}
	}
	if r.HTTP != nil && r.HTTP.StatusCode > 0 && r.HTTP.StatusCode < 1<<16 {
		p.Status = uint16(r.HTTP.StatusCode)
	}
	if r.TLS != nil && !r.TLS.EarliestExpiry.IsZero() {
		p.Expiry = r.TLS.EarliestExpiry.Unix()
	}
	return p
}

// Result is the point as it is shown.
func (p *Point) Result() history.Result {
	r := history.Result{
		Time: TimeOf(p.Time), State: p.State.Public(), Duration: microseconds(p.Duration.micros(Fine)), StatusCode: int(p.Status),
		Phases: phasesOf(func(i int) int64 { return p.Phases[i].micros(Coarse) }),
	}
	if p.Failure != nil {
		r.Stage, r.Reason = p.Failure.Stage, p.Failure.Reason
	}
	if p.Expiry != 0 {
		r.CertExpiry = time.Unix(p.Expiry, 0).UTC()
	}
	return r
}

// phasesOf makes phases from microseconds.
func phasesOf(phase func(int) int64) probe.Phases {
	return probe.Phases{
		Resolve: microseconds(phase(0)), Connect: microseconds(phase(1)), TLS: microseconds(phase(2)),
		Processing: microseconds(phase(3)), Transfer: microseconds(phase(4)),
	}
}

// What a point in a stream has that the one before it has not.
const (
	hasInterval = 1 << (iota + 2) // below it: the state
	hasPhases
	hasStatus
	hasFailure
	hasExpiry
)

// AppendPoint writes p after the point before, the zero Point for none. It is for what is short-lived; a block is half as
// long.
func AppendPoint(b []byte, before, p *Point) []byte {
	flags := byte(p.State)
	if p.Interval != before.Interval {
		flags |= hasInterval
	}
	if p.Phases != [phaseCount]Code{} {
		flags |= hasPhases
	}
	if p.Status != before.Status {
		flags |= hasStatus
	}
	cause := p.Cause()
	if cause != before.Cause() {
		flags |= hasFailure
	}
	if p.Expiry != before.Expiry {
		flags |= hasExpiry
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, p.Time-before.Time-before.Interval)
	if flags&hasInterval != 0 {
		b = binary.AppendVarint(b, p.Interval)
	}
	if p.State != Unknown {
		b = binary.AppendUvarint(b, uint64(p.Duration))
	}
	if flags&hasPhases != 0 {
		for _, c := range p.Phases {
			b = binary.AppendUvarint(b, uint64(c))
		}
	}
	if flags&hasStatus != 0 {
		b = binary.AppendUvarint(b, uint64(p.Status))
	}
	if flags&hasFailure != 0 {
		b = appendString(b, string(cause.Stage))
		b = appendString(b, string(cause.Reason))
	}
	if flags&hasExpiry != 0 {
		b = binary.AppendVarint(b, p.Expiry)
	}
	return b
}

// ReadPoint reads what AppendPoint wrote from the beginning of b, which is not empty, and returns the rest. p is the point
// before and becomes the next.
func ReadPoint(b []byte, p *Point) (rest []byte, err error) {
	r := reader{rest: b}
	r.readPoint(p)
	if r.bad {
		return nil, ErrFormat
	}
	return r.rest, nil
}

func (r *reader) readPoint(p *Point) {
	flags := r.byte()
	p.Time += p.Interval + r.varint()
	if flags&hasInterval != 0 {
		p.Interval = r.interval()
	}
	p.Duration, p.Phases = 0, [phaseCount]Code{}
	if p.State = State(flags & 3); p.State > Down {
		r.bad = true
	}
	if p.State != Unknown {
		p.Duration = r.code()
	}
	if flags&hasPhases != 0 {
		for i := range p.Phases {
			p.Phases[i] = r.code()
		}
	}
	if flags&hasStatus != 0 {
		p.Status = uint16(r.uvarint())
	}
	if flags&hasFailure != 0 {
		p.Failure = &Failure{probe.Stage(r.string()), probe.Reason(r.string())}
		if p.Cause() == (Failure{}) {
			p.Failure = nil
		}
	}
	if flags&hasExpiry != 0 {
		p.Expiry = r.varint()
	}
}

// Stream is points in the order in which they came, packed for memory.
type Stream struct {
	Before Point  // the point before the first; zero: none
	Bytes  []byte // each point after the one before it
}

// Append adds p; last is the last point of the stream, or Before. Memory is taken in small steps: of 100,000 streams, what
// append takes in advance would be a fourth of all.
func (s *Stream) Append(last, p *Point) {
	const step = 64 // bytes, more than most points have
	if n := len(s.Bytes); cap(s.Bytes)-n < step/2 {
		grown := make([]byte, n, n+step)
		copy(grown, s.Bytes)
		s.Bytes = grown
	}
	s.Bytes = AppendPoint(s.Bytes, last, p)
}

// Points unpacks the stream without its first skip bytes, which end with a point. before is the turn before the first.
func (s *Stream) Points(skip int) (points []Point, before Turn, err error) {
	r := reader{rest: s.Bytes}
	p := s.Before
	before = p.Turn
	for len(r.rest) > 0 {
		if r.readPoint(&p); r.bad {
			return points, before, ErrFormat
		}
		if len(s.Bytes)-len(r.rest) <= skip {
			before = p.Turn
		} else {
			points = append(points, p)
		}
	}
	return points, before, nil
}

// Cut removes the first n bytes, which end with the point end.
func (s *Stream) Cut(n int, end Point) {
	s.Bytes, s.Before = append([]byte(nil), s.Bytes[n:]...), end
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader reads a row. After an error it reads zeros, and bad is set.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() {
	r.bad, r.rest = true, nil
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		v := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// number reads a number of at most limit.
func (r *reader) number(limit uint64) uint64 {
	n := r.uvarint()
	if n > limit {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) count(limit int) int { return int(r.number(uint64(limit))) }

func (r *reader) code() Code { return Code(r.count(1<<16 - 1)) }

// interval reads an interval; a negative one would make negative spans.
func (r *reader) interval() int64 {
	v := r.varint()
	if v < 0 {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

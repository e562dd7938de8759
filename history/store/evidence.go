package store

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"rollcall/history"
	"rollcall/history/block"
	"rollcall/probe"
	"rollcall/probe/tlsclient"
	"rollcall/redact"
)

// What evidence may take.
const (
	maxEvidenceText  = 1 << 10 // of a single text
	maxEvidenceSteps = 8 << 10 // of all steps together
	maxExpects       = 20
	maxChain         = 10
)

// evidenceEvery is how often evidence of a target is kept, and newReasonEvery when the reason is another than the last one's.
// An incident that begins sooner refers to the former one.
const (
	evidenceEvery  = 10 * block.Minute
	newReasonEvery = 30 * block.Second
)

// newEvidence takes from a Record what explains it, without what must not be shown.
func newEvidence(r *probe.Record) *history.Evidence {
	result := &r.Result
	clean := cleaner(r.Target)
	e := &history.Evidence{
		Time: result.Start.UTC().Round(0), Prober: r.Prober, Duration: result.Duration, Timeout: r.Timeout, Phases: result.Phases,
		ICMP: result.ICMP, DNS: result.DNS, GRPC: result.GRPC, WebSocket: result.WebSocket, TLS: result.TLS,
	}
	if f := result.Failure; f != nil {
		e.Stage, e.Reason, e.Error = f.Stage, f.Reason, clean(f.Err.Error())
	}
	if result.Resolve != nil {
		e.Resolved, e.Addresses = true, result.Resolve.All
		if result.Resolve.Addr.IsValid() {
			e.Address = result.Resolve.Addr.String()
		}
	}
	if result.HTTP != nil {
		http := *result.HTTP
		http.FinalURL = clean(redact.URLs(http.FinalURL))
		e.HTTP = &http
	}
	if result.TCP != nil {
		tcp := *result.TCP
		tcp.Expects = tcp.Expects[:min(len(tcp.Expects), maxExpects)]
		e.TCP = &tcp
	}
	if result.TLS != nil {
		for _, c := range result.TLS.Presented[:min(len(result.TLS.Presented), maxChain)] {
			e.Chain = append(e.Chain, history.Certificate{Facts: tlsclient.CertificateFacts(c), Start: c.NotBefore.UTC(), Expiry: c.NotAfter.UTC()})
		}
	}
	size := 0
	for _, step := range r.Trace.Steps() {
		step.Text = clean(step.Text)
		if size += len(step.Text); size > maxEvidenceSteps {
			e.Steps = append(e.Steps, probe.Step{Time: step.Time.UTC().Round(0), Text: "further steps are left out"})
			break
		}
		e.Steps = append(e.Steps, probe.Step{Time: step.Time.UTC().Round(0), Text: step.Text})
	}
	return e
}

// cleaner returns a function that takes the target's userinfo out of a text and cuts it.
func cleaner(target string) func(string) string {
	redacted := redact.Target(target)
	var secrets []string
	if redacted != target {
		if u, err := url.Parse(target); err == nil && u.User != nil {
			password, _ := u.User.Password()
			secrets = []string{u.User.String(), u.User.Username() + ":" + password, password}
		}
	}
	return func(text string) string {
		if redacted != target {
			text = strings.ReplaceAll(text, target, redacted)
			text = redact.Text(text, secrets...)
		}
		text = strings.ToValidUTF8(text, "\uFFFD")
		if len(text) > maxEvidenceText {
			text = strings.ToValidUTF8(text[:maxEvidenceText], "") + "…"
		}
		return text
	}
}

// evidenceRow is what the file has of an incident's evidence.
type evidenceRow struct {
	Evidence *history.Evidence `json:",omitempty"`
	Good     *history.Evidence `json:",omitempty"`
}

func decodeEvidence(packed []byte) (*evidenceRow, error) {
	text, err := block.Unpack(packed, nil)
	if err != nil {
		return nil, err
	}
	row := new(evidenceRow)
	return row, json.Unmarshal(text, row)
}

// evidenceFor decides what to keep of the first failing probe of an incident that has just begun; r is nil when the file has
// it already.
func (l *live) evidenceFor(r *probe.Record, at int64) *evidenceRow {
	if last := l.Evidence; last != nil {
		pause := int64(evidenceEvery)
		if last.Reason != l.Incident.Reason {
			pause = newReasonEvery
		}
		if at >= last.At && at-last.At < pause {
			l.Incident.EvidenceOf = last.Of
			return nil
		}
	}
	l.Evidence = &evidenceMark{at, l.Incident.ID, l.Incident.Reason}
	if r == nil {
		return nil
	}
	row := &evidenceRow{Evidence: newEvidence(r)}
	if l.good.prober != "" {
		row.Good = newEvidence(l.good.record())
	}
	return row
}

// goodProbe is what evidence has of a good probe's Record. There is one for each target.
type goodProbe struct {
	target, prober    string // empty: there was none
	start             int64  // Unix nanoseconds
	duration, timeout time.Duration
	phases            probe.Phases
	addr              netip.Addr // invalid: nothing was resolved here
	http              *probe.HTTPFacts
	tcp               *probe.TCPFacts
	icmp              *probe.ICMPFacts
	dns               *probe.DNSFacts
	tls               *probe.TLSFacts
}

// keepGood remembers a good record for the evidence of the next incident, without its certificates, which take more memory
// than all else that is kept of a target.
func (l *live) keepGood(r *probe.Record) {
	result := &r.Result
	l.good = goodProbe{
		target: r.Target, prober: r.Prober, start: result.Start.UnixNano(), duration: result.Duration, timeout: r.Timeout, phases: result.Phases,
		http: result.HTTP, tcp: result.TCP, icmp: result.ICMP, dns: result.DNS, tls: result.TLS,
	}
	if result.Resolve != nil {
		l.good.addr = result.Resolve.Addr
	}
	if result.TLS != nil && result.TLS.Presented != nil {
		bare := *result.TLS
		bare.Presented = nil
		l.good.tls = &bare
	}
}

func (g *goodProbe) record() *probe.Record {
	r := &probe.Record{Target: g.target, Prober: g.prober, Timeout: g.timeout, Result: probe.Result{
		Start: time.Unix(0, g.start), Duration: g.duration, Phases: g.phases, HTTP: g.http, TCP: g.tcp, ICMP: g.icmp, DNS: g.dns, TLS: g.tls,
	}}
	if g.addr.IsValid() {
		r.Result.Resolve = &probe.Resolve{Addr: g.addr}
	}
	return r
}

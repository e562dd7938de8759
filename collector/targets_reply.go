package collector

import (
	"io"
	"net/http"
)

// shownSeries are the series of a verdict that /metrics/targets shows, in the order of the reply. They are those that the
// rules and the dashboard in deploy ask for: the whole of a /probe reply would double what a target costs here and in
// Prometheus.
var shownSeries = [...]struct {
	family family
	phase  int // of probe_http_duration_seconds and probe_icmp_duration_seconds
}{
	{family: dnsLookupTime},
	{family: dnsQuerySucceeded},
	{family: duration},
	{family: failureInfo},
	{httpDuration, phaseConnect},
	{httpDuration, phaseProcessing},
	{httpDuration, phaseResolve},
	{httpDuration, phaseTLS},
	{httpDuration, phaseTransfer},
	{family: httpStatusCode},
	{icmpDuration, icmpPhaseResolve},
	{icmpDuration, icmpPhaseRTT},
	{icmpDuration, icmpPhaseSetup},
	{family: sslEarliestCertExpiry},
	{family: success},
	{family: timeout},
	{family: tlsVersionInfo},
}

// The families that are about the probing of a target. The first is there for every configured target, so that one
// without a verdict is missed; the second also for a verdict that is too old to be shown.
var (
	targetInterval  = descriptor{"rollcall_target_interval_seconds", "How often the configured target is probed."}
	targetLastProbe = descriptor{"rollcall_target_last_probe_timestamp_seconds", "Unix time of the configured target's last verdict."}
)

// Write answers with the last verdict of every target, in the text format or in OpenMetrics as accept asks for. There is
// no protobuf, where a family is one message and could not be written bit by bit. The error is the connection's.
func (t *Targets) Write(w http.ResponseWriter, accept string) error {
	format := t.formats.negotiate(accept)
	if format.writer == writeExpfmt {
		format = t.formats.negotiate("")
	}
	w.Header()["Content-Type"] = format.contentType
	v := t.look()
	defer t.leave(v)
	reply := targetsReply{w: w, openMetrics: format.writer == writeOpenMetrics, buf: make([]byte, 0, targetsBuffer)}
	return reply.write(v)
}

// targetsBuffer is how much of a reply is written at once.
const targetsBuffer = 32 << 10

// targetsReply is a reply that is being written.
type targetsReply struct {
	w           io.Writer
	openMetrics bool
	buf         []byte
	family      string // whose series are being written
	err         error  // of w; nothing is written after it
}

func (r *targetsReply) write(v *view) error {
	for i, s := range shownSeries {
		if r.err != nil {
			return r.err
		}
		for place := range v.targets {
			if last := v.verdict(place); last != nil && last.has&(1<<i) != 0 {
				r.begin(descriptors[s.family], &v.targets[place])
				r.addLabels(s.family, s.phase, last)
				r.end(last.values[i])
			}
		}
	}
	for place := range v.targets {
		r.begin(targetInterval, &v.targets[place])
		r.end(v.targets[place].interval.Seconds())
	}
	for place, last := range v.last {
		if last != nil {
			r.begin(targetLastProbe, &v.targets[place])
			r.end(float64(last.at/1e6) / 1e3)
		}
	}
	if r.openMetrics {
		r.buf = append(r.buf, "# EOF\n"...)
	}
	r.flush(0)
	return r.err
}

// begin appends a series up to its target's labels, under its family's HELP and TYPE.
func (r *targetsReply) begin(d descriptor, t *target) {
	if r.family != d.name {
		r.family = d.name
		r.buf = append(r.buf, d.preface()...)
	}
	r.buf = append(r.buf, d.name...)
	r.buf = append(r.buf, t.labels...)
}

// addLabels appends the labels that the family has besides the target's.
func (r *targetsReply) addLabels(f family, phase int, v *verdict) {
	add := func(name, value string) { r.buf = appendLabel(append(r.buf, ','), name, value) }
	switch f {
	case failureInfo:
		add(failureLabels[0], v.reason)
		add(failureLabels[1], v.stage)
	case httpDuration:
		add(phaseLabels[0], phaseNames[phase])
	case icmpDuration:
		add(phaseLabels[0], icmpPhases[phase])
	case tlsVersionInfo:
		add(versionLabels[0], v.tlsVersion)
	}
}

func (r *targetsReply) end(value float64) {
	r.buf = append(r.buf, '}', ' ')
	r.buf = appendNumber(r.buf, value, r.openMetrics)
	r.buf = append(r.buf, '\n')
	r.flush(targetsBuffer / 2)
}

// flush writes the buffer if it holds more than keep.
func (r *targetsReply) flush(keep int) {
	if len(r.buf) <= keep {
		return
	}
	if r.err == nil {
		_, r.err = r.w.Write(r.buf)
	}
	r.buf = r.buf[:0]
}

package collector

import (
	"io"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// shownSeries are the series of a verdict that /metrics/targets shows, in the order of the reply. They are those that the
// rules and the dashboard in deploy ask for, and the validity of certificates: the whole of a /probe reply would double what a target costs here and in
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
	{family: httpHopsEarliestCertExpiry},
	{family: httpStatusCode},
	{icmpDuration, icmpPhaseResolve},
	{icmpDuration, icmpPhaseRTT},
	{icmpDuration, icmpPhaseSetup},
	{family: sslEarliestCertExpiry},
	{family: sslEarliestCertNotBefore},
	{family: success},
	{family: timeout},
	{family: tlsVersionInfo},
}

// The families that are about the probing of a target. The interval is there for every configured target, so that one
// without a verdict is missed; the last probe also for a verdict that is too old to be shown. What is counted begins at 0
// for every target, so that the first failure is an increase, too.
var (
	targetInfo      = descriptor{"rollcall_target_info", "What people call the configured target, and its group; present if it has a name or a group."}
	targetInterval  = descriptor{"rollcall_target_interval_seconds", "How often the configured target is probed."}
	targetLastProbe = descriptor{"rollcall_target_last_probe_timestamp_seconds", "Unix time of the configured target's last verdict."}
	targetPlanned   = descriptor{"rollcall_target_maintenance", "1 while the configured target is under planned maintenance; present during a maintenance window."}
	targetDuration  = descriptor{"rollcall_target_probe_duration_seconds", "Time of the probes by which the configured target was up."}
	targetProbes    = descriptor{"rollcall_target_probes_total", "Probes of the configured target by result: up, down, or unknown when there was no verdict."}
)

// Write answers with the last verdict of every target and what was counted of it, in the format that accept asks for:
// the text format, OpenMetrics or protobuf, which alone has native histograms and the time at which counting began. No
// more than a part of the reply is in memory at once. The error is the connection's.
func (t *Targets) Write(w http.ResponseWriter, accept string) error {
	format := t.formats.negotiate(accept)
	if kind := format.format.FormatType(); kind == expfmt.TypeProtoText || kind == expfmt.TypeProtoCompact {
		format = t.formats.negotiate("")
	}
	w.Header()["Content-Type"] = format.contentType
	v := t.look()
	defer t.leave(v)
	out := output{w: w, buf: make([]byte, 0, targetsBuffer)}
	scheme := format.format.ToEscapingScheme()
	if format.format.FormatType() == expfmt.TypeProtoDelim {
		writer := &targetsProto{output: out, scheme: scheme}
		return writer.write(v)
	}
	writer := &targetsText{output: out, scheme: scheme, openMetrics: format.format.FormatType() == expfmt.TypeOpenMetrics}
	return writer.write(v)
}

// targetsBuffer is how much of a reply is written at once.
const targetsBuffer = 32 << 10

// output is a reply that is written part by part.
type output struct {
	w   io.Writer
	buf []byte
	err error // of w; nothing is written after it
}

// flush writes the buffer if it holds more than keep.
func (o *output) flush(keep int) {
	if len(o.buf) <= keep {
		return
	}
	if o.err == nil {
		_, o.err = o.w.Write(o.buf)
	}
	o.buf = o.buf[:0]
}

// targetSeries is one of a family: a target's, with the labels that the family has besides the target's.
type targetSeries struct {
	target *target
	extra  [2]struct{ name, value string } // empty names: none
	value  float64
	tally  *tally // of a histogram or a counter
	// incident is the ID that the exemplar of a counter has; empty: no exemplar.
	incident string
}

// exemplarLabel is the label of exemplars, which lead to /incident/ID.
const exemplarLabel = "incident"

// targetFamily is a family of a reply.
type targetFamily struct {
	descriptor
	kind dto.MetricType
	each func(v *view, emit func(*targetSeries) bool) // until emit returns false
}

// targetFamilies are the families of a reply, in its order.
var targetFamilies = func() (all []targetFamily) {
	for first := 0; first < len(shownSeries); {
		last := first
		for last < len(shownSeries) && shownSeries[last].family == shownSeries[first].family {
			last++
		}
		all = append(all, targetFamily{descriptors[shownSeries[first].family], dto.MetricType_GAUGE, eachShown(first, last)})
		first = last
	}
	return append(all,
		targetFamily{targetInfo, dto.MetricType_GAUGE, eachInfo},
		targetFamily{targetInterval, dto.MetricType_GAUGE, eachTarget(func(v *view, place int, s *targetSeries) bool {
			s.value = v.targets[place].Interval.Seconds()
			return true
		})},
		targetFamily{targetLastProbe, dto.MetricType_GAUGE, eachTarget(func(v *view, place int, s *targetSeries) bool {
			if v.last[place] == nil {
				return false
			}
			s.value = float64(v.last[place].at/1e6) / 1e3
			return true
		})},
		targetFamily{targetPlanned, dto.MetricType_GAUGE, eachTarget(func(v *view, place int, s *targetSeries) bool {
			s.value = 1
			return v.planned != nil && v.planned(s.target.Key())
		})},
		targetFamily{targetDuration, dto.MetricType_HISTOGRAM, eachTarget(func(v *view, place int, s *targetSeries) bool {
			s.tally = v.tallies[place]
			return true
		})},
		targetFamily{targetProbes, dto.MetricType_COUNTER, eachProbes},
	)
}()

// eachTarget has one series for each target for which set returns true.
func eachTarget(set func(v *view, place int, s *targetSeries) bool) func(*view, func(*targetSeries) bool) {
	return func(v *view, emit func(*targetSeries) bool) {
		var s targetSeries // one for all: there may be a hundred thousand
		for place := range v.targets {
			s = targetSeries{target: &v.targets[place]}
			if set(v, place, &s) && !emit(&s) {
				return
			}
		}
	}
}

// eachShown has the series of shownSeries from first to before last, which are of one family.
func eachShown(first, last int) func(*view, func(*targetSeries) bool) {
	return func(v *view, emit func(*targetSeries) bool) {
		var s targetSeries
		for i := first; i < last; i++ {
			shown := shownSeries[i]
			for place := range v.targets {
				verdict := v.verdict(place)
				if verdict == nil {
					continue
				}
				value, there := verdict.value(i)
				if !there {
					continue
				}
				s = targetSeries{target: &v.targets[place], value: value, extra: shownLabels(shown.family, shown.phase, verdict)}
				if !emit(&s) {
					return
				}
			}
		}
	}
}

// shownLabels are the labels that a family of a verdict has besides the target's.
func shownLabels(f family, phase int, v *verdict) (extra [2]struct{ name, value string }) {
	switch f {
	case failureInfo:
		said := v.words.Value()
		extra[0].name, extra[0].value = failureLabels[0], said.reason
		extra[1].name, extra[1].value = failureLabels[1], said.stage
	case httpDuration:
		extra[0].name, extra[0].value = phaseLabels[0], phaseNames[phase]
	case icmpDuration:
		extra[0].name, extra[0].value = phaseLabels[0], icmpPhases[phase]
	case tlsVersionInfo:
		extra[0].name, extra[0].value = versionLabels[0], v.words.Value().tlsVersion
	}
	return extra
}

// eachInfo has the names and groups. A label of the target's own with such a name comes before.
func eachInfo(v *view, emit func(*targetSeries) bool) {
	var s targetSeries
	for place := range v.targets {
		t := &v.targets[place]
		if t.Name == "" && t.Group == "" {
			continue
		}
		s = targetSeries{target: t, value: 1}
		for i, label := range [...]struct{ name, value string }{{"group", t.Group}, {"name", t.Name}} {
			if !t.Labels.Has(label.name) && label.value != "" {
				s.extra[i] = label
			}
		}
		if !emit(&s) {
			return
		}
	}
}

// eachProbes has the counters. Each result is there from the start.
func eachProbes(v *view, emit func(*targetSeries) bool) {
	var s targetSeries
	for place := range v.targets {
		s = targetSeries{target: &v.targets[place], tally: v.tallies[place]}
		for result, name := range resultNames {
			s.extra[0].name, s.extra[0].value = "result", name
			s.value = float64(v.tallies[place].results[result])
			if s.incident = ""; result == resultDown {
				s.incident = s.tally.incident
			}
			if !emit(&s) {
				return
			}
		}
	}
}

// escaped is a family's name in the format's scheme. There are no dots in ours, but the scheme of dots doubles underscores.
func (d descriptor) escaped(scheme model.EscapingScheme) string {
	if scheme == model.DotsEscaping {
		return model.EscapeName(d.name, scheme)
	}
	return d.name
}

package collector

import (
	"io"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rollcall/probe"
)

// shownFamilies are the families of a verdict that /metrics/targets shows, in the order of the reply. They are those that the
// rules and the dashboard in deploy ask for, and the validity of certificates: the whole of a /probe reply would double what a target costs here and in
// Prometheus.
var shownFamilies = [...]family{
	dnsLookupTime, dnsQuerySucceeded, duration, failureInfo, httpDuration, httpHopsEarliestCertExpiry, httpStatusCode, icmpDuration,
	sslEarliestCertExpiry, sslEarliestCertNotBefore, success, timeout, tlsVersionInfo,
}

// shownSeries are all series that these families can have, at most maxShown.
var shownSeries = func() (all []shown) {
	for _, f := range shownFamilies {
		for i := range f.seriesCount() {
			all = append(all, shown{f, i})
		}
	}
	return all
}()

type shown struct {
	family family
	index  int // of its series
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
		return (&targetsProto{output: out, scheme: scheme}).write(v)
	}
	return (&targetsText{output: out, scheme: scheme, openMetrics: format.openMetrics}).write(v)
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
	extra  [2]probe.Label // empty names: none
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
	each eachSeries
}

// eachSeries calls emit with each series of a family until emit returns false. It reports whether it never did.
type eachSeries func(v *view, emit func(*targetSeries) bool) bool

// targetFamilies are the families of a reply, in its order.
var targetFamilies = func() (all []targetFamily) {
	first := 0
	for _, f := range shownFamilies {
		all = append(all, targetFamily{descriptors[f], dto.MetricType_GAUGE, eachShown(first, first+f.seriesCount())})
		first += f.seriesCount()
	}
	return append(all,
		targetFamily{targetInfo, dto.MetricType_GAUGE, eachTarget(info)},
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
func eachTarget(set func(v *view, place int, s *targetSeries) bool) eachSeries {
	return func(v *view, emit func(*targetSeries) bool) bool {
		var s targetSeries // one for all: there may be a hundred thousand
		for place := range v.targets {
			s = targetSeries{target: &v.targets[place]}
			if set(v, place, &s) && !emit(&s) {
				return false
			}
		}
		return true
	}
}

// eachShown has the series of shownSeries from first to before last, which are of one family.
func eachShown(first, last int) eachSeries {
	var all []eachSeries
	for i := first; i < last; i++ {
		all = append(all, eachTarget(func(v *view, place int, s *targetSeries) (there bool) {
			verdict := v.verdict(place)
			if verdict == nil {
				return false
			}
			if s.value, there = verdict.value(i); there {
				s.extra = shownSeries[i].labels(verdict)
			}
			return there
		}))
	}
	return func(v *view, emit func(*targetSeries) bool) bool {
		for _, each := range all {
			if !each(v, emit) {
				return false
			}
		}
		return true
	}
}

// labels are those that a series of a verdict has besides the target's.
func (s shown) labels(v *verdict) (extra [2]probe.Label) {
	switch names := labelNames[s.family]; {
	case s.family == failureInfo:
		said := v.words.Value()
		extra = [2]probe.Label{{Name: names[0], Value: said.reason}, {Name: names[1], Value: said.stage}}
	case s.family == tlsVersionInfo:
		extra[0] = probe.Label{Name: names[0], Value: v.words.Value().tlsVersion}
	case names != nil:
		extra[0] = probe.Label{Name: names[0], Value: labelValues[s.family][s.index]}
	}
	return extra
}

// info has the name and the group. A label of the target's own with such a name comes before.
func info(_ *view, _ int, s *targetSeries) bool {
	s.value = 1
	for i, label := range [...]probe.Label{{Name: "group", Value: s.target.Group}, {Name: "name", Value: s.target.Name}} {
		if label.Value != "" && !s.target.Labels.Has(label.Name) {
			s.extra[i] = label
		}
	}
	return s.target.Name != "" || s.target.Group != ""
}

// eachProbes has the counters. Each result is there from the start.
func eachProbes(v *view, emit func(*targetSeries) bool) bool {
	var s targetSeries
	for place := range v.targets {
		s = targetSeries{target: &v.targets[place], tally: v.tallies[place]}
		for result, name := range resultNames {
			s.extra[0] = probe.Label{Name: "result", Value: name}
			s.value = float64(s.tally.results[result])
			if s.incident = ""; result == resultDown {
				s.incident = s.tally.incident
			}
			if !emit(&s) {
				return false
			}
		}
	}
	return true
}

// escaped is a family's name in the format's scheme. There are no dots in ours, but the scheme of dots doubles underscores.
func (d descriptor) escaped(scheme model.EscapingScheme) string {
	if scheme == model.DotsEscaping {
		return model.EscapeName(d.name, scheme)
	}
	return d.name
}

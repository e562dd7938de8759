package collector

import (
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
)

// The bounds of the classic buckets as each format writes them.
var classicLabels, openMetricsLabels = boundLabels(false), boundLabels(true)

func boundLabels(openMetrics bool) (labels [len(classicBounds)]string) {
	for i, bound := range classicBounds {
		labels[i] = string(appendNumber(nil, bound, openMetrics))
	}
	return labels
}

// targetsText writes a reply in the text format or in OpenMetrics.
type targetsText struct {
	output
	scheme      model.EscapingScheme
	openMetrics bool
}

func (r *targetsText) write(v *view) error {
	for _, f := range targetFamilies {
		if r.err != nil {
			return r.err
		}
		name, begun := f.escaped(r.scheme), false
		f.each(v, func(s *targetSeries) bool {
			if !begun {
				begun = true
				r.preface(f, name)
			}
			if f.kind == dto.MetricType_HISTOGRAM {
				r.histogram(name, s)
			} else {
				r.line(name, "", s, "", s.value)
			}
			r.flush(targetsBuffer / 2)
			return r.err == nil
		})
	}
	if r.openMetrics {
		r.buf = append(r.buf, "# EOF\n"...)
	}
	r.flush(0)
	return r.err
}

// preface appends HELP and TYPE. In OpenMetrics a counter is called without its ending.
func (r *targetsText) preface(f targetFamily, name string) {
	if r.openMetrics && f.kind == dto.MetricType_COUNTER {
		name = strings.TrimSuffix(name, "_total")
	}
	r.buf = append(r.buf, preface(name, f.help, f.kind)...)
}

// line appends one line: le is the bound of a bucket, or empty.
func (r *targetsText) line(name, ending string, s *targetSeries, le string, value float64) {
	r.buf = append(append(r.buf, name...), ending...)
	r.buf = append(r.buf, s.target.beginLabels(r.scheme)...)
	for _, label := range s.extra {
		if label.Name != "" {
			r.buf = appendLabel(append(r.buf, ','), label.Name, label.Value)
		}
	}
	if le != "" {
		r.buf = appendLabel(append(r.buf, ','), "le", le)
	}
	r.buf = append(r.buf, '}', ' ')
	r.buf = appendNumber(r.buf, value, r.openMetrics)
	if r.openMetrics && s.incident != "" {
		r.buf = append(appendLabel(append(r.buf, " # {"...), exemplarLabel, s.incident), "} 1.0 "...)
		r.buf = appendNumber(r.buf, float64(s.tally.downAt/1e6)/1e3, true)
	}
	r.buf = append(r.buf, '\n')
}

func (r *targetsText) histogram(name string, s *targetSeries) {
	below := uint64(0)
	for i := range classicBounds {
		below += uint64(s.tally.classic[i])
		le := classicLabels[i]
		if r.openMetrics {
			le = openMetricsLabels[i]
		}
		r.line(name, "_bucket", s, le, float64(below))
	}
	all := float64(s.tally.results[resultUp])
	r.line(name, "_bucket", s, "+Inf", all)
	r.line(name, "_sum", s, "", s.tally.sum)
	r.line(name, "_count", s, "", all)
}

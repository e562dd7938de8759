//go:build unix

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// exposition is a parsed reply of /probe: families by name.
type exposition map[string]*dto.MetricFamily

func parseExposition(text string) (exposition, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	return families, err
}

// series returns every series of a family with its value, e.g. `{a="b"} 1`.
func series(f *dto.MetricFamily) []string {
	var all []string
	for _, m := range f.GetMetric() {
		all = append(all, fmt.Sprintf("%s %v", labelsOf(m), valueOf(m)))
	}
	slices.Sort(all)
	return all
}

func labelsOf(m *dto.Metric) string {
	var pairs []string
	for _, l := range m.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.GetGauge().GetValue()
	case m.Counter != nil:
		return m.GetCounter().GetValue()
	default:
		return m.GetUntyped().GetValue()
	}
}

// value returns the value of a family's only series; ok is false without the family or with several series.
func (e exposition) value(family string) (float64, bool) {
	f := e[family]
	if len(f.GetMetric()) != 1 {
		return 0, false
	}
	return valueOf(f.Metric[0]), true
}

// verdict returns "up", "down STAGE/REASON", or a text that says how the reply is inconsistent.
func (e exposition) verdict() string {
	success, ok := e.value("probe_success")
	failure := e["probe_failure_info"].GetMetric()
	switch {
	case !ok:
		return "no probe_success"
	case success == 1 && len(failure) == 0:
		return "up"
	case success == 0 && len(failure) == 1:
		labels := make(map[string]string)
		for _, l := range failure[0].GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		return "down " + labels["stage"] + "/" + labels["reason"]
	default:
		return fmt.Sprintf("probe_success %v with %d reasons", success, len(failure))
	}
}

func (e exposition) names() []string { return slices.Sorted(maps.Keys(e)) }

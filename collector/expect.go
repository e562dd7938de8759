package collector

import (
	"cmp"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"rollcall/probe"
)

// addExpects adds a series for each matched expect that yields labels. Two expects may yield the same labels, and
// a module may name a label twice: either would make the whole reply invalid, so each appears once.
//
// Unlike the rest of a reply this is allocated each time: few modules capture labels, and how many is up to them.
func (b *builder) addExpects(expects []probe.ExpectLabels) {
	if len(expects) == 0 {
		return
	}
	sorted := make([]probe.ExpectLabels, len(expects))
	for i, labels := range expects {
		labels = slices.Clone(labels) // observers share the Record's
		slices.SortStableFunc(labels, func(a, b probe.Label) int { return cmp.Compare(a.Name, b.Name) })
		sorted[i] = slices.CompactFunc(labels, func(a, b probe.Label) bool { return a.Name == b.Name })
	}
	slices.SortFunc(sorted, compareLabels)
	sorted = slices.CompactFunc(sorted, func(a, b probe.ExpectLabels) bool { return compareLabels(a, b) == 0 })

	f := &b.families[expectInfo]
	f.Metric = make([]*dto.Metric, len(sorted))
	for i, labels := range sorted {
		s := &series{value: 1}
		s.wire(labelPairs(labels))
		f.Metric[i] = &s.metric
	}
	b.built = append(b.built, expectInfo)
}

func labelPairs(labels []probe.Label) []*dto.LabelPair {
	pairs := make([]*dto.LabelPair, len(labels))
	for i := range labels {
		pairs[i] = &dto.LabelPair{Name: &labels[i].Name, Value: &labels[i].Value}
	}
	return pairs
}

// compareLabels orders series as a registry does: fewer labels first, then by the labels' values.
func compareLabels(a, b probe.ExpectLabels) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	if c := slices.CompareFunc(a, b, func(a, b probe.Label) int { return cmp.Compare(a.Value, b.Value) }); c != 0 {
		return c
	}
	return slices.CompareFunc(a, b, func(a, b probe.Label) int { return cmp.Compare(a.Name, b.Name) })
}

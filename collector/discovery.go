package collector

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// DiscoveryStats is how discovery is, in plain numbers.
type DiscoveryStats struct {
	Refused    int // targets that were found and cannot be probed
	Mechanisms map[string]MechanismStats
}

// MechanismStats is how the sources of one mechanism (file, http, dns) are.
type MechanismStats struct {
	Sources  int
	Failing  int    // now
	Failures uint64 // refreshes
	Targets  int    // that they found, before relabelling
}

// ReportDiscovery adds the metrics of discovery; stats is asked once for each scrape.
func (e *Exporter) ReportDiscovery(stats func() DiscoveryStats) {
	mechanism := []string{"mechanism"}
	e.registry.MustRegister(&discoveries{
		stats:    stats,
		refused:  prometheus.NewDesc("rollcall_discovery_targets_refused", "Targets that were found and cannot be probed. The log names them.", nil, nil),
		sources:  prometheus.NewDesc("rollcall_discovery_sources", "Configured sources of targets.", mechanism, nil),
		failing:  prometheus.NewDesc("rollcall_discovery_sources_failing", "Sources whose last refresh failed; their last targets are kept.", mechanism, nil),
		failures: prometheus.NewDesc("rollcall_discovery_failures_total", "Refreshes of sources that failed.", mechanism, nil),
		targets:  prometheus.NewDesc("rollcall_discovery_targets", "Targets that the sources found, before relabelling.", mechanism, nil),
	})
}

// discoveries turns DiscoveryStats into metrics.
type discoveries struct {
	stats                                        func() DiscoveryStats
	refused, sources, failing, failures, targets *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (d *discoveries) Describe(into chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{d.refused, d.sources, d.failing, d.failures, d.targets} {
		into <- desc
	}
}

// Collect implements prometheus.Collector.
func (d *discoveries) Collect(into chan<- prometheus.Metric) {
	s := d.stats()
	add := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		into <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	add(d.refused, prometheus.GaugeValue, float64(s.Refused))
	for _, name := range slices.Sorted(maps.Keys(s.Mechanisms)) {
		m := s.Mechanisms[name]
		add(d.sources, prometheus.GaugeValue, float64(m.Sources), name)
		add(d.failing, prometheus.GaugeValue, float64(m.Failing), name)
		add(d.failures, prometheus.CounterValue, float64(m.Failures), name)
		add(d.targets, prometheus.GaugeValue, float64(m.Targets), name)
	}
}

package collector

import (
	"github.com/prometheus/client_golang/prometheus"
)

// alertMetrics are the metrics of the alert hook, by the names that it has for its numbers.
var alertMetrics = map[string]*alertMetric{
	"incidents": alertGauge("incidents", "Targets that are down by the alert hook's thresholds."),
	"incidents_by_scope": alertGauge("incidents_by_scope",
		"The same by what witnesses and references say; present if there are any.", "scope"),
	"targets": alertGauge("targets", "Targets that the alert hook watches."),
	"results_refused": alertCounter("results_refused_total",
		"Results that were not watched because too many targets already are."),
	"store_failures": alertCounter("store_failures_total", "Writes that the alert hook's store did not take."),
	"oldest_pending": alertGauge("oldest_pending_seconds",
		"How long the oldest notification has waited to be delivered, 0 if none waits."),
	"pending": alertGauge("outbox_pending", "Targets that recipients have yet to be notified of.", "channel"),
	"summed": alertCounter("news_summed_total",
		"Outages that found too much waiting and were only counted.", "channel"),
	"refusing": alertGauge("recipients_refusing", "Recipients whose last notification was refused.", "channel"),
	"notifications": alertCounter("notifications_total",
		"Attempts to notify a recipient, by their outcome.", "channel", "outcome"),
	"last_success": alertGauge("last_success_timestamp_seconds",
		"Unix time of the last notification that was accepted; absent before the first.", "channel"),
}

type alertMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func alertGauge(name, help string, labels ...string) *alertMetric {
	return &alertMetric{prometheus.NewDesc("rollcall_alert_"+name, help, labels, nil), prometheus.GaugeValue}
}

func alertCounter(name, help string, labels ...string) *alertMetric {
	return &alertMetric{prometheus.NewDesc("rollcall_alert_"+name, help, labels, nil), prometheus.CounterValue}
}

// ReportAlerts adds the alert hook's metrics. For each scrape stats is called once, and calls put with every number: its
// name in alertMetrics, its value and the values of its labels.
func (e *Exporter) ReportAlerts(stats func(put func(name string, value float64, labels ...string))) {
	e.registry.MustRegister(alerts(stats))
}

// alerts turns the hook's numbers into metrics.
type alerts func(put func(name string, value float64, labels ...string))

// Describe implements prometheus.Collector.
func (a alerts) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range alertMetrics {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (a alerts) Collect(metrics chan<- prometheus.Metric) {
	a(func(name string, value float64, labels ...string) {
		m := alertMetrics[name]
		metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
	})
}

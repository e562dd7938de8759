package collector

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Numbers calls put with every number that a part of rollcall has for a scrape: its name in that part's table here, its
// value and the values of its labels.
type Numbers func(put func(name string, value float64, labels ...string))

var alertMetrics = map[string]*metric{
	"incidents": gauge("rollcall_alert_incidents", "Targets that are down by the alert hook's thresholds."),
	"incidents_by_scope": gauge("rollcall_alert_incidents_by_scope",
		"The same by what witnesses and references say; present if there are any.", "scope"),
	"targets": gauge("rollcall_alert_targets", "Targets that the alert hook watches."),
	"results_refused": counter("rollcall_alert_results_refused_total",
		"Results that were not watched because too many targets already are."),
	"store_failures": counter("rollcall_alert_store_failures_total", "Writes that the alert hook's store did not take."),
	"oldest_pending": gauge("rollcall_alert_oldest_pending_seconds",
		"How long the oldest notification has waited to be delivered, 0 if none waits."),
	"pending": gauge("rollcall_alert_outbox_pending", "Targets that recipients have yet to be notified of.", "channel"),
	"summed": counter("rollcall_alert_news_summed_total",
		"Outages that found too much waiting and were only counted.", "channel"),
	"refusing": gauge("rollcall_alert_recipients_refusing", "Recipients whose last notification was refused.", "channel"),
	"notifications": counter("rollcall_alert_notifications_total",
		"Attempts to notify a recipient, by their outcome.", "channel", "outcome"),
	"last_success": gauge("rollcall_alert_last_success_timestamp_seconds",
		"Unix time of the last notification that was accepted; absent before the first.", "channel"),
}

var discoveryMetrics = map[string]*metric{
	"refused":  gauge("rollcall_discovery_targets_refused", "Targets that were found and cannot be probed. The log names them."),
	"sources":  gauge("rollcall_discovery_sources", "Configured sources of targets.", "mechanism"),
	"failing":  gauge("rollcall_discovery_sources_failing", "Sources whose last refresh failed; their last targets are kept.", "mechanism"),
	"failures": counter("rollcall_discovery_failures_total", "Refreshes of sources that failed.", "mechanism"),
	"targets":  gauge("rollcall_discovery_targets", "Targets that the sources found, before relabelling.", "mechanism"),
}

var historyMetrics = map[string]*metric{
	"results":        counter("rollcall_history_results_total", "Results of configured targets that the history took in."),
	"dropped":        counter("rollcall_history_results_dropped_total", "Results that the history lost because they could not be written for too long."),
	"write_failures": counter("rollcall_history_write_failures_total", "Writes that the history's disk did not take."),
	"damaged":        counter("rollcall_history_damaged_rows_total", "Rows of the history that could not be read."),
	"writable":       gauge("rollcall_history_writable", "1 if the history's last write succeeded, else 0."),
	"bytes":          gauge("rollcall_history_size_bytes", "Size of the history's file."),
	"used_bytes":     gauge("rollcall_history_used_bytes", "Bytes of the history's file that hold something."),
	"pending":        gauge("rollcall_history_pending_results", "Results that are not on the disk yet."),
	"last_write":     gauge("rollcall_history_last_write_timestamp_seconds", "Unix time of the history's last write; absent before the first."),
	"write_duration": counter("rollcall_history_write_duration_seconds_total", "Time that the history's writes took."),
	"targets":        gauge("rollcall_history_targets", "Configured targets that the history knows."),
	"incidents":      gauge("rollcall_history_open_incidents", "Targets whose last result in the history is down."),
	"oldest":         gauge("rollcall_history_oldest_timestamp_seconds", "Unix time of the first of what the history keeps; absent without any."),
}

// ReportAlerts adds the alert hook's metrics.
func (e *Exporter) ReportAlerts(n Numbers) { e.registry.MustRegister(reported{alertMetrics, n}) }

// ReportDiscovery adds the metrics of discovery.
func (e *Exporter) ReportDiscovery(n Numbers) { e.registry.MustRegister(reported{discoveryMetrics, n}) }

// ReportHistory adds the metrics of the history of the configured targets.
func (e *Exporter) ReportHistory(n Numbers) { e.registry.MustRegister(reported{historyMetrics, n}) }

type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) *metric {
	return &metric{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) *metric {
	return &metric{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

// reported turns the numbers of another part into metrics. The part is asked once for each scrape.
type reported struct {
	metrics map[string]*metric
	numbers Numbers
}

// Describe implements prometheus.Collector.
func (r reported) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range r.metrics {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (r reported) Collect(metrics chan<- prometheus.Metric) {
	r.numbers(func(name string, value float64, labels ...string) {
		m := r.metrics[name]
		metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
	})
}

package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// AlertStats is what there is to know about the alert hook, in plain numbers.
type AlertStats struct {
	Incidents       int           // open now
	Targets         int           // watched
	ResultsRefused  uint64        // of targets beyond the limit of watched ones
	ResultsDeferred uint64        // that came while too many changes waited
	StoreFailures   uint64        // writes that the disk did not take
	OldestPending   time.Duration // how long the oldest news has waited to be told; 0: none waits
	Channels        []AlertChannelStats
}

// AlertChannelStats is what there is to know about one way to tell people.
type AlertChannelStats struct {
	Channel       string            // "email", "alertmanager"
	Pending       int               // news of an incident that a recipient has yet to be told
	Summed        uint64            // news that had no room to wait and was only counted
	Notifications map[string]uint64 // attempts by their outcome, every outcome included
	LastSuccess   time.Time         // zero: none yet
}

// ReportAlerts adds the alert hook's metrics; stats is asked once for each scrape.
func (e *Exporter) ReportAlerts(stats func() AlertStats) {
	e.registry.MustRegister(&alerts{
		stats:     stats,
		incidents: prometheus.NewDesc("rollcall_alert_incidents", "Targets that are down by the alert hook's thresholds.", nil, nil),
		targets:   prometheus.NewDesc("rollcall_alert_targets", "Targets that the alert hook watches.", nil, nil),
		refused: prometheus.NewDesc("rollcall_alert_results_refused_total",
			"Results that were not watched because too many targets already are.", nil, nil),
		deferred: prometheus.NewDesc("rollcall_alert_results_deferred_total",
			"Results that were left to the target's next probe because too many changes waited.", nil, nil),
		storeFailures: prometheus.NewDesc("rollcall_alert_store_failures_total",
			"Writes that the alert hook's store did not take.", nil, nil),
		oldestPending: prometheus.NewDesc("rollcall_alert_oldest_pending_seconds",
			"How long the oldest news has waited to be told, 0 if none waits.", nil, nil),
		pending: prometheus.NewDesc("rollcall_alert_outbox_pending",
			"News of incidents that recipients have yet to be told.", []string{"channel"}, nil),
		summed: prometheus.NewDesc("rollcall_alert_news_summed_total",
			"News that found too much waiting and was only counted.", []string{"channel"}, nil),
		notifications: prometheus.NewDesc("rollcall_alert_notifications_total",
			"Attempts to notify somebody, by their outcome.", []string{"channel", "outcome"}, nil),
		lastSuccess: prometheus.NewDesc("rollcall_alert_last_success_timestamp_seconds",
			"Unix time of the last notification that was accepted; absent before the first.", []string{"channel"}, nil),
	})
}

// alerts turns AlertStats into metrics.
type alerts struct {
	stats func() AlertStats

	incidents, targets, refused, deferred, storeFailures, oldestPending *prometheus.Desc
	pending, summed, notifications, lastSuccess                         *prometheus.Desc
}

func (a *alerts) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		a.incidents, a.targets, a.refused, a.deferred, a.storeFailures, a.oldestPending, a.pending, a.summed, a.notifications, a.lastSuccess,
	} {
		descs <- d
	}
}

func (a *alerts) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	stats := a.stats()
	gauge(a.incidents, float64(stats.Incidents))
	gauge(a.targets, float64(stats.Targets))
	counter(a.refused, stats.ResultsRefused)
	counter(a.deferred, stats.ResultsDeferred)
	counter(a.storeFailures, stats.StoreFailures)
	gauge(a.oldestPending, stats.OldestPending.Seconds())
	for _, channel := range stats.Channels {
		gauge(a.pending, float64(channel.Pending), channel.Channel)
		counter(a.summed, channel.Summed, channel.Channel)
		for outcome, n := range channel.Notifications {
			counter(a.notifications, n, channel.Channel, outcome)
		}
		if !channel.LastSuccess.IsZero() {
			gauge(a.lastSuccess, float64(channel.LastSuccess.UnixNano())/1e9, channel.Channel)
		}
	}
}

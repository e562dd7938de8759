package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// HistoryStats is what there is to know about the history of the configured targets, in plain numbers.
type HistoryStats struct {
	Results       uint64 // taken in
	Dropped       uint64 // lost, because they could not be written for too long
	WriteFailures uint64
	Damaged       uint64 // rows that could not be read
	Writable      bool   // the last write succeeded
	Bytes         int64  // of the file
	UsedBytes     int64  // of the file, without free pages
	Pending       int    // results that are not on the disk yet
	LastWrite     time.Time
	WriteDuration time.Duration // all writes together
	Targets       int
	OpenIncidents int
	Oldest        time.Time // zero: nothing is kept yet
}

// ReportHistory adds the history's metrics; stats is asked once for each scrape.
func (e *Exporter) ReportHistory(stats func() HistoryStats) {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("rollcall_history_"+name, help, nil, nil)
	}
	e.registry.MustRegister(&historyMetrics{
		stats:         stats,
		results:       desc("results_total", "Results of configured targets that the history took in."),
		dropped:       desc("results_dropped_total", "Results that the history lost because they could not be written for too long."),
		writeFailures: desc("write_failures_total", "Writes that the history's disk did not take."),
		damaged:       desc("damaged_rows_total", "Rows of the history that could not be read."),
		writable:      desc("writable", "1 if the history's last write succeeded, else 0."),
		bytes:         desc("size_bytes", "Size of the history's file."),
		usedBytes:     desc("used_bytes", "Bytes of the history's file that hold something."),
		pending:       desc("pending_results", "Results that are not on the disk yet."),
		lastWrite:     desc("last_write_timestamp_seconds", "Unix time of the history's last write; absent before the first."),
		writeDuration: desc("write_duration_seconds_total", "Time that the history's writes took."),
		targets:       desc("targets", "Configured targets that the history knows."),
		incidents:     desc("open_incidents", "Targets whose last result in the history is down."),
		oldest:        desc("oldest_timestamp_seconds", "Unix time of the first of what the history keeps; absent without any."),
	})
}

// historyMetrics turns HistoryStats into metrics.
type historyMetrics struct {
	stats func() HistoryStats

	results, dropped, writeFailures, damaged, writable, bytes, usedBytes, pending, lastWrite, writeDuration, targets, incidents, oldest *prometheus.Desc
}

func (h *historyMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		h.results, h.dropped, h.writeFailures, h.damaged, h.writable, h.bytes, h.usedBytes, h.pending, h.lastWrite, h.writeDuration,
		h.targets, h.incidents, h.oldest,
	} {
		descs <- d
	}
}

func (h *historyMetrics) Collect(metrics chan<- prometheus.Metric) {
	s := h.stats()
	counter := func(d *prometheus.Desc, v float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	timestamp := func(d *prometheus.Desc, at time.Time) {
		if !at.IsZero() {
			gauge(d, float64(at.UnixNano())/1e9)
		}
	}
	counter(h.results, float64(s.Results))
	counter(h.dropped, float64(s.Dropped))
	counter(h.writeFailures, float64(s.WriteFailures))
	counter(h.damaged, float64(s.Damaged))
	writable := 0.0
	if s.Writable {
		writable = 1
	}
	gauge(h.writable, writable)
	gauge(h.bytes, float64(s.Bytes))
	gauge(h.usedBytes, float64(s.UsedBytes))
	gauge(h.pending, float64(s.Pending))
	timestamp(h.lastWrite, s.LastWrite)
	counter(h.writeDuration, s.WriteDuration.Seconds())
	gauge(h.targets, float64(s.Targets))
	gauge(h.incidents, float64(s.OpenIncidents))
	timestamp(h.oldest, s.Oldest)
}

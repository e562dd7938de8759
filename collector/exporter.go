package collector

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"rollcall/probe"
)

// Exporter counts what rollcall itself does, for /metrics. It is an observer of the Runner; its methods below count what
// never becomes a Record. Many goroutines may use it at once.
type Exporter struct {
	registry *prometheus.Registry

	probes        *prometheus.CounterVec // prober, result
	failures      *prometheus.CounterVec // stage, reason
	shed          prometheus.Counter
	faults        *prometheus.CounterVec // reason
	moduleUnknown prometheus.Counter
}

// NewExporter returns an Exporter on a registry of its own. inFlight is asked for the number of running probes at
// each scrape; it is Runner.InFlight.
func NewExporter(inFlight func() int) *Exporter {
	e := &Exporter{registry: prometheus.NewRegistry()}
	e.probes = e.counter("rollcall_probes_total",
		"Probes that came to a verdict about the target, by prober and result (up or down).", "prober", "result")
	e.failures = e.counter("rollcall_probe_failures_total",
		"Probes whose target was down, by the stage where they stopped and the reason.", "stage", "reason")
	e.shed = e.counter("rollcall_probes_shed_total",
		"Probes refused because too many were in flight, or their time was over before their turn.").WithLabelValues()
	e.faults = e.counter("rollcall_exporter_errors_total",
		"Probes that failed because of rollcall or its machine, which says nothing about the target.", "reason")
	e.moduleUnknown = e.counter("rollcall_module_unknown_total",
		"Requests for a module that the configuration does not have.").WithLabelValues()
	e.gauge("rollcall_probes_in_flight", "Probes that are running now.", func() float64 { return float64(inFlight()) })
	for _, fault := range probe.Faults() {
		if fault != probe.FaultBusy { // counted as shed
			e.faults.WithLabelValues(string(fault))
		}
	}
	e.registry.MustRegister(
		version.NewCollector("rollcall"),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return e
}

func (e *Exporter) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	e.registry.MustRegister(c)
	return c
}

// gauge adds a metric whose value is asked for at each scrape.
func (e *Exporter) gauge(name, help string, value func() float64) {
	e.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Observe counts a verdict. It implements probe.Observer.
func (e *Exporter) Observe(r *probe.Record) {
	result := "up"
	if f := r.Result.Failure; f != nil {
		result = "down"
		e.failures.WithLabelValues(string(f.Stage), string(f.Reason)).Inc()
	}
	e.probes.WithLabelValues(r.Prober, result).Inc()
}

// Failed counts a probe that has no verdict because of the exporter. It takes any error of Runner.Do and ignores those
// that the client caused.
func (e *Exporter) Failed(err error) {
	switch fault, ok := errors.AsType[*probe.ExporterError](err); {
	case !ok:
	case fault.Fault == probe.FaultBusy:
		e.shed.Inc()
	default:
		e.faults.WithLabelValues(string(fault.Fault)).Inc()
	}
}

// ModuleUnknown counts a request for a module that does not exist. The names are not kept, because a client could invent
// any number of them.
func (e *Exporter) ModuleUnknown() { e.moduleUnknown.Inc() }

// ReportReloads adds how the configuration was last loaded: last tells at each scrape whether the last attempt
// succeeded, and when one last did. It is config.Manager's LastReload.
func (e *Exporter) ReportReloads(last func() (ok bool, at time.Time)) {
	e.gauge("rollcall_config_last_reload_successful", "1 if the last attempt to load the configuration succeeded, else 0.",
		func() float64 { ok, _ := last(); return number(ok) })
	e.gauge("rollcall_config_last_reload_success_timestamp_seconds", "Unix time of the last successful load of the configuration.",
		func() float64 { _, at := last(); return float64(at.UnixNano()) / 1e9 })
}

// ReportUnusableModules adds how many configured modules cannot be used at present; count is asked at each scrape.
func (e *Exporter) ReportUnusableModules(count func() int) {
	e.gauge("rollcall_config_modules_unusable",
		"Configured modules that cannot be used, e.g. because a file that they name is missing. The log names them.",
		func() float64 { return float64(count()) })
}

// Handler serves /metrics, in OpenMetrics from openMetrics.
func (e *Exporter) Handler() http.Handler {
	options := promhttp.HandlerOpts{Registry: e.registry, EnableOpenMetrics: true}
	others := promhttp.HandlerFor(e.registry, options)
	open := promhttp.HandlerFor(openMetrics{e.registry}, options)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...).FormatType() == expfmt.TypeOpenMetrics {
			open.ServeHTTP(w, r)
		} else {
			others.ServeHTTP(w, r)
		}
	})
}

// openMetrics gathers families so that OpenMetrics can have them: there the name of a counter's family lacks its _total, and
// the Go runtime has a gauge of that name, go_memstats_alloc_bytes. Such a counter is of unknown type, which keeps its name.
type openMetrics struct{ prometheus.Gatherer }

// Gather implements prometheus.Gatherer.
func (g openMetrics) Gather() ([]*dto.MetricFamily, error) {
	families, err := g.Gatherer.Gather()
	names := make(map[string]bool, len(families))
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, f := range families {
		base, counts := strings.CutSuffix(f.GetName(), "_total")
		if f.GetType() != dto.MetricType_COUNTER || !counts || !names[base] {
			continue
		}
		f.Type = dto.MetricType_UNTYPED.Enum() // Gather has made the family for us
		for _, m := range f.Metric {
			m.Untyped, m.Counter = &dto.Untyped{Value: m.Counter.Value}, nil
		}
	}
	return families, err
}

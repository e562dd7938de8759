package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"rollcall/probe"
)

// probe answers /probe: it checks one target with one module and replies with the metrics. A reply that is not a
// verdict about the target is never 200.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	p, err := parseParams(r.URL.RawQuery)
	if err == nil && p.target == "" {
		err = errors.New("the parameter target is missing; accepted: /probe?target=<host:port or URL>&module=<name>")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asker, err := parseScrapeTimeout(r.Header.Get(scrapeTimeoutHeader))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if p.module == "" {
		p.module = probe.DefaultModule(p.target)
	}
	config := s.options.Current()
	module, err := config.Module(p.module)
	if err != nil {
		s.refuseModule(w, err)
		return
	}

	request := probe.Request{
		Target: p.target, Hostname: p.hostname, Timeout: timeLimit(asker, s.options.TimeoutOffset, module.Timeout),
	}
	debug := p.debug == "true"
	if debug || s.logsSteps(r.Context()) {
		request.Trace = new(probe.Trace)
	}
	if limit := max(request.Timeout, module.Timeout); limit+replyTimeout > writeTimeout {
		allowWriting(w, limit+replyTimeout)
	}
	record, err := s.options.Runner.Do(r.Context(), module, request)
	if err != nil {
		s.refuseProbe(w, err)
		return
	}
	if debug {
		allowWriting(w, replyTimeout) // it may be long, and the reader slow
		s.writeReport(w, &record, config)
		return
	}
	_ = s.replies.Write(w, r.Header.Get("Accept"), &record) // an error means that the asker has gone
}

func (s *Server) refuseModule(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, probe.ErrUnknownModule):
		s.options.Exporter.ModuleUnknown()
		status = http.StatusBadRequest
	case errors.Is(err, probe.ErrUnsupportedProber):
		status = http.StatusNotImplemented
	}
	http.Error(w, err.Error(), status)
}

// refuseProbe answers when nothing is known about the target.
func (s *Server) refuseProbe(w http.ResponseWriter, err error) {
	s.options.Exporter.Failed(err)
	var target *probe.TargetError
	var denied *probe.DeniedError
	var fault *probe.ExporterError
	switch {
	case errors.As(err, &target):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.As(err, &denied):
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.As(err, &fault) && (fault.Fault == probe.FaultBusy || fault.Fault == probe.FaultShutdown):
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.Is(err, context.Canceled):
		// Nobody reads this, unless it was us who gave up; an empty 200 would then be a lie.
		http.Error(w, "the request was cancelled", http.StatusServiceUnavailable)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// logsSteps reports whether the probe log wants more than verdicts.
func (s *Server) logsSteps(ctx context.Context) bool {
	return s.options.ProbeLog != nil && s.options.ProbeLog.Enabled(ctx, slog.LevelDebug)
}

func (s *Server) logVerdict(r probe.Record) {
	level, message := slog.LevelDebug, "probe succeeded"
	if r.Result.Failure != nil {
		level, message = slog.LevelInfo, "probe failed"
	}
	ctx := context.Background() // the verdict is logged also when the asker has gone meanwhile
	if s.options.ProbeLog == nil || !s.options.ProbeLog.Enabled(ctx, level) {
		return
	}
	log := s.options.ProbeLog.With("module", r.Module, "target", probe.RedactTarget(r.Target))
	for _, step := range r.Trace.Steps() {
		log.Log(ctx, slog.LevelDebug, step.Text)
	}
	attributes := []any{"duration_seconds", r.Result.Duration.Seconds(), "timeout_seconds", r.Timeout.Seconds()}
	if f := r.Result.Failure; f != nil {
		attributes = append(attributes, "stage", string(f.Stage), "reason", string(f.Reason), "err", f.Err)
	}
	log.Log(ctx, level, message, attributes...)
}

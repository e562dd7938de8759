package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"rollcall/alert/witness"
	"rollcall/probe"
	"rollcall/redact"
	"rollcall/web/port"
)

// probe answers /probe: it checks one target with one module and replies with the metrics. A reply that is not a
// verdict about the target is never 200. The administrator sees more of a probe with debug=true.
func (s site) probe(w http.ResponseWriter, r *http.Request) {
	q, err := s.query(r)
	if err != nil {
		s.refuseQuery(w, err)
		return
	}
	if limit := max(q.request.Timeout, q.module.Timeout); limit+replyTimeout > writeTimeout {
		allowWriting(w, limit+replyTimeout)
	}
	record, err := s.options.Runner.Do(r.Context(), q.module, q.request)
	if err != nil {
		s.refuseProbe(w, r, err)
		return
	}
	if s.take(w, r, replyMemory) {
		defer s.options.Memory.Give(replyMemory)
		s.writeProbe(w, r, q, record)
	}
}

// writeProbe replies with the metrics of record, or with a report about it.
func (s site) writeProbe(w http.ResponseWriter, r *http.Request, q *query, record *probe.Record) {
	if q.report {
		allowWriting(w, replyTimeout) // it may be long, and the client slow
		s.writeReport(w, r, record, q)
		return
	}
	_ = s.replies.Write(w, r.Header.Get("Accept"), record, q.hint) // an error means that the client has gone
}

// query is what a request to /probe asks for.
type query struct {
	request probe.Request
	module  *probe.Module
	config  Config // that module is from
	report  bool   // the reply is text for a person
	hint    string // what a person who reads the metrics should know of the request; empty: nothing
}

// crowd is how many probes in flight it takes to look up how long a request waited. Fewer are started within a few
// hundredths of a second, and the system call is not worth it.
const crowd = 64

// query reads r. Its errors are the config's about the module, or else say what is wrong with r.
func (s *Server) query(r *http.Request) (*query, error) {
	p, err := parseParams(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if p.module == "" {
		p.module = probe.DefaultModule(p.target)
	}
	q := &query{config: s.options.Current(), report: p.debug == "true", hint: s.hint(&p)}
	if q.module, err = q.config.Module(p.module); err != nil { // before the target is missed: it is counted in any case
		return nil, err
	}
	if p.target == "" {
		return nil, errors.New("the parameter target is missing; accepted: /probe?target=<host:port or URL>&module=<name>")
	}
	allowed, err := parseScrapeTimeout(r.Header.Get(scrapeTimeoutHeader))
	if err != nil {
		return nil, err
	}
	q.request = probe.Request{
		Target: p.target, Hostname: p.hostname,
		// Another site's page sends no mail, nor does a person who tries something, nor a Rollcall that wants a second opinion.
		Debug:   q.report || s.browsers.foreign(r) || r.Header.Get(witness.Header) != "",
		Timeout: timeLimit(allowed, s.options.TimeoutOffset, q.module.Timeout),
	}
	if patience := allowed - s.options.TimeoutOffset; patience > 0 && s.options.Runner.InFlight() >= crowd {
		q.request.Late = max(0, q.request.Timeout-(patience-port.SinceArrived(r)))
	}
	if q.report || s.logsSteps(r.Context()) {
		q.request.Trace = &probe.Trace{ShowSent: s.options.ShowSent}
	}
	return q, nil
}

// hint is what a reply should say of a request that is odd and answered all the same. What the log says, it says once: a scrape
// job has it in every scrape.
func (s *Server) hint(p *params) string {
	if p.repeated != "" {
		s.logOnce("a parameter of /probe is there more than once; the first counts", p.repeated)
	}
	switch p.debug {
	case "", "true", "false", "0":
	default:
		s.logOnce("the parameter debug of /probe has another value than true, which has no effect", "debug")
		return fmt.Sprintf("debug=%s has no effect; accepted: debug=true", p.debug)
	}
	if p.unknown != "" { // not logged: it may be the end of a target with secrets
		return fmt.Sprintf("the parameter %.40q has no effect; accepted: target, module, hostname, debug; a & inside a target is written %%26", p.unknown)
	}
	return ""
}

// logOnce logs a remark about a parameter once.
func (s *Server) logOnce(remark, parameter string) {
	if _, said := s.remarks.LoadOrStore(remark+parameter, true); !said && s.options.Logger != nil {
		s.options.Logger.Warn(remark, "parameter", parameter)
	}
}

// refuseQuery answers when it is not clear what to probe.
func (s *Server) refuseQuery(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var unusable *probe.UnusableModule
	switch {
	case errors.Is(err, probe.ErrUnknownModule):
		s.options.Exporter.ModuleUnknown()
	case errors.Is(err, probe.ErrUnsupportedProber):
		status = http.StatusNotImplemented
	case errors.As(err, &unusable):
		status = http.StatusInternalServerError
	}
	http.Error(w, err.Error(), status)
}

// refuseProbe answers when nothing is known about the target.
func (s *Server) refuseProbe(w http.ResponseWriter, r *http.Request, err error) {
	s.options.Exporter.Failed(err)
	var target *probe.TargetError
	var denied *probe.DeniedError
	var ours *probe.ExporterError
	if errors.As(err, &ours) && ours.Fault == probe.FaultMemory {
		port.Relieve(r)
	}
	switch {
	case errors.As(err, &target):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.As(err, &denied):
		http.Error(w, err.Error(), http.StatusForbidden)
	case ours != nil && (ours.Fault == probe.FaultBusy || ours.Fault == probe.FaultShutdown):
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.Is(err, context.Canceled):
		// The client has gone, or we gave up ourselves; then an empty 200 would be wrong.
		http.Error(w, "the request was cancelled", http.StatusServiceUnavailable)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// logsSteps reports whether the probe log takes more than verdicts.
func (s *Server) logsSteps(ctx context.Context) bool {
	return s.options.ProbeLog != nil && s.options.ProbeLog.Enabled(ctx, slog.LevelDebug)
}

func (s *Server) logVerdict(r *probe.Record) {
	level, message := slog.LevelDebug, "probe succeeded"
	if r.Result.Failure != nil {
		level, message = slog.LevelInfo, "probe failed"
	}
	ctx := context.Background() // the verdict is logged also when the client has gone
	if s.options.ProbeLog == nil || !s.options.ProbeLog.Enabled(ctx, level) {
		return
	}
	log := s.options.ProbeLog.With("module", r.Module, "target", redact.Target(r.Target))
	if s.logsSteps(ctx) {
		for _, step := range r.Trace.Steps() {
			log.Log(ctx, slog.LevelDebug, step.Text)
		}
	}
	attributes := []any{"duration_seconds", r.Result.Duration.Seconds(), "timeout_seconds", r.Timeout.Seconds()}
	if f := r.Result.Failure; f != nil {
		attributes = append(attributes, "stage", string(f.Stage), "reason", string(f.Reason), "err", f.Err)
	}
	log.Log(ctx, level, message, attributes...)
}

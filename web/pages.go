package web

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"rollcall/history"
	"rollcall/redact"
	"rollcall/report"
)

// targets answers /metrics/targets: the last verdicts about the configured targets, for one scrape of all of them.
func (s *Server) targets(w http.ResponseWriter, r *http.Request) {
	_ = s.options.Targets.Write(w, r.Header.Get("Accept")) // an error means that the client has gone
}

func (s *Server) healthy(w http.ResponseWriter, _ *http.Request) { writeText(w, []byte("Healthy\n")) }

func (s *Server) readiness(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "Not ready: rollcall is starting or ending", http.StatusServiceUnavailable)
		return
	}
	writeText(w, []byte("Ready\n"))
}

func (s site) config(w http.ResponseWriter, r *http.Request) {
	s.showText(w, r, s.frame("Configuration", "config", 0, time.Now()), s.options.Current().YAML(), nil)
}

// reload loads the configuration again. A page of another site cannot make a browser do it.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if err := s.browsers.mayChange(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	err := s.options.Reload()
	allowWriting(w, replyTimeout) // it may have waited for another reload, and for itself
	if err != nil {
		http.Error(w, "reloading the configuration failed, the old one stays in place:\n"+err.Error(), http.StatusInternalServerError)
		return
	}
	text := "The configuration is reloaded.\n"
	for _, m := range modules(s.options.Current()) {
		for _, reason := range m.Unusable {
			text += "The module " + m.Name + " cannot be used: " + reason + "\n"
		}
	}
	writeText(w, []byte(text))
}

// wrongReloadMethod answers every method that does not reload. It says more than the mux would, because people try a
// browser's address bar first.
func wrongReloadMethod(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", "POST, PUT")
	http.Error(w, "a reload changes state; accepted: POST or PUT, e.g. curl -X POST", http.StatusMethodNotAllowed)
}

// logs shows one result of the history: by its id, or the newest of a target, with module narrowing the choice.
func (s site) logs(w http.ResponseWriter, r *http.Request) {
	fr := s.frame("", "probes", 0, time.Now())
	p, err := parseParams(r.URL.RawQuery)
	if err == nil && (p.id == "") == (p.target == "") {
		err = errors.New("no result is selected; accepted: /logs?id=<number> or /logs?target=<target>&module=<name>")
	}
	var id int64
	if err == nil && p.id != "" {
		if id, err = strconv.ParseInt(p.id, 10, 64); err != nil {
			err = errors.New("the parameter id is not a number; accepted: the number from the table of results")
		}
	}
	if err != nil {
		s.fail(w, r, fr, badRequest{err})
		return
	}
	// Targets are compared as they are shown, so that a password cannot be guessed here.
	target := redact.Target(p.target)
	found, ok := s.recent.find(func(kept *result) bool {
		if p.id != "" {
			return kept.id == id
		}
		return (p.module == "" || p.module == kept.record.Module) && redact.Target(kept.record.Target) == target
	})
	if !ok {
		s.fail(w, r, fr, inWords(history.ErrNotFound, "no such result is kept; the number of recent results is limited, see --history.limit"))
		return
	}
	fr.Title = report.Printable(redact.Target(found.record.Target))
	s.showText(w, r, fr, s.report(found.record, s.options.Current(), true), &found.record.Result)
}

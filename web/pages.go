package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"rollcall/collector"
	"rollcall/probe"
	"rollcall/redact"
	"rollcall/report"
)

//go:embed templates static
var files embed.FS

func newIndex() *template.Template {
	return template.Must(template.ParseFS(files, "templates/index.html"))
}

// The landing page's tables are bounded.
const (
	maxRows    = 200
	maxFailing = 20
)

// landingPage is what the template shows.
type landingPage struct {
	Version string
	Modules []module
	Targets *targetStates // nil: none is configured
	Rows    []row
	Admin   bool // the pages with details are on this address
}

// module is one of the configuration.
type module struct {
	Name     string
	Unusable []string // why it cannot be used; none: it can
}

// modules lists the modules in the order of the file.
func modules(c Config) (all []module) {
	for _, name := range c.Names() {
		m := module{Name: name}
		_, err := c.Module(name)
		if unusable := (*probe.UnusableModule)(nil); errors.As(err, &unusable) {
			m.Unusable = strings.Split(unusable.Err.Error(), "\n")
		}
		all = append(all, m)
	}
	return all
}

// targetStates is how the configured targets are.
type targetStates struct {
	Up, Down, Unknown int
	Failing           []row // those that are down, at most maxFailing
	More              int   // further ones that are down
}

// row is one result in the table.
type row struct {
	ID     int64
	Time   time.Time
	Age    string
	Module string
	Target string
	Up     bool
	Stage  string
	Reason string
	Took   string
}

func (s *Server) landing(admin bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := landingPage{Version: s.options.Version, Modules: modules(s.options.Current()), Admin: admin}
		now := time.Now()
		p.Targets = newTargetStates(s.options.Targets.Summary(maxFailing), now)
		for _, kept := range s.recent.latest(maxRows) {
			p.Rows = append(p.Rows, newRow(&kept, now))
		}
		var body bytes.Buffer
		if err := s.index.Execute(&body, p); err != nil {
			http.Error(w, "rendering the page: "+err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Length", strconv.Itoa(body.Len()))
		_, _ = w.Write(body.Bytes()) // an error means that the client has gone
	}
}

func newTargetStates(summary collector.TargetSummary, now time.Time) *targetStates {
	t := &targetStates{Up: summary.Up, Down: summary.Down, Unknown: summary.Unknown, More: summary.Down - len(summary.Failing)}
	if t.Up+t.Down+t.Unknown == 0 {
		return nil
	}
	for _, down := range summary.Failing {
		t.Failing = append(t.Failing, row{
			Time: down.Since.UTC(), Age: age(now.Sub(down.Since)), Module: down.Module, Target: report.Printable(down.Target),
			Stage: down.Stage, Reason: down.Reason,
		})
	}
	return t
}

func newRow(kept *result, now time.Time) row {
	record := &kept.record
	r := row{
		ID: kept.id, Time: record.Result.Start.UTC(), Age: age(now.Sub(record.Result.Start)), Module: record.Module,
		Target: report.Printable(redact.Target(record.Target)), Up: record.Result.Up(), Took: took(record.Result.Duration),
	}
	if f := record.Result.Failure; f != nil {
		r.Stage, r.Reason = string(f.Stage), string(f.Reason)
	}
	return r
}

// age is how long ago something was, in one unit.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s ago"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min ago"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h ago"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " d ago"
}

// took is a duration with three digits.
func took(d time.Duration) string {
	value, unit := float64(d), " ns"
	switch {
	case d >= time.Second:
		value, unit = d.Seconds(), " s"
	case d >= time.Millisecond:
		value, unit = value/1e6, " ms"
	case d >= time.Microsecond:
		value, unit = value/1e3, " µs"
	}
	digits := 0
	switch {
	case unit == " ns" || value >= 100:
	case value >= 10:
		digits = 1
	default:
		digits = 2
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + unit
}

// targets answers /metrics/targets: the last verdicts about the configured targets, for one scrape of all of them.
func (s *Server) targets(w http.ResponseWriter, r *http.Request) {
	_ = s.options.Targets.Write(w, r.Header.Get("Accept")) // an error means that the client has gone
}

// static serves the style sheet and the icon. A browser asks each time whether they have changed: those of an older
// version would not fit a new page.
func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	name := path.Join("static", r.PathValue("name"))
	content, err := files.ReadFile(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(content)))
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}

func (s *Server) healthy(w http.ResponseWriter, _ *http.Request) { writeText(w, []byte("Healthy\n")) }

func (s *Server) readiness(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "Not ready: rollcall is starting or ending", http.StatusServiceUnavailable)
		return
	}
	writeText(w, []byte("Ready\n"))
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	writeText(w, s.options.Current().YAML())
}

// reload loads the configuration again. A page of another site cannot make a browser do it.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if err := s.crossOrigin.Check(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if err := s.options.Reload(); err != nil {
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
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
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
		http.Error(w, err.Error(), http.StatusBadRequest)
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
		http.Error(w, "no such result is kept; the history is limited, see --history.limit", http.StatusNotFound)
		return
	}
	writeText(w, s.report(&found.record, s.options.Current()))
}

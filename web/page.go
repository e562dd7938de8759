package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/history"
	"rollcall/probe"
	"rollcall/redact"
	"rollcall/web/chart"
)

//go:embed templates static
var files embed.FS

// frame is what all pages have around their content.
type frame struct {
	Title   string
	Root    string // relative path to the first page: "./" or "../"
	Here    string // which entry of the navigation this page belongs to
	Version string
	Admin   bool   // the pages with details are on this address
	Refresh int    // seconds until the page is to be read again; 0: never
	Notice  string // what is wrong with the history; empty: nothing
	Now     *moment
}

// templates are those of the pages, by file, each with the frame around it. They are parsed for the first page, because many
// a rollcall is only scraped, and garbage collection looks at all of what they consist of each time.
var templates = sync.OnceValue(func() map[string]*template.Template {
	pages := make(map[string]*template.Template)
	names, err := files.ReadDir("templates")
	if err != nil {
		panic(err) // they are embedded
	}
	for _, entry := range names {
		if name := entry.Name(); name != "frame.html" && name != "parts.html" {
			page := template.New(name).Funcs(template.FuncMap{"number": number, "short": short, "half": func(d time.Duration) string { return short(d / 2) }})
			pages[name] = template.Must(page.ParseFS(files, "templates/frame.html", "templates/parts.html", "templates/"+name))
		}
	}
	return pages
})

// frame makes the frame of a page whose path below the prefix has depth slashes behind the first.
func (s site) frame(title, here string, depth int, now time.Time) frame {
	return frame{
		Title: title, Root: cmp.Or(strings.Repeat("../", depth), "./"), Here: here, Version: s.options.Version, Admin: s.admin, Now: newMoment(now, now),
	}
}

// watch has the page read again, and says what is wrong with the history that it shows.
func (f *frame) watch(status history.Status, now time.Time) {
	f.Refresh = 30
	switch {
	case status.Problem != "" && status.Kind == "embedded":
		f.Notice = fmt.Sprintf("History has not been kept for %s. Probing and alerting go on. %s", span(now.Sub(status.Since)), status.Problem)
	case status.Problem != "":
		f.Notice = "History cannot be read: " + status.Problem
	case status.Loading:
		f.Notice = "The history is still being read; what is shown is not complete."
	}
}

// render writes a page. The model embeds frame.
func (s *Server) render(w http.ResponseWriter, status int, name string, model any) {
	var body bytes.Buffer
	if err := templates()[name].ExecuteTemplate(&body, "frame", model); err != nil {
		http.Error(w, "rendering the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // an error means that the client has gone
}

// writeTagged writes what clients may keep and ask about again: 304 when it is the same as theirs.
func writeTagged(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// wantsPage reports whether a request comes from a browser that shows pages. Others, e.g. curl, get plain text, and
// format=text asks for it.
func wantsPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.Contains("&"+r.URL.RawQuery+"&", "&format=text&")
}

// textPage is a page around a text.
type textPage struct {
	frame
	Text      string
	State     history.State // of a probe; empty: it is about none
	Phases    template.HTML
	PhaseList []phaseRow
	Plain     string // link to the text alone; empty: none
}

// showText answers with the text, in the frame for a browser. of is the probe that it is about; nil: none.
func (s *Server) showText(w http.ResponseWriter, r *http.Request, f frame, text []byte, of *probe.Result) {
	w.Header().Add("Vary", "Accept")
	if !wantsPage(r) {
		writeText(w, text)
		return
	}
	plain := "?format=text"
	if r.URL.RawQuery != "" {
		plain = "?" + r.URL.RawQuery + "&format=text"
	}
	if target := r.URL.Query().Get("target"); redact.Target(target) != target {
		plain = "" // the page would show the password
	}
	p := textPage{frame: f, Text: string(text), Plain: plain}
	if of != nil {
		p.State, p.Phases, p.PhaseList = history.StateUp, chart.PhaseBar(of.Phases), phaseRows(of.Phases)
		if !of.Up() {
			p.State = history.StateDown
		}
	}
	s.render(w, http.StatusOK, "text.html", p)
}

// fail answers an error: as a page for a browser.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, f frame, err error) {
	status := errorStatus(err, http.StatusInternalServerError)
	if !wantsPage(r) {
		http.Error(w, err.Error(), status)
		return
	}
	f.Title = http.StatusText(status)
	s.render(w, status, "text.html", textPage{frame: f, Text: err.Error()})
}

// badRequest is what is wrong with a request.
type badRequest struct{ error }

// errorStatus is the status of an answer that says err; other: it is neither a badRequest nor history.ErrNotFound.
func errorStatus(err error, other int) int {
	if _, ok := errors.AsType[badRequest](err); ok {
		return http.StatusBadRequest
	}
	if errors.Is(err, history.ErrNotFound) {
		return http.StatusNotFound
	}
	return other
}

const noSuchTarget = "no target has this ID, or nothing is kept of it any more"

// inWords returns err, but history.ErrNotFound with a text for a person.
func inWords(err error, text string) error {
	if errors.Is(err, history.ErrNotFound) {
		return redact.WithText(err, text)
	}
	return err
}

// static serves the style sheet, the script and the icon. A browser asks each time whether they have changed: those of
// an older version would not fit a new page.
func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	content, err := files.ReadFile("static/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	writeTagged(w, r, mime.TypeByExtension(path.Ext(name)), content)
}

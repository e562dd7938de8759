package web

import (
	"io"
	"net/http"
	"net/http/pprof"
	"path"
	"strings"
	"time"

	"rollcall/web/port"
)

// cleanPrefix makes "", "/", "x" and "/x/" into what a path can be appended to: "" or "/x".
func cleanPrefix(prefix string) string {
	if prefix = path.Clean("/" + prefix); prefix == "/" {
		return ""
	}
	return prefix
}

// site answers the requests to one address: a public one or the administrator's.
type site struct {
	*Server
	admin bool // the paths and details that are the administrator's are here, too
}

// handler is all routes. The mux answers other paths with 404, and other methods with 405 and the allowed ones.
func (s site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(s.route+"/probe", s.probe)
	handle := func(pattern string, handler http.Handler) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" "+s.route+path, handler)
	}
	page := func(pattern string, handler http.HandlerFunc) { handle(pattern, secured(handler)) }
	large := func(pattern string, handler http.HandlerFunc) { page(pattern, s.held(pageMemory, handler)) }
	large("GET /{$}", s.overview)
	large("GET /target/{id}", s.target)
	large("GET /incidents", s.incidents)
	large("GET /incidents.atom", s.feed)
	large("GET /incident/{id}", s.incident)
	large("GET /probes", s.probes)
	large("GET /api/v1/targets", api(s.apiTargets))
	large("GET /api/v1/targets/{id}/results", s.results)
	large("GET /api/v1/incidents", api(s.apiIncidents))
	page("GET /badge/{id}/{kind}", s.badgeOf)
	page("GET /static/{name}", s.static)
	large("GET /metrics", s.options.Exporter.Handler().ServeHTTP)
	large("GET /metrics/targets", s.targets)
	page("GET /-/healthy", s.healthy)
	page("GET /-/ready", s.readiness)
	if s.route != "" {
		// A request without the prefix did not come through a proxy, so it is redirected to our own path. One that
		// lacks only the last slash may have come through a proxy that has another path for us.
		mux.Handle("GET /{$}", http.RedirectHandler(s.route+"/", http.StatusFound))
		mux.Handle("GET "+s.route, http.RedirectHandler(s.outside+"/", http.StatusFound))
	}
	if s.admin {
		large("GET /config", s.config)
		large("GET /logs", s.logs)
		page("POST /-/reload", s.reload)
		page("PUT /-/reload", s.reload)
		mux.HandleFunc(s.route+"/-/reload", secured(wrongReloadMethod))
		if s.options.EnablePprof {
			for pattern, profile := range profiles {
				handle(pattern, http.StripPrefix(s.route, profile))
			}
		}
	}
	return s.counted(bounded(port.Answering(mux)))
}

// profiles may take longer than a page; they are asked how long.
var profiles = map[string]http.HandlerFunc{
	"GET /debug/pprof/":        pprof.Index,
	"GET /debug/pprof/cmdline": pprof.Cmdline,
	"GET /debug/pprof/profile": pprof.Profile,
	"GET /debug/pprof/symbol":  pprof.Symbol,
	"POST /debug/pprof/symbol": pprof.Symbol,
	"GET /debug/pprof/trace":   pprof.Trace,
}

// contentPolicy lets a page have its own style sheet, script and icon, read itself again and send its own form, and nothing
// else: what a target manages to put on a page stays text.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // a page's address may hold a target
}

// secured adds security headers, and a limit on how slowly a client may receive the page.
func secured(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		setSecurityHeaders(w.Header())
		allowWriting(w, replyTimeout)
		handler(w, r)
	}
}

// What a request takes until its client has read the reply: each for its goroutine and buffers, and more for a page with a
// compressor, and for a reply of /probe.
const (
	requestMemory = 16 << 10
	pageMemory    = 1 << 20
	replyMemory   = 32 << 10
)

// counted answers with next when there is memory for the request. Those that say whether we are alive need none.
func (s *Server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != s.route+"/-/healthy" && r.URL.Path != s.route+"/-/ready" {
			if !s.take(w, r, requestMemory) {
				return
			}
			defer s.options.Memory.Give(requestMemory)
		}
		next.ServeHTTP(w, r)
	})
}

// held answers with handler when there is memory for the reply.
func (s *Server) held(n int64, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.take(w, r, n) {
			defer s.options.Memory.Give(n)
			handler(w, r)
		}
	}
}

// take takes the memory for a reply, which the caller gives back, or says that there is none. A client of HTTP/2 may request
// many replies at a time and read none.
func (s *Server) take(w http.ResponseWriter, r *http.Request, n int64) bool {
	err := s.options.Memory.Take(n)
	if err == nil {
		return true
	}
	s.options.Exporter.Failed(err)
	port.Relieve(r)
	w.Header().Set("Retry-After", "1")
	if r.ProtoMajor > 1 { // a body would wait for the client's window
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
	return false
}

// allowWriting sets how long from now the reply may take. A writer without deadlines, e.g. a test's recorder, cannot block
// on a slow client either.
func allowWriting(w http.ResponseWriter, limit time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
}

// maxRequestBody bounds the body of a request. Nothing here reads one, but any method works on /probe.
const maxRequestBody = 64 << 10

// bounded receives a request's body before its handler runs. net/http would read it after the handler, without a time
// limit, and it notices that the client has gone only after the body.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && !discardBody(w, r) {
			w.Header().Set("Connection", "close")
			http.Error(w, "the request's body is larger than 64 KiB, broken, or too slow; nothing here needs one", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func discardBody(w http.ResponseWriter, r *http.Request) bool {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(replyTimeout))
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxRequestBody+1))
	_ = control.SetReadDeadline(time.Time{})
	return err == nil && n <= maxRequestBody
}

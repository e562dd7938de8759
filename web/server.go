// Package web is the HTTP side: /probe, the exporter's own pages and the endpoints under /-/. It gets verdicts from the
// Runner and has collector write them; it does not probe, reads no option and knows no metric name.
package web

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/collector"
	"rollcall/history"
	"rollcall/probe"
	"rollcall/web/port"
)

// Config is one loaded configuration. It never changes: a reload replaces it, so a request that asks for it once sees one
// configuration from start to end. It is an interface because web does not import config: the tests of web have modules
// with fake probers, which no configuration file can have.
type Config interface {
	// Module returns the module of that name. The error wraps probe.ErrUnknownModule when there is none, and is a
	// *probe.UnusableModule when the module cannot be used.
	Module(name string) (*probe.Module, error)
	// ModuleYAML returns the module's configuration for a person, with secrets hidden.
	ModuleYAML(name string) []byte
	// YAML returns the whole configuration, with secrets hidden.
	YAML() []byte
	// Names returns the names of all modules in the order of the file.
	Names() []string
}

// Options is what a Server needs. They are set before New and not changed afterwards.
type Options struct {
	Current  func() Config // the configuration that applies now
	Reload   func() error  // loads it again; the error says what is wrong with the file
	Runner   *probe.Runner
	Exporter *collector.Exporter // whose Observe the Runner calls; the Server adds what it refuses
	Targets  *collector.Targets  // those that are configured, whose Observe the Runner calls

	History       func() history.Source // of the configured targets, as it is read now
	HistoryLimit  int                   // results kept for the pages, and as many older failures; 0: none
	TimeoutOffset time.Duration         // subtracted from Prometheus's time limit, to answer before it is over
	ExternalURL   *url.URL              // where browsers find the server; nil: at RoutePrefix
	Hostname      string                // of this machine; empty: not known
	RoutePrefix   string                // what comes before every path; empty: ExternalURL's path
	SeparateAdmin bool                  // /config, /logs, /-/reload and /debug/pprof are only on AdminHandler
	EnablePprof   bool
	ShowSent      bool          // debug=true shows what modules send
	Memory        *probe.Memory // what replies take that clients do not read; nil: no bound
	Version       string        // shown on each page

	Logger *slog.Logger // gets remarks about requests; nil: none
	// ProbeLog gets a line for each verdict: up at debug level, down at info level, and at debug level the
	// steps of each /probe request as well. Nil: none.
	ProbeLog *slog.Logger
}

// Server answers the requests. It is an observer of the Runner, which is how results get into its pages.
type Server struct {
	options Options
	route   string // "" or "/x", before every path of the mux
	outside string // "" or "/x", before every path as a browser sees it

	replies collector.Replies
	recent  *recentResults
	ready   atomic.Bool

	browsers *browsers
	remarks  sync.Map // those about requests that were logged; as many as parseParams knows parameters
}

// New returns a Server. It is not ready until SetReady.
func New(options Options) *Server {
	s := &Server{options: options, recent: newRecentResults(options.HistoryLimit)}
	s.browsers = newBrowsers(options.ExternalURL, options.Hostname)
	s.outside = cleanPrefix(options.RoutePrefix)
	if options.ExternalURL != nil {
		s.outside = cleanPrefix(options.ExternalURL.Path)
	}
	s.route = cleanPrefix(cmp.Or(options.RoutePrefix, s.outside))
	return s
}

// base is what comes before a path in links that leave the pages: in feeds and JSON.
func (s *Server) base() string {
	if s.options.ExternalURL == nil {
		return s.outside
	}
	return strings.TrimSuffix(s.options.ExternalURL.String(), "/")
}

// SetReady decides what /-/ready says, and nothing else.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// Observe keeps the result for the pages and logs it. It implements probe.Observer.
func (s *Server) Observe(r *probe.Record) {
	s.recent.add(r)
	s.logVerdict(r)
}

// Handler serves the public addresses. It has no state outside the Server, so several listeners can share it.
func (s *Server) Handler() http.Handler { return site{s, !s.options.SeparateAdmin}.handler() }

// AdminHandler serves the administrator's address: all paths, also with SeparateAdmin.
func (s *Server) AdminHandler() http.Handler { return site{s, true}.handler() }

// HTTPServer returns a server with limits that protect it from slow and large requests and let the longest probe finish.
// It has to serve listeners of connections, which may be nil.
func HTTPServer(handler http.Handler, connections *port.Connections, errors *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute, // above the usual scrape intervals, so that Prometheus's connections stay open
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    96 << 10, // a target of 64 KiB gets an answer that says what is wrong; the longest, all escaped, has 24
		ErrorLog:          slog.NewLogLogger(errors.Handler(), slog.LevelWarn),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: maxRequestBody, MaxReceiveBufferPerStream: maxRequestBody,
		},
	}
	if connections != nil {
		connections.Attach(server)
	}
	return server
}

// maxStreams is how many requests one connection of HTTP/2 may have at a time; a client that has more makes another
// connection, as Prometheus does. Go's own limit is 250, each with a goroutine and buffers before a handler sees it.
const maxStreams = 32

// writeTimeout counts from the end of a request's header, so it holds the probe's default limit and the reply.
// A request that may take longer asks for more.
const writeTimeout = probe.DefaultTimeout + replyTimeout

// replyTimeout is how long a client may take to receive a page, and to send a request's body.
const replyTimeout = 30 * time.Second

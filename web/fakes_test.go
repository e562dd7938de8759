package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/collector"
	"rollcall/history"
	"rollcall/probe"
)

// fakeConfig is a configuration of modules with fake probers.
type fakeConfig map[string]*probe.Module

func (c fakeConfig) Module(name string) (*probe.Module, error) {
	switch m := c[name]; {
	case m == nil:
		return nil, fmt.Errorf("module %q: %w", name, probe.ErrUnknownModule)
	case m.Prober == nil && m.Kind == "grpc":
		return nil, &probe.UnusableModule{Name: name, Err: fmt.Errorf("grpc: %w", probe.ErrUnsupportedProber)}
	case m.Prober == nil:
		return nil, &probe.UnusableModule{Name: name, Err: errors.New("a.yml:7: modules.dead.http.body_file: cannot be read: <no such file>")}
	default:
		return m, nil
	}
}

func (c fakeConfig) ModuleYAML(name string) []byte { return []byte("prober: of_" + name + "\n") }
func (c fakeConfig) YAML() []byte                  { return []byte("modules:\n  secret: <secret>\n") }
func (c fakeConfig) Names() []string               { return slices.Sorted(maps.Keys(c)) }

// fakeProber answers at once, and remembers what it was asked.
type fakeProber struct {
	result probe.Result
	err    error
	during func(ctx context.Context) // called while probing

	mu   sync.Mutex
	last probe.Request
}

func (p *fakeProber) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	p.mu.Lock()
	p.last = req
	p.mu.Unlock()
	if p.during != nil {
		p.during(ctx)
	}
	if req.Trace != nil {
		req.Trace.Step("asked for %s", req.Target)
	}
	return p.result, p.err
}

func (p *fakeProber) request() probe.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func upResult() probe.Result {
	return probe.Result{
		Resolve: &probe.Resolve{Duration: time.Millisecond, Addr: netip.MustParseAddr("192.0.2.7")},
		Phases:  probe.Phases{Resolve: time.Millisecond, Connect: 2 * time.Millisecond},
		TCP:     new(probe.TCPFacts),
	}
}

func downResult() probe.Result {
	r := upResult()
	r.TCP = nil
	r.Failure = &probe.Failure{Stage: probe.StageConnect, Reason: probe.ReasonConnectionRefused, Err: errors.New("connecting to 192.0.2.7:1: refused")}
	return r
}

// fixture is a Server with everything behind it.
type fixture struct {
	*Server
	handler  http.Handler
	prober   *fakeProber // of the modules http_2xx and tcp_connect, and of "short" with a timeout of 2 s
	exporter *collector.Exporter
	targets  *collector.Targets
	past     *fakeHistory
	runner   *probe.Runner
	reloads  int
}

func newFixture(t testing.TB, change func(*Options)) *fixture {
	t.Helper()
	h := &fixture{prober: &fakeProber{result: upResult()}, targets: new(collector.Targets), past: new(fakeHistory), runner: new(probe.Runner)}
	config := fakeConfig{
		"http_2xx":    {Name: "http_2xx", Kind: "http", Prober: h.prober},
		"tcp_connect": {Name: "tcp_connect", Kind: "tcp", Prober: h.prober},
		"short":       {Name: "short", Kind: "tcp", Prober: h.prober, Timeout: 2 * time.Second},
		"ping":        {Name: "ping", Kind: "grpc"},
		"dead":        {Name: "dead", Kind: "http"},
	}
	h.exporter = collector.NewExporter(h.runner.InFlight)
	options := Options{
		Current: func() Config { return config },
		Reload:  func() error { h.reloads++; return nil },
		Runner:  h.runner, Exporter: h.exporter, Targets: h.targets, History: func() history.Source { return h.past }, HistoryLimit: 100, TimeoutOffset: 500 * time.Millisecond, Version: "1.2.3",
	}
	if change != nil {
		change(&options)
	}
	h.Server = New(options)
	h.runner.Observers = []probe.Observer{h.exporter, h.Server, h.targets, h.past}
	h.handler = h.Handler()
	return h
}

// do sends a request without a body; header is name, value, name, value.
func (h *fixture) do(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	r.ContentLength = 0
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

func (h *fixture) get(target string, header ...string) *httptest.ResponseRecorder {
	return h.do(http.MethodGet, target, header...)
}

// counts reports whether /metrics has the line.
func (h *fixture) counts(line string) bool {
	return strings.Contains(h.get("/metrics").Body.String(), "\n"+line+"\n")
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

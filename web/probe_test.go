package web

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
)

func TestProbeRepliesWithMetrics(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		h := newFixture(t, nil)
		w := h.do(method, "/probe?target=example.org:443&module=tcp_connect")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "\nprobe_success 1\n") {
			t.Errorf("%s: %d %q", method, w.Code, w.Body)
		}
		if got := w.Header().Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" {
			t.Errorf("%s: Content-Type %q", method, got)
		}
		if !h.counts(`rollcall_probes_total{prober="tcp",result="up"} 1`) {
			t.Errorf("%s: the probe is not counted", method)
		}
	}
}

func TestProbeNegotiates(t *testing.T) {
	h := newFixture(t, nil)
	w := h.get("/probe?target=x", "Accept", "application/openmetrics-text;version=1.0.0", "Accept-Encoding", "gzip")
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/openmetrics-text; version=1.0.0") || !strings.HasSuffix(w.Body.String(), "# EOF\n") {
		t.Errorf("no OpenMetrics: %v %q", w.Header(), w.Body)
	}
	if w.Header().Get("Content-Encoding") != "" {
		t.Error("the reply is compressed")
	}
}

func TestDownIsAVerdictNotAnError(t *testing.T) {
	h := newFixture(t, nil)
	h.prober.result = downResult()
	w := h.get("/probe?target=x")
	for _, line := range []string{"probe_success 0", `probe_failure_info{reason="connection_refused",stage="connect"} 1`} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("%d without %s: %s", w.Code, line, w.Body)
		}
	}
}

func TestProbeRequest(t *testing.T) {
	for _, test := range []struct{ query, target, hostname string }{
		{"target=example.org", "example.org", ""},
		{"target=example.org&hostname=www.example.org", "example.org", "www.example.org"},
		{"target=http%3A%2F%2Fe.org%2F%3Fq%3Da%252Bb%2Bc%2525+d", "http://e.org/?q=a%2Bb+c%25 d", ""},
		{"&&target=e%C3%A9.org&unknown=%zz&unknown=2", "eé.org", ""},
		{"target=a=b", "a=b", ""},
		{"module=&debug=&hostname=&target=x", "x", ""},
	} {
		h := newFixture(t, nil)
		w := h.get("/probe?" + test.query)
		got := h.prober.request()
		if w.Code != http.StatusOK || got.Target != test.target || got.Hostname != test.hostname {
			t.Errorf("%s: %d, asked for %q with hostname %q", test.query, w.Code, got.Target, got.Hostname)
		}
		if got.Trace != nil || got.Scheduled {
			t.Errorf("%s: trace %v, scheduled %v", test.query, got.Trace, got.Scheduled)
		}
	}
}

func TestModuleByTarget(t *testing.T) {
	for target, want := range map[string]string{"tcp://e.org:25": "tcp_connect", "e.org:25": "http_2xx", "https://e.org": "http_2xx"} {
		h := newFixture(t, nil)
		h.get("/probe?target=" + target)
		if kept := h.recent.latest(1); len(kept) != 1 || kept[0].record.Module != want {
			t.Errorf("%s is probed by %+v, want %s", target, kept, want)
		}
	}
}

func TestBadParametersAreRefusedWithWhatIsAccepted(t *testing.T) {
	long := strings.Repeat("a", 64<<10)
	for name, query := range map[string]string{
		"no target":             "module=tcp_connect",
		"empty target":          "target=",
		"no query":              "",
		"an empty first target": "target=&target=a",
		"a byte too long":       "target=" + long[:probe.MaxTarget+1],
		"long target":           "target=" + long,
		"long module":           "target=a&module=" + long,
		"long hostname":         "target=a&hostname=" + long,
		"long debug":            "target=a&debug=" + long,
		"NUL in target":         "target=a%00b",
		"CR LF in target":       "target=a%0d%0aHost:%20b",
		"DEL in target":         "target=a%7f",
		"C1 control in target":  "target=a%C2%85",
		"escape in module":      "target=a&module=%1b[31m",
		"LF in hostname":        "target=a&hostname=b%0a",
		"not UTF-8":             "target=%ff",
		"not encoded":           "target=%zz",
	} {
		h := newFixture(t, nil)
		w := h.get("/probe?" + query)
		if w.Code != http.StatusBadRequest || (name != "not encoded" && !strings.Contains(w.Body.String(), "accepted:")) {
			t.Errorf("%s: %d %.200q", name, w.Code, w.Body)
		}
		if h.prober.request().Target != "" || len(h.recent.latest(1)) != 0 {
			t.Errorf("%s: probed all the same", name)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	const none, short = "http_2xx", "short" // module timeouts: none, 2 s
	for _, test := range []struct {
		header, module string
		want           time.Duration
	}{
		{"", none, probe.DefaultTimeout - 500*time.Millisecond},
		{"", short, 2 * time.Second},
		{"0", none, probe.DefaultTimeout - 500*time.Millisecond},
		{"-0", none, probe.DefaultTimeout - 500*time.Millisecond},
		{"10", none, 9500 * time.Millisecond},
		{"10", short, 2 * time.Second},
		{"1.5", short, time.Second},
		{"2.5", short, 2 * time.Second},
		{"1e1", none, 9500 * time.Millisecond},
		{"300", none, 299500 * time.Millisecond},
		{"0.5", short, 2 * time.Second},
		{"0.5", none, probe.DefaultTimeout},
		{"0.1", short, 2 * time.Second},
		{"1e-320", short, 2 * time.Second},
	} {
		h := newFixture(t, nil)
		var header []string
		if test.header != "" {
			header = []string{scrapeTimeoutHeader, test.header}
		}
		w := h.get("/probe?target=x&module="+test.module, header...)
		kept := h.recent.latest(1)
		if w.Code != http.StatusOK || len(kept) != 1 || kept[0].record.Timeout != test.want {
			t.Errorf("header %q, module %s: %d, %+v, want %v", test.header, test.module, w.Code, kept, test.want)
		}
	}
	for _, header := range []string{"abc", "NaN", "nan", "Inf", "+Inf", "-Inf", "-1", "1e300", "1e5", "10s", " ", "1,5", "\x00"} {
		h := newFixture(t, nil)
		w := h.get("/probe?target=x", scrapeTimeoutHeader, header)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "accepted:") || h.prober.request().Target != "" {
			t.Errorf("header %q: %d %q", header, w.Code, w.Body)
		}
	}
}

// deadlines is a ResponseWriter that remembers how long the reply may take.
type deadlines struct {
	*httptest.ResponseRecorder
	write time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

func TestWriteTimeoutAllowsLongProbes(t *testing.T) {
	for header, want := range map[string]time.Duration{"10": 0, "120": 0, "300": 299500*time.Millisecond + replyTimeout} {
		h := newFixture(t, nil)
		r := httptest.NewRequest("GET", "/probe?target=x", http.NoBody)
		r.ContentLength = 0
		r.Header.Set(scrapeTimeoutHeader, header)
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		h.handler.ServeHTTP(w, r)
		if want == 0 && !w.write.IsZero() {
			t.Errorf("%s s: the limit is changed for nothing", header)
		}
		if left := time.Until(w.write); want != 0 && (left > want || left < want-10*time.Second) {
			t.Errorf("%s s: the reply may take %v, want %v", header, left, want)
		}
	}
	if server := HTTPServer(nil, nil, quiet()); server.WriteTimeout < probe.DefaultTimeout+10*time.Second || server.ReadTimeout != 0 {
		t.Errorf("the server cuts a probe: write timeout %v, read timeout %v", server.WriteTimeout, server.ReadTimeout)
	}
}

func TestNoVerdictIsNever200(t *testing.T) {
	fault := func(f probe.Fault) error {
		return &probe.ExporterError{Fault: f, Err: errors.New("it is us: " + string(f))}
	}
	for _, test := range []struct {
		name, query string
		err         error
		status      int
		body        string
		counted     string
	}{
		{"unknown module", "target=x&module=nope", nil, 400, "nope", "rollcall_module_unknown_total 1"},
		{"unsupported prober", "target=x&module=ping", nil, 501, "grpc", "rollcall_module_unknown_total 0"},
		{"bad target", "target=x", &probe.TargetError{Err: errors.New("a port is missing")}, 400, "a port is missing", ""},
		{"denied", "target=x", &probe.DeniedError{Err: errors.New("the guard denies x")}, 403, "the guard denies x", ""},
		{"busy", "target=x", fault(probe.FaultBusy), 503, "busy", "rollcall_probes_shed_total 1"},
		{"shutdown", "target=x", fault(probe.FaultShutdown), 503, "shutdown", `rollcall_exporter_errors_total{reason="shutdown"} 1`},
		{"descriptors", "target=x", fault(probe.FaultDescriptors), 500, "descriptors", `rollcall_exporter_errors_total{reason="descriptors"} 1`},
		{"file", "target=x", fault(probe.FaultFile), 500, "file", `rollcall_exporter_errors_total{reason="file"} 1`},
		{"unexpected", "target=x", errors.New("something else"), 500, "something else", ""},
		{"cancelled", "target=x", context.Canceled, 503, "cancelled", ""},
	} {
		for _, debug := range []string{"", "&debug=true"} {
			h := newFixture(t, nil)
			h.prober.err = test.err
			w := h.get("/probe?" + test.query + debug)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.body) {
				t.Errorf("%s: %d %q", test.name, w.Code, w.Body)
			}
			if retry := w.Header().Get("Retry-After"); (retry != "") != (test.name == "busy" || test.name == "shutdown") {
				t.Errorf("%s: Retry-After %q", test.name, retry)
			}
			if strings.Contains(w.Body.String(), "probe_success") {
				t.Errorf("%s: a verdict", test.name)
			}
			if test.counted != "" && !h.counts(test.counted) {
				t.Errorf("%s: not counted as %s", test.name, test.counted)
			}
			if len(h.recent.latest(1)) != 0 {
				t.Errorf("%s: kept in the history", test.name)
			}
		}
	}
}

func TestProberPanicIsExporterError(t *testing.T) {
	h := newFixture(t, nil)
	h.prober.during = func(context.Context) { panic("bug") }
	if w := h.get("/probe?target=x"); w.Code != 500 || !h.counts(`rollcall_exporter_errors_total{reason="panic"} 1`) {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestExcessProbesAreShed(t *testing.T) {
	h := newFixture(t, nil)
	h.runner.MaxInFlight = 1
	inside, leave := make(chan struct{}), make(chan struct{})
	h.prober.during = func(context.Context) { close(inside); <-leave }
	done := make(chan int)
	go func() { done <- h.get("/probe?target=first").Code }()
	<-inside
	w := h.get("/probe?target=second")
	close(leave)
	if first := <-done; first != 200 || w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("the first got %d, the second %d", first, w.Code)
	}
	if !h.counts("rollcall_probes_shed_total 1") {
		t.Error("not counted as shed")
	}
}

func TestCancelledRequestLeavesNoResult(t *testing.T) {
	h := newFixture(t, nil)
	inside := make(chan struct{})
	h.prober.during = func(ctx context.Context) { close(inside); <-ctx.Done() }
	h.prober.err = context.Canceled
	server := httptest.NewServer(h.handler)
	defer server.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		request, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/probe?target=x", strings.NewReader("a body"))
		if err == nil {
			var response *http.Response
			if response, err = http.DefaultClient.Do(request); err == nil {
				response.Body.Close()
			}
		}
		gone <- err
	}()
	<-inside
	hangUp()
	if err := <-gone; err == nil {
		t.Error("the client got a reply")
	}
	server.Close() // waits for the handler
	if kept := h.recent.latest(1); len(kept) != 0 {
		t.Errorf("kept: %+v", kept)
	}
	if h.counts(`rollcall_probes_total{prober="http",result="down"} 1`) {
		t.Error("counted as down")
	}
}

func TestDebugReport(t *testing.T) {
	h := newFixture(t, nil)
	h.prober.result = downResult()
	w := h.get("/probe?debug=true&module=tcp_connect&hostname=h&target=" + url.QueryEscape("tcp://user:canary@example.org:1"))
	text := w.Body.String()
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	order := []string{
		"tcp://***@example.org:1 is down\n", "stage       connect", "reason      connection_refused",
		"cause       connecting to 192.0.2.7:1: refused", "address     192.0.2.7", "module      tcp_connect (tcp)",
		"\nPhases\n", "connect          2.00 ms", "\nSteps\n", "asked for", "\nMetrics\n", "probe_success 0\n", "\nModule", "prober: of_tcp_connect\n",
	}
	rest := text
	for _, part := range order {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%q is missing or out of order in:\n%s", part, text)
		}
		rest = after
	}
	if kept := h.recent.latest(1); !kept[0].record.Debug {
		t.Error("the probe is not marked as debug, so it may alert")
	}
	for _, other := range []string{"True", "1", "yes", "TRUE", "true%20"} {
		if w := h.get("/probe?target=x&debug=" + other); strings.Contains(w.Body.String(), "Phases") {
			t.Errorf("debug=%s is taken for true", other)
		}
		if kept := h.recent.latest(1); kept[0].record.Debug {
			t.Errorf("debug=%s marks the probe as debug", other)
		}
	}
}

func TestProbeLogLevels(t *testing.T) {
	for level, want := range map[slog.Level][2]string{ // lines for up and down
		slog.LevelDebug: {"probe succeeded", "probe failed"},
		slog.LevelInfo:  {"", "probe failed"},
		slog.LevelWarn:  {"", ""},
	} {
		for i, result := range []probe.Result{upResult(), downResult()} {
			var log bytes.Buffer
			h := newFixture(t, func(o *Options) {
				o.ProbeLog = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
			})
			h.prober.result = result
			h.get("/probe?target=" + url.QueryEscape("https://user:canary@example.org"))
			text := log.String()
			if (want[i] == "") != (text == "") || !strings.Contains(text, want[i]) {
				t.Errorf("level %v, result %d: %q", level, i, text)
			}
			if steps := strings.Contains(text, "asked for"); steps != (level == slog.LevelDebug) {
				t.Errorf("level %v logs steps: %v", level, steps)
			}
			if i == 1 && want[1] != "" && (!strings.Contains(text, "reason=connection_refused") || !strings.Contains(text, "https://***@example.org")) {
				t.Errorf("level %v: %q", level, text)
			}
		}
	}
}

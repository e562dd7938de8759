package web

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"rollcall/probe"
)

func TestEveryEndpointByMethod(t *testing.T) {
	methods := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}
	for path, want := range map[string]map[string]int{ // what is not listed is 405
		"/":                     {"GET": 200, "HEAD": 200},
		"/metrics":              {"GET": 200, "HEAD": 200},
		"/probes":               {"GET": 200, "HEAD": 200},
		"/incidents":            {"GET": 200, "HEAD": 200},
		"/incidents.atom":       {"GET": 200, "HEAD": 200},
		"/incident/0123":        {"GET": 404, "HEAD": 404},
		"/target/0123":          {"GET": 404, "HEAD": 404},
		"/api/v1/targets":       {"GET": 200, "HEAD": 200},
		"/api/v1/incidents":     {"GET": 200, "HEAD": 200},
		"/api/v1/nope":          nil,
		"/badge/0123/nope.svg":  {"GET": 404, "HEAD": 404},
		"/static/page.js":       {"GET": 200, "HEAD": 200},
		"/metrics/targets":      {"GET": 200, "HEAD": 200},
		"/config":               {"GET": 200, "HEAD": 200},
		"/logs":                 {"GET": 400, "HEAD": 400},
		"/-/healthy":            {"GET": 200, "HEAD": 200},
		"/-/ready":              {"GET": 503, "HEAD": 503},
		"/-/reload":             {"POST": 200, "PUT": 200},
		"/static/style.css":     {"GET": 200, "HEAD": 200},
		"/static/icon.svg":      {"GET": 200, "HEAD": 200},
		"/static/nope":          {"GET": 404, "HEAD": 404},
		"/static/..%2findex":    {"GET": 404, "HEAD": 404},
		"/debug/pprof/":         nil,
		"/nope":                 nil,
		"/probe/":               nil,
		"/static/":              nil,
		"/templates/frame.html": nil,
		"/favicon.ico":          nil,
	} {
		for _, method := range methods {
			h := newFixture(t, nil)
			status := http.StatusMethodNotAllowed
			if want == nil {
				status = http.StatusNotFound
			} else if s, ok := want[method]; ok {
				status = s
			}
			w := h.do(method, path)
			if w.Code != status {
				t.Errorf("%s %s: %d, want %d", method, path, w.Code, status)
			}
			if allow := w.Header().Get("Allow"); (allow != "") != (status == http.StatusMethodNotAllowed) {
				t.Errorf("%s %s: Allow %q", method, path, allow)
			}
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	h := newFixture(t, nil)
	h.SetReady(true)
	if w := h.get("/-/ready"); w.Code != 200 || w.Body.String() != "Ready\n" {
		t.Errorf("ready: %d %q", w.Code, w.Body)
	}
	h.SetReady(false)
	if w := h.get("/-/ready"); w.Code != 503 {
		t.Errorf("no longer ready: %d %q", w.Code, w.Body)
	}
	if w := h.get("/-/healthy"); w.Code != 200 || w.Body.String() != "Healthy\n" {
		t.Errorf("healthy: %d %q", w.Code, w.Body)
	}
}

func TestReload(t *testing.T) {
	h := newFixture(t, nil)
	if w := h.do("GET", "/-/reload"); w.Code != 405 || w.Header().Get("Allow") != "POST, PUT" || !strings.Contains(w.Body.String(), "curl -X POST") || h.reloads != 0 {
		t.Errorf("GET: %d, Allow %q, %d reloads", w.Code, w.Header().Get("Allow"), h.reloads)
	}
	for i, method := range []string{"POST", "PUT"} {
		if w := h.do(method, "/-/reload"); w.Code != 200 || h.reloads != i+1 {
			t.Errorf("%s: %d %q, %d reloads", method, w.Code, w.Body, h.reloads)
		}
	}
	if w := h.do("POST", "/-/reload", "Sec-Fetch-Site", "cross-site"); w.Code != 403 || h.reloads != 2 {
		t.Errorf("from another site: %d, %d reloads", w.Code, h.reloads)
	}
	broken := newFixture(t, func(o *Options) {
		o.Reload = func() error { return errors.New("rollcall.yml:3: modules.x: is wrong\nrollcall.yml:5: modules.y: too") }
	})
	if w := broken.do("POST", "/-/reload"); w.Code != 500 || !strings.Contains(w.Body.String(), "rollcall.yml:3: modules.x: is wrong\nrollcall.yml:5: modules.y: too") {
		t.Errorf("a broken file: %d %q", w.Code, w.Body)
	}
}

func TestPagesHaveSecurityHeaders(t *testing.T) {
	h := newFixture(t, nil)
	h.get("/probe?target=x")
	for _, path := range []string{"/", "/probes", "/incidents", "/incidents.atom", "/api/v1/targets", "/target/0123", "/static/page.js", "/metrics", "/metrics/targets", "/config", "/logs?id=1", "/-/healthy", "/-/ready", "/static/style.css", "/static/icon.svg", "/probe?target=x&debug=true"} {
		header := h.get(path).Header()
		policy := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, policy)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, header)
		}
	}
}

func TestPrefixes(t *testing.T) {
	external, err := url.Parse("https://mon.example.org/probes/")
	if err != nil {
		t.Fatal(err)
	}
	root := &url.URL{Scheme: "http", Host: "host:9115", Path: "/"}
	for name, test := range map[string]struct {
		external *url.URL
		prefix   string
		route    string // where the pages are
		redirect string // where the route without its slash leads; empty: there is none
	}{
		"none":              {nil, "", "", ""},
		"slash":             {nil, "/", "", ""},
		"prefix":            {nil, "x/y/", "/x/y", "/x/y/"},
		"external":          {external, "", "/probes", "/probes/"},
		"stripped by proxy": {external, "/", "", ""},
		"other by proxy":    {external, "/inner", "/inner", "/probes/"},
		"only by route":     {root, "/inner", "/inner", "/"},
	} {
		h := newFixture(t, func(o *Options) { o.ExternalURL, o.RoutePrefix, o.EnablePprof = test.external, test.prefix, true })
		for path, status := range map[string]int{"/": 200, "/probe?target=x": 200, "/-/healthy": 200, "/static/style.css": 200, "/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/nope": 404} {
			if w := h.get(test.route + path); w.Code != status {
				t.Errorf("%s: %s is %d, want %d", name, test.route+path, w.Code, status)
			}
		}
		if test.redirect == "" {
			continue
		}
		for path, to := range map[string]string{"/": test.route + "/", test.route: test.redirect} {
			if w := h.get(path); w.Code != 302 || w.Header().Get("Location") != to {
				t.Errorf("%s: %s is %d to %q, want 302 to %q", name, path, w.Code, w.Header().Get("Location"), to)
			}
		}
		if w := h.get("/probe?target=x"); w.Code != 404 {
			t.Errorf("%s: /probe without the prefix is %d", name, w.Code)
		}
	}
}

func TestAdminPagesOnOwnAddress(t *testing.T) {
	h := newFixture(t, func(o *Options) { o.SeparateAdmin, o.EnablePprof = true, true })
	h.get("/probe?target=x")
	private := []string{"GET /config", "GET /logs?id=1", "POST /-/reload", "GET /debug/pprof/"}
	for _, request := range private {
		method, path, _ := strings.Cut(request, " ")
		if w := h.do(method, path); w.Code != 404 {
			t.Errorf("public: %s is %d", request, w.Code)
		}
	}
	if page := h.get("/probes").Body.String(); strings.Contains(page, `href="logs`) || strings.Contains(page, `href="./config`) {
		t.Error("the public page links to what is not there")
	}
	h.handler = h.AdminHandler()
	for _, request := range append(private, "GET /", "GET /probe?target=x", "GET /metrics") {
		method, path, _ := strings.Cut(request, " ")
		if w := h.do(method, path); w.Code != 200 {
			t.Errorf("the administrator: %s is %d", request, w.Code)
		}
	}
}

// TestLargeRequestBodiesAreRefused runs a real server, because net/http reads bodies behind the handler's back.
func TestLargeRequestBodiesAreRefused(t *testing.T) {
	h := newFixture(t, nil)
	server := httptest.NewUnstartedServer(nil)
	server.Config = HTTPServer(h.handler, nil, quiet())
	server.Start()
	defer server.Close()
	for size, status := range map[int]int{10: 200, maxRequestBody: 200, maxRequestBody + 1: 400, 4 << 20: 400} {
		response, err := server.Client().Post(server.URL+"/probe?target=x", "text/plain", bytes.NewReader(make([]byte, size)))
		if err != nil {
			if size > maxRequestBody {
				continue // the connection is closed while the client still sends
			}
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("a body of %d bytes: %d, want %d", size, response.StatusCode, status)
		}
	}
}

func TestLongTargetIsBadRequest(t *testing.T) {
	h := newFixture(t, nil)
	server := httptest.NewUnstartedServer(nil)
	server.Config = HTTPServer(h.handler, nil, quiet())
	server.Start()
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/probe?target=" + strings.Repeat("a", 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("%d", response.StatusCode)
	}
}

// TestRepliesShareTheMemory: what is held for others leaves no reply, except those that say whether we are alive.
func TestRepliesShareTheMemory(t *testing.T) {
	memory := probe.NewMemory(pageMemory+requestMemory, pageMemory+requestMemory)
	h := newFixture(t, func(o *Options) { o.Memory = memory })
	pages := []string{"/", "/metrics", "/metrics/targets", "/config", "/probe?target=x"}
	for _, held := range []int64{0, pageMemory + requestMemory} {
		if err := memory.Take(held); err != nil {
			t.Fatal(err) // what the pages took was not given back
		}
		for _, path := range append(pages, "/-/healthy", "/-/ready") {
			want := http.StatusOK
			if held > 0 && slices.Contains(pages, path) {
				want = http.StatusServiceUnavailable
			}
			h.SetReady(true)
			if w := h.get(path); w.Code != want || (want == http.StatusServiceUnavailable) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("%s with %d bytes held: %d %s", path, held, w.Code, w.Body)
			}
		}
	}
	memory.Give(pageMemory + requestMemory)
	if !h.counts(`rollcall_exporter_errors_total{reason="memory"} 5`) {
		t.Error("the refusals are not counted")
	}
}

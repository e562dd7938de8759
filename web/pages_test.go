package web

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"rollcall/probe"
)

func TestEveryEndpointByMethod(t *testing.T) {
	methods := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}
	for path, want := range map[string]map[string]int{ // what is not listed is 405
		"/":                     {"GET": 200, "HEAD": 200},
		"/metrics":              {"GET": 200, "HEAD": 200},
		"/targets":              {"GET": 200, "HEAD": 200},
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
		"/templates/index.html": nil,
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

func TestConfigPage(t *testing.T) {
	h := newFixture(t, nil)
	w := h.get("/config")
	if w.Body.String() != "modules:\n  secret: <secret>\n" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%v %q", w.Header(), w.Body)
	}
}

func TestPagesHaveSecurityHeaders(t *testing.T) {
	h := newFixture(t, nil)
	h.get("/probe?target=x")
	for _, path := range []string{"/", "/metrics", "/targets", "/config", "/logs?id=1", "/-/healthy", "/-/ready", "/static/style.css", "/static/icon.svg", "/probe?target=x&debug=true"} {
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

func TestLogsFindAResult(t *testing.T) {
	h := newFixture(t, nil)
	h.get("/probe?target=a&module=tcp_connect") // 1
	h.get("/probe?target=a&module=short")       // 2
	h.prober.result = downResult()
	h.get("/probe?target=a&module=tcp_connect")                              // 3
	h.get("/probe?target=" + url.QueryEscape("https://user:canary@e.org/x")) // 4
	for query, want := range map[string]string{
		"id=1":                        "a is up",
		"id=3":                        "a is down",
		"target=a":                    "a is down",
		"target=a&module=tcp_connect": "a is down",
		"target=a&module=short":       "a is up",
		"target=https%3A%2F%2Fuser%3Acanary%40e.org%2Fx": "https://***@e.org/x is down",
		"target=https%3A%2F%2Fother%3Aguess%40e.org%2Fx": "https://***@e.org/x is down", // the password cannot be guessed here
		"target=https%3A%2F%2F***%40e.org%2Fx":           "https://***@e.org/x is down",
	} {
		w := h.get("/logs?" + query)
		if w.Code != 200 || !strings.HasPrefix(w.Body.String(), want+"\n") || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s: %d %.300q, want %q", query, w.Code, w.Body, want)
		}
	}
	for query, status := range map[string]int{
		"":                                      400,
		"module=tcp_connect":                    400,
		"id=":                                   400,
		"id=x":                                  400,
		"id=1.5":                                400,
		"id=99999999999999999999":               400,
		"id=1&id=2":                             400,
		"id=1&target=a":                         400,
		"target=a%00":                           400,
		"target=" + strings.Repeat("a", 64<<10): 400,
		"id=0":                                  404,
		"id=-1":                                 404,
		"id=5":                                  404,
		"target=b":                              404,
		"target=a&module=other":                 404,
	} {
		if w := h.get("/logs?" + query); w.Code != status {
			t.Errorf("%.80s: %d %.200q, want %d", query, w.Code, w.Body, status)
		}
	}
}

func TestUserinfoIsShownNowhere(t *testing.T) {
	h := newFixture(t, nil)
	target := url.QueryEscape("https://canary-user:canary-word@e.org/x")
	h.get("/probe?target=" + target)
	h.prober.result = downResult()
	h.get("/probe?target=" + target)
	for _, path := range []string{"/", "/logs?id=1", "/logs?id=2", "/metrics", "/config"} {
		if body := h.get(path).Body.String(); strings.Contains(body, "canary") {
			t.Errorf("%s shows userinfo:\n%s", path, body)
		}
	}
}

// elements returns the names of all elements of a page, and the values of all attributes.
func elements(t *testing.T, page string) (names []string, attributes []html.Attribute) {
	t.Helper()
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return names, attributes
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			names = append(names, token.Data)
			attributes = append(attributes, token.Attr...)
		}
	}
}

func TestWhatATargetIsNamedStaysText(t *testing.T) {
	tame := newFixture(t, nil)
	tame.get("/probe?target=x")
	want, _ := elements(t, tame.get("/").Body.String())
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' autofocus onfocus=alert(1) x='`,
		`</td></table><iframe src=//e.org>`, `javascript:alert(1)`, `{{.Version}}`, `<!--`, `&lt;b&gt;`, "\u202egro.live",
	} {
		h := newFixture(t, nil)
		h.get("/probe?target=" + url.QueryEscape(evil))
		page := h.get("/").Body.String()
		got, attributes := elements(t, page)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q changes the page's elements:\n%s", evil, page)
		}
		for _, a := range attributes {
			if strings.HasPrefix(a.Key, "on") || (a.Key != "title" && strings.HasPrefix(a.Val, "javascript:")) || a.Key == "style" {
				t.Errorf("%q makes an attribute %s=%q", evil, a.Key, a.Val)
			}
		}
	}
}

func TestWhatATargetSaysStaysText(t *testing.T) {
	h := newFixture(t, nil)
	h.prober.result = downResult()
	h.prober.result.Failure.Err = errors.New("banner \x1b[2J<script>\r\nreason      forged\u0085\xff")
	h.prober.result.TLS = &probe.TLSFacts{Leaf: probe.CertificateFacts{Subject: "CN=\x1b[2J", Issuer: "CN=a\r\nb"}}
	w := h.get("/probe?target=x&debug=true")
	if strings.ContainsAny(w.Body.String(), "\x1b\r") || strings.Contains(w.Body.String(), "\nreason      forged") {
		t.Errorf("%q", w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
}

func TestNothingUnseenTurnsAVerdictAround(t *testing.T) {
	h := newFixture(t, nil)
	h.prober.result = downResult()
	target := "x.example/\u202e pu si\u2028\u200b"
	query := "/probe?target=" + url.QueryEscape(target)
	for name, page := range map[string]string{
		"debug": h.get(query + "&debug=true").Body.String(),
		"logs":  h.get("/logs?target=" + url.QueryEscape(target)).Body.String(),
		"/":     h.get("/").Body.String(),
	} {
		if strings.ContainsAny(page, "\u202e\u2028\u200b") || !strings.Contains(page, `\u202e pu si`) {
			t.Errorf("%s: %q", name, page)
		}
	}
}

func TestLandingPage(t *testing.T) {
	h := newFixture(t, nil)
	if page := h.get("/").Body.String(); !strings.Contains(page, "Nobody has asked") {
		t.Errorf("an empty history: %s", page)
	}
	h.get("/probe?target=up.example")
	h.prober.result = downResult()
	h.get("/probe?target=down.example&module=tcp_connect")
	page := h.get("/").Body.String()
	for _, part := range []string{
		"up.example", "down.example", "connect: connection_refused", `href="logs?id=2"`, "<option>tcp_connect</option>",
		`name="target"`, `name="module"`, `href="metrics"`, `href="config"`, "1.2.3",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s:\n%s", part, page)
		}
	}
	if strings.Index(page, "down.example") > strings.Index(page, "up.example") {
		t.Error("the newest result is not on top")
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "style=") {
		t.Error("the page has what its own policy forbids")
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

func TestTheAdministratorsPagesCanBeKeptApart(t *testing.T) {
	h := newFixture(t, func(o *Options) { o.SeparateAdmin, o.EnablePprof = true, true })
	h.get("/probe?target=x")
	private := []string{"GET /config", "GET /logs?id=1", "POST /-/reload", "GET /debug/pprof/"}
	for _, request := range private {
		method, path, _ := strings.Cut(request, " ")
		if w := h.do(method, path); w.Code != 404 {
			t.Errorf("everybody: %s is %d", request, w.Code)
		}
	}
	if page := h.get("/").Body.String(); strings.Contains(page, `href="logs`) || strings.Contains(page, `href="config`) {
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

func TestA64KTargetIsABadRequestOnTheWire(t *testing.T) {
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

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "now", 0: "now", time.Second: "1 s ago", 59 * time.Second: "59 s ago", time.Minute: "1 min ago",
		time.Hour: "1 h ago", 47 * time.Hour: "47 h ago", 49 * time.Hour: "2 d ago",
	} {
		if got := age(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ns", 999: "999 ns", 1500: "1.50 µs", 26302 * time.Microsecond: "26.3 ms", 235502 * time.Microsecond: "236 ms",
		time.Second: "1.00 s", 119500 * time.Millisecond: "120 s", 9500 * time.Millisecond: "9.50 s",
	} {
		if got := took(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestAnUpgradeIsNotSeenInTheOldStyle(t *testing.T) {
	h := newFixture(t, nil)
	w := h.get("/static/style.css")
	if got := w.Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("Cache-Control %q", got)
	}
	if again := h.do("GET", "/static/style.css", "If-None-Match", w.Header().Get("ETag")); again.Code != 304 {
		t.Errorf("what the browser has already: %d", again.Code)
	}
	if other := h.do("GET", "/static/style.css", "If-None-Match", `"of another version"`); other.Code != 200 || other.Body.Len() == 0 {
		t.Errorf("what another version had: %d", other.Code)
	}
}

func TestTheStyleNeedsNothingFromElsewhere(t *testing.T) {
	h := newFixture(t, nil)
	style := h.get("/static/style.css").Body.String()
	if !strings.Contains(style, "prefers-color-scheme: dark") || regexp.MustCompile(`@import|url\(|https?:`).MatchString(style) {
		t.Error("the style lacks a dark side or loads from elsewhere")
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("target=example.org:443&module=tcp_connect&debug=true", "10")
	f.Add("target=%00", "NaN")
	f.Add("target=a&target=b", "1e300")
	f.Add("&&=&target=%zz;x=y", "-0")
	f.Add("target=+%2B%25&hostname=%ff", "Inf")
	f.Fuzz(func(t *testing.T, query, timeout string) {
		h := newFixture(t, nil)
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/probe", RawQuery: query}, Header: http.Header{}, Proto: "HTTP/1.1"}
		if timeout != "" {
			r.Header[scrapeTimeoutHeader] = []string{timeout}
		}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		asked := h.prober.request()
		if w.Code != 200 {
			if asked.Target != "" {
				t.Errorf("%d, yet %q was probed", w.Code, asked.Target)
			}
			return
		}
		if values, err := url.ParseQuery(query); err == nil && (len(values["target"]) != 1 || values.Get("target") != asked.Target) {
			t.Errorf("asked for %q, the query says %q", asked.Target, values["target"])
		}
		if !printable(asked.Target) || asked.Target == "" || len(asked.Target) > maxTarget {
			t.Errorf("probed %q", asked.Target)
		}
		if kept := h.history.latest(1); len(kept) != 1 || kept[0].record.Timeout <= 0 || kept[0].record.Timeout > maxScrapeTimeout {
			t.Errorf("kept %+v", kept)
		}
	})
}

func FuzzReport(f *testing.F) {
	f.Add("https://user:canary@example.org", "cause\x1b[0m", "step\r\n")
	f.Fuzz(func(t *testing.T, target, cause, step string) {
		h := newFixture(t, nil)
		record := probe.Record{Module: "tcp_connect", Prober: "tcp", Target: target, Result: downResult(), Trace: new(probe.Trace)}
		record.Result.Failure.Err = errors.New(cause)
		record.Trace.Step("%s", step)
		text := string(h.report(&record, h.options.Current()))
		for i, line := range strings.Split(text, "\n") {
			if !printable(line) {
				t.Errorf("line %d is %q", i, line)
			}
		}
		empty := record
		empty.Target, empty.Result.Failure = "", &probe.Failure{Stage: probe.StageConnect, Reason: probe.ReasonConnectionRefused, Err: errors.New("")}
		empty.Trace = new(probe.Trace)
		empty.Trace.Step("")
		if got, want := strings.Count(text, "\n"), strings.Count(string(h.report(&empty, h.options.Current())), "\n"); got != want {
			t.Errorf("what was said outside makes %d lines of %d", got, want)
		}
	})
}

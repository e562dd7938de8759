package web

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"rollcall/probe"
)

func TestConfigPage(t *testing.T) {
	h := newFixture(t, nil)
	w := h.get("/config")
	if w.Body.String() != "modules:\n  secret: <secret>\n" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%v %q", w.Header(), w.Body)
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
		"id=5&id=1":                             404,
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
	for _, path := range []string{"/", "/probes", "/logs?id=1", "/logs?id=2", "/metrics", "/config"} {
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

func TestTargetNameIsEscaped(t *testing.T) {
	tame := newFixture(t, nil)
	tame.get("/probe?target=x")
	want, _ := elements(t, tame.get("/probes").Body.String())
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' autofocus onfocus=alert(1) x='`,
		`</td></table><iframe src=//e.org>`, `javascript:alert(1)`, `{{.Version}}`, `<!--`, `&lt;b&gt;`, "\u202egro.live",
	} {
		h := newFixture(t, nil)
		h.get("/probe?target=" + url.QueryEscape(evil))
		page := h.get("/probes").Body.String()
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

func TestTargetOutputIsEscaped(t *testing.T) {
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

func TestInvisibleCharactersAreEscaped(t *testing.T) {
	h := newFixture(t, nil)
	h.prober.result = downResult()
	target := "x.example/\u202e pu si\u2028\u200b"
	query := "/probe?target=" + url.QueryEscape(target)
	for name, page := range map[string]string{
		"debug": h.get(query + "&debug=true").Body.String(),
		"logs":  h.get("/logs?target=" + url.QueryEscape(target)).Body.String(),
		"/":     h.get("/probes").Body.String(),
	} {
		if strings.ContainsAny(page, "\u202e\u2028\u200b") || !strings.Contains(page, `\u202e pu si`) {
			t.Errorf("%s: %q", name, page)
		}
	}
}

func TestProbesPage(t *testing.T) {
	h := newFixture(t, nil)
	if page := h.get("/probes").Body.String(); !strings.Contains(page, "No probes yet") {
		t.Errorf("an empty history: %s", page)
	}
	h.get("/probe?target=up.example")
	h.prober.result = downResult()
	h.get("/probe?target=down.example&module=tcp_connect")
	page := h.get("/probes").Body.String()
	for _, part := range []string{
		"up.example", "down.example", "connect: connection refused", `href="logs?id=2"`, "<option>tcp_connect</option>",
		`name="target"`, `name="module"`, `href="./metrics"`, `href="./config"`, "1.2.3",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s:\n%s", part, page)
		}
	}
	if strings.Index(page, "down.example") > strings.Index(page, "up.example") {
		t.Error("the newest result is not on top")
	}
	if strings.Contains(strings.Replace(page, `<script src="./static/page.js" defer></script>`, "", 1), "<script") || strings.Contains(page, "style=") {
		t.Error("the page has what its own policy forbids")
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

func TestStaticFilesAreRevalidated(t *testing.T) {
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

func TestStyleLoadsNothing(t *testing.T) {
	h := newFixture(t, nil)
	style := h.get("/static/style.css").Body.String()
	if !strings.Contains(style, "prefers-color-scheme: dark") || regexp.MustCompile(`@import|url\(|https?:`).MatchString(style) {
		t.Error("the style lacks a dark side or loads from elsewhere")
	}
}

// TestUnusableModuleIsSaid: a module that is configured and cannot be used is an error of ours, with its reason, and no
// verdict; the pages name it, and its reason only where the configuration is shown.
func TestUnusableModuleIsSaid(t *testing.T) {
	h := newFixture(t, nil)
	const reason = "a.yml:7: modules.dead.http.body_file: cannot be read: <no such file>"
	if w := h.get("/probe?target=a&module=dead"); w.Code != 500 || !strings.Contains(w.Body.String(), `module "dead" cannot be used: `+reason) {
		t.Errorf("/probe: %d %s", w.Code, w.Body)
	}
	if w := h.get("/probe?target=a&module=ping"); w.Code != 501 {
		t.Errorf("a prober that is not built in: %d %s", w.Code, w.Body)
	}
	const escaped = "cannot be read: &lt;no such file&gt;"
	page := h.get("/probes").Body.String()
	for _, text := range []string{"<option disabled>dead (cannot be used)</option>", "module dead cannot be used", escaped, "<option>tcp_connect</option>"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q:\n%s", text, page)
		}
	}
	w := h.do("POST", "/-/reload")
	if want := "The module dead cannot be used: " + reason + "\n"; w.Code != 200 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("reload: %d %s", w.Code, w.Body)
	}
	apart := newFixture(t, func(o *Options) { o.SeparateAdmin = true })
	if page := apart.get("/probes").Body.String(); strings.Contains(page, escaped) || !strings.Contains(page, "module dead cannot be used") {
		t.Errorf("the public page:\n%s", page)
	}
}

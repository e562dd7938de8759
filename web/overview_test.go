package web

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/history"
	"rollcall/probe"
)

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func TestOverviewShowsProblemsFirst(t *testing.T) {
	h := newFixture(t, nil)
	if page := h.get("/").Body.String(); !strings.Contains(page, "No targets are configured") || strings.Contains(page, "<table") {
		t.Errorf("there are none: %s", page)
	}
	names := []string{"up:1", "unknown:1", "https://user:canary@down.example/"}
	for i := range maxProblems + 5 {
		names = append(names, fmt.Sprintf("down-%d:1", i))
	}
	h.configure(names...)
	h.roll(t, upResult(), "up:1")
	h.roll(t, downResult(), names[3:]...)
	h.roll(t, downResult(), names[2])
	page := h.get("/").Body.String()
	for _, part := range []string{
		"<title>(26 down) – Rollcall</title>", "26 of 28 down", ">1 up<", ">26 down<", ">1 unknown<", "connect: connection refused",
		`<a href="./?state=down">6 more that are down</a>`, "https://***@down.example/", `href="target/` + probe.Key{Module: "tcp_connect", Target: "up:1"}.ID(),
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s:\n%s", part, page)
		}
	}
	problems, _, _ := strings.Cut(page, `<h2 id="all">`)
	if strings.Contains(page, "canary") || strings.Contains(problems, "down-0:1") || strings.Contains(problems, "unknown:1") {
		t.Errorf("the page holds what it should not:\n%s", page)
	}
}

func TestOverviewSaysThatAllIsWell(t *testing.T) {
	h := newFixture(t, nil)
	h.configure("a:1", "b:1")
	if page := h.get("/").Body.String(); !strings.Contains(page, "Nothing is known yet") {
		t.Errorf("%s", page)
	}
	h.roll(t, upResult(), "a:1")
	if page := h.get("/").Body.String(); !strings.Contains(page, "None is down, 1 unknown") {
		t.Errorf("%s", page)
	}
	h.roll(t, upResult(), "b:1")
	if page := h.get("/").Body.String(); !strings.Contains(page, "All 2 targets are up") || strings.Contains(page, ">Problems<") {
		t.Errorf("%s", page)
	}
	h.past.status = history.Status{Kind: "embedded", Problem: "no space left on device", Since: time.Now()}
	if page := h.get("/").Body.String(); !strings.Contains(page, "no space left on device") {
		t.Errorf("a full disk is not mentioned:\n%s", page)
	}
}

// many are n targets in groups of ten, every tenth down.
func many(n int) (targets []history.Summary) {
	for i := range n {
		t := probe.Target{Module: "tcp_connect", Target: fmt.Sprintf("host-%d.example:443", i), Group: fmt.Sprintf("group %d", i/10), Interval: time.Minute,
			Labels: labels.FromMap(map[string]string{"team": fmt.Sprint("team-", i%3)})}
		s := history.Summary{ID: t.ID(), Target: t, State: history.StateUp, Since: time.Now().Add(-time.Hour), Buckets: make([]history.Counts, 48)}
		for b := range s.Buckets {
			s.Buckets[b].Up = 30
		}
		if i%10 == 0 {
			s.State, s.Buckets[47] = history.StateDown, history.Counts{Down: 30}
		}
		targets = append(targets, s)
	}
	return targets
}

var rowLink = regexp.MustCompile(`href="target/([0-9a-f]{16})"`)

func TestOverviewFiltersAndSorts(t *testing.T) {
	h := newFixture(t, nil)
	h.past.targets = many(100)
	for query, rows := range map[string]int{
		"": 110, "q=host-7": 11, "q=HOST-70.": 1, "q=team-1": 33, "state=down": 10, "state=unknown": 0, "group=group+3": 10, "sort=label:team&group=team-0": 34,
		"module=tcp_connect": 100, "module=x": 0, "sort=uptime": 110, "sort=certificate": 110, "page=7": 100, "q=host&state=up": 90,
	} {
		w := h.get("/?" + query)
		if got := len(rowLink.FindAllString(w.Body.String(), -1)); w.Code != 200 || got != rows {
			t.Errorf("%s: %d, %d rows, want %d", query, w.Code, got, rows)
		}
	}
	if page := h.get("/?sort=uptime&state=").Body.String(); !strings.Contains(page[strings.Index(page, `id="all"`):], "host-0.example") {
		t.Error("the first by uptime is not the one that is down")
	}
	for _, query := range []string{"range=1h", "state=dead", "sort=x", "page=0", "page=x"} {
		if w := h.get("/?" + query); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

func TestOverviewOfManyIsBounded(t *testing.T) {
	h := newFixture(t, nil)
	h.past.targets = many(10_000)
	seen := map[string]bool{}
	for next := "/"; next != ""; {
		w := h.get(next)
		page := w.Body.String()
		if w.Code != 200 || len(page) > 1<<20 {
			t.Fatalf("%s: %d, %d bytes", next, w.Code, len(page))
		}
		for _, link := range regexp.MustCompile(`href="\./(\?group=[^"]*)"`).FindAllStringSubmatch(page, -1) {
			seen[link[1]] = true
		}
		next = ""
		if m := regexp.MustCompile(`href="\.(/\?[^"]*)" rel="next"`).FindStringSubmatch(page); m != nil {
			next = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d groups are linked, want 1000", len(seen))
	}
	if page := h.get("/?group=group+999").Body.String(); strings.Count(page, `href="target/`) != 10 {
		t.Errorf("a group shows %d targets", strings.Count(page, `href="target/`))
	}
	if page := h.get("/?sort=name").Body.String(); strings.Count(page, `href="target/`) != maxOpen+maxProblems || !strings.Contains(page, "Page 1 of 67") {
		t.Errorf("by name: %d targets", strings.Count(page, `href="target/`))
	}
}

// TestTargetAndIncidentPages follows the links of the overview.
func TestTargetAndIncidentPages(t *testing.T) {
	h := newFixture(t, nil)
	h.configure("https://user:canary@down.example/", "up:1")
	h.roll(t, downResult(), "https://user:canary@down.example/")
	h.roll(t, upResult(), "up:1")
	id := probe.Key{Module: "tcp_connect", Target: "https://***@down.example/"}.ID()
	for path, parts := range map[string][]string{
		"/target/" + id:                {"https://***@down.example/", "connect: connection refused", `href="../incident/`, `href="../logs?id=1"`, `class="beats big"`, "<svg class=\"plot\""},
		"/target/" + id + "?range=90d": {`href="?range=90d" aria-current="true"`},
		"/target/" + probe.Key{Module: "tcp_connect", Target: "up:1"}.ID(): {"up:1", "100 %"},
		"/incidents":                                            {"1 open incident", `href="./incident/1f`, "connect: connection refused"},
		"/incident/1f" + id[2:]:                                 {"First failing probe", "192.0.2.7", "asked for https://***@down.example/", `href="../target/` + id},
		"/incidents.atom":                                       {"https://***@down.example/ is down"},
		"/badge/" + id + "/status.svg":                          {"https://***@down.example/", ">down<"},
		"/badge/" + id + "/uptime.svg?range=7d":                 {"7 d", "0.00 %"},
		"/api/v1/targets":                                       {`"name":"https://***@down.example/"`, `"reason":"connection_refused"`},
		"/api/v1/targets/" + id + "/results":                    {`"state":"down"`},
		"/api/v1/targets/" + id + "/results?step=1h":            {`"step_seconds":3600`},
		"/api/v1/targets/" + id + "/results?format=csv":         {"time,state,duration_seconds,stage,reason,status_code,certificate_expiry\n", ",down,0.003,connect,connection_refused,,\n"},
		"/api/v1/targets/" + id + "/results?format=csv&step=1h": {"time,min_seconds,mean_seconds,median_seconds,p95_seconds,max_seconds,up,down,unknown,uptime\n"},
		"/api/v1/incidents?open=true":                           {`"to":null`, `"link":"/incident/1f`},
	} {
		w := h.get(path, "Accept", browser)
		for _, part := range parts {
			if !strings.Contains(w.Body.String(), part) {
				t.Errorf("%s lacks %s: %d\n%s", path, part, w.Code, w.Body)
			}
		}
		if w.Code != 200 || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
		}
		if tag := w.Header().Get("ETag"); strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/badge/") {
			if again := h.get(path, "If-None-Match", tag); again.Code != http.StatusNotModified && !strings.Contains(path, "csv") {
				t.Errorf("%s with its ETag %s: %d", path, tag, again.Code)
			}
		}
	}
	apart := newFixture(t, func(o *Options) { o.SeparateAdmin, o.History = true, func() history.Source { return h.past } })
	if page := apart.get("/incident/1f" + id[2:]).Body.String(); strings.Contains(page, "192.0.2.7") || !strings.Contains(page, "administrator") {
		t.Errorf("the public address shows the evidence:\n%s", page)
	}
}

func TestAPIRefuses(t *testing.T) {
	h := newFixture(t, nil)
	h.configure("up:1")
	id := probe.Key{Module: "tcp_connect", Target: "up:1"}.ID()
	for query, status := range map[string]int{
		"targets?range=1y": 400, "targets?state=x": 400, "incidents?from=yesterday": 400, "incidents?limit=0": 400, "incidents?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": 400,
		"targets/0000000000000000/results": 404, "targets/" + id + "/results?step=1ms": 400, "targets/" + id + "/results?step=x": 400, "targets/" + id + "/results?step=1s": 400,
		"targets/" + id + "/results?step=1.5": 400, "targets/" + id + "/results?format=xml": 400, "targets/" + id + "/results?from=5&to=5": 400, "incidents?open=yes": 400,
		"targets/" + id + "/results?from=0&to=100&step=1": 200, "targets/0000000000000000/results?format=csv": 404, "targets/0000000000000000/results?step=1h": 404,
	} {
		w := h.get("/api/v1/" + query)
		var reply map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &reply); w.Code != status || err != nil || (status != 200) != (reply["error"] != nil) {
			t.Errorf("%s: %d %s, want %d", query, w.Code, w.Body, status)
		}
	}
	h.past.err = fmt.Errorf("the disk is gone")
	for _, path := range []string{"/api/v1/targets", "/api/v1/incidents", "/incidents.atom", "/badge/" + id + "/status.svg"} {
		if w := h.get(path); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s without history: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/", "/incidents"} {
		if w := h.get(path); w.Code != 200 || !strings.Contains(w.Body.String(), "the disk is gone") {
			t.Errorf("%s without history: %d", path, w.Code)
		}
	}
}

// TestNamesAreEscapedEverywhere: what is in a configuration or comes from a peer stays text on every page.
func TestNamesAreEscapedEverywhere(t *testing.T) {
	build := func(evil string) (*fixture, []string) {
		h := newFixture(t, nil)
		target := &probe.Target{Module: "tcp_connect", Target: evil + "!", Name: evil, Group: evil, Labels: labels.FromMap(map[string]string{"x": evil}), Interval: time.Minute}
		h.past.apply(target)
		h.roll(t, downResult(), evil+"!")
		h.past.targets[0].Last.Reason = "x"
		id := target.ID()
		return h, []string{"/", "/?q=" + url.QueryEscape(evil) + "&group=" + url.QueryEscape(evil), "/?sort=label:x", "/target/" + id, "/incidents", "/incident/1f" + id[2:], "/probes"}
	}
	tame, paths := build("tame")
	var want []string
	for _, path := range paths {
		names, _ := elements(t, tame.get(path, "Accept", browser).Body.String())
		want = append(want, strings.Join(names, " "))
	}
	for _, evil := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onfocus=alert(1) x='`, "javascript:alert(1)", "a\x1bb", "]]>&lt;"} {
		h, paths := build(evil)
		for i, path := range paths {
			w := h.get(path, "Accept", browser)
			page := w.Body.String()
			if w.Code == http.StatusBadRequest && strings.ContainsFunc(evil, unicode.IsControl) {
				continue
			}
			names, attributes := elements(t, page)
			if got := strings.Join(names, " "); got != want[i] || strings.Contains(page, "\x1b") {
				t.Errorf("%q changes the elements of %s:\n%s", evil, path, page)
			}
			for _, a := range attributes {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "href" && strings.HasPrefix(a.Val, "javascript:") {
					t.Errorf("%q makes an attribute %s=%q on %s", evil, a.Key, a.Val, path)
				}
			}
		}
		id := probe.Key{Module: "tcp_connect", Target: evil + "!"}.ID()
		for _, path := range []string{"/incidents.atom", "/badge/" + id + "/status.svg"} {
			body := h.get(path).Body.String()
			for decoder := xml.NewDecoder(strings.NewReader(body)); ; {
				token, err := decoder.Token()
				if token == nil {
					if err.Error() != "EOF" {
						t.Errorf("%q breaks %s: %v\n%s", evil, path, err, body)
					}
					break
				}
				if start, ok := token.(xml.StartElement); ok && (start.Name.Local == "script" || start.Name.Local == "img") {
					t.Errorf("%q makes an element of %s", evil, path)
				}
			}
		}
	}
}

// TestTextIsAPageForBrowsers: curl gets what it always got.
func TestTextIsAPageForBrowsers(t *testing.T) {
	h := newFixture(t, nil)
	h.get("/probe?target=x")
	for _, path := range []string{"/config", "/logs?id=1", "/probe?target=x&debug=true"} {
		plain := h.get(path, "Accept", "*/*")
		if got := plain.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" || plain.Header().Get("Vary") != "Accept" {
			t.Errorf("%s for curl: %v", path, plain.Header())
		}
		page := h.get(path, "Accept", browser)
		if got := page.Header().Get("Content-Type"); got != "text/html; charset=utf-8" || !strings.Contains(page.Body.String(), "Back</a>") {
			t.Errorf("%s for a browser: %v\n%s", path, page.Header(), page.Body)
		}
		separator := "&"
		if !strings.Contains(path, "?") {
			separator = "?"
		}
		if asked := h.get(path+separator+"format=text", "Accept", browser); asked.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s with format=text: %v", path, asked.Header())
		}
	}
	if w := h.get("/probe?target=x", "Accept", browser); !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("a probe for a browser: %v", w.Header())
	}
	if w := h.get("/logs?id=99", "Accept", browser); w.Code != 404 || !strings.Contains(w.Body.String(), "<nav") {
		t.Errorf("no such result: %d\n%s", w.Code, w.Body)
	}
}

func BenchmarkOverview10000(b *testing.B) {
	h := newFixture(b, nil)
	h.past.targets = many(10_000)
	for b.Loop() {
		if w := h.get("/"); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
	b.ReportMetric(float64(h.get("/").Body.Len()), "bytes")
}

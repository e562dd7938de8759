package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"rollcall/probe"
)

// alerting keeps which records may alert.
type alerting struct{ records []bool }

func (a *alerting) Observe(r *probe.Record) { a.records = append(a.records, !r.Debug) }

// TestPagesOfOtherSitesChangeNothing also holds that other clients, and people, are not affected.
func TestPagesOfOtherSitesChangeNothing(t *testing.T) {
	external, _ := url.Parse("https://Status.example.com/rollcall")
	for _, c := range []struct {
		name, host   string
		headers      []string
		probes, post bool // what it may do: alert by a probe, reload
	}{
		{"curl", "anything.example", nil, true, true},
		{"a person who types the address", "anything.example", []string{"Sec-Fetch-Site", "none"}, true, false},
		{"our page by localhost", "localhost:9115", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:9115"}, true, true},
		{"our page by an address", "[2001:db8::1]:9115", []string{"Sec-Fetch-Site", "same-origin"}, true, true},
		{"our page by this machine's name", "mon1.example.com:9115", []string{"Origin", "http://mon1.example.com:9115"}, true, true},
		{"our page by the short name", "mon1:9115", []string{"Sec-Fetch-Site", "same-origin"}, true, true},
		{"our page by the external URL", "status.example.com", []string{"Sec-Fetch-Site", "same-origin"}, true, true},
		{"our page behind a proxy that changes Host", "127.0.0.1:9115", []string{"Origin", "https://status.example.com"}, true, true},
		{"another site", "localhost:9115", []string{"Sec-Fetch-Site", "cross-site"}, false, false},
		{"another site of ours", "localhost:9115", []string{"Sec-Fetch-Site", "same-site"}, false, false},
		{"another site, an old browser", "localhost:9115", []string{"Origin", "https://evil.example"}, false, false},
		{"a sandboxed page", "localhost:9115", []string{"Origin", "null"}, false, false},
		{"a rebound page", "evil.example:9115", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example:9115"}, false, false},
		{"a rebound page, an old browser", "evil.example:9115", []string{"Origin", "http://evil.example:9115"}, false, false},
		{"a rebound page with our name within", "mon1.evil.example", []string{"Sec-Fetch-Site", "same-origin"}, false, false},
		{"the external URL's name by another site", "evil.example", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://status.example.com"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t, func(o *Options) { o.ExternalURL, o.Hostname, o.RoutePrefix = external, "MON1.example.com", "/" })
			seen := new(alerting)
			h.runner.Observers = append(h.runner.Observers, seen)
			send := func(method, path string) *httptest.ResponseRecorder {
				r := httptest.NewRequest(method, path, http.NoBody)
				r.Host, r.ContentLength = c.host, 0
				for i := 0; i < len(c.headers); i += 2 {
					r.Header.Set(c.headers[i], c.headers[i+1])
				}
				w := httptest.NewRecorder()
				h.handler.ServeHTTP(w, r)
				return w
			}
			w := send(http.MethodGet, "/probe?target=x")
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "\nprobe_success 1\n") {
				t.Errorf("a probe: %d %s", w.Code, w.Body)
			}
			if len(seen.records) != 1 || seen.records[0] != c.probes {
				t.Errorf("may alert: %v, want %t", seen.records, c.probes)
			}
			if w := send(http.MethodPost, "/-/reload"); (w.Code == http.StatusOK) != c.post || (h.reloads == 1) != c.post {
				t.Errorf("a reload: %d %s, %d reloads", w.Code, w.Body, h.reloads)
			}
		})
	}
}

func TestPublicPortShowsNoModuleOptions(t *testing.T) {
	h := newFixture(t, func(o *Options) { o.SeparateAdmin = true })
	h.prober.result = downResult()
	for name, admin := range map[string]bool{"public": false, "admin": true} {
		if h.handler = h.Handler(); admin {
			h.handler = h.AdminHandler()
		}
		text := h.get("/probe?target=x&debug=true").Body.String()
		for _, detail := range []string{"prober: of_", "asked for x", "connecting to 192.0.2.7"} {
			if strings.Contains(text, detail) != admin {
				t.Errorf("%s: it shows %q: %t\n%s", name, detail, !admin, text)
			}
		}
		if !strings.Contains(text, "connection_refused") || !strings.Contains(text, "probe_success 0") {
			t.Errorf("%s: the verdict is missing:\n%s", name, text)
		}
	}
}

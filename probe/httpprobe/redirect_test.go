package httpprobe

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/probetest"
	"rollcall/probe/tlsclient"
)

// recorder keeps the requests that a server got.
type recorder struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func (r *recorder) record(req *http.Request) {
	var body strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := req.Body.Read(buffer)
		body.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req)
	r.bodies = append(r.bodies, body.String())
}

func (r *recorder) last() (*http.Request, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) == 0 {
		return nil, ""
	}
	return r.requests[len(r.requests)-1], r.bodies[len(r.bodies)-1]
}

// elsewhere is the server's address under another host name.
func elsewhere(s *httptest.Server) string {
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}

func TestRedirectsAreCountedAndFollowedToTen(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		if n == 0 {
			w.Write([]byte("there"))
			return
		}
		http.Redirect(w, r, fmt.Sprintf("/%d", n-1), http.StatusFound)
	})
	r := probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL + "/10"})
	probetest.WantUp(t, r)
	if r.HTTP.Redirects != 10 || r.HTTP.Hops != 11 || r.HTTP.FinalURL != s.URL+"/0" || r.HTTP.UncompressedBodyLength != 5 {
		t.Errorf("facts: %+v", r.HTTP)
	}
	r = probetest.Ask(t, httpModule(t, "valid_status_codes: [302]"), probe.Request{Target: s.URL + "/11"})
	probetest.WantDown(t, r, probe.StageRedirect, probe.ReasonTooManyRedirects)
	if r.HTTP.Redirects != 11 || r.HTTP.StatusCode != 302 {
		t.Errorf("facts: %+v", r.HTTP)
	}
}

// TestRedirectsKeepTheEarliestExpiry holds that a certificate counts also when the redirect leads away from it.
func TestRedirectsKeepTheEarliestExpiry(t *testing.T) {
	ca := probetest.NewAuthority(t)
	lasting := func(d time.Duration) tls.Certificate {
		return ca.Issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(d).Truncate(time.Second) })
	}
	to := func(location string) func(net.Conn) {
		return func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "+location+"\r\n\r\n")
		}
	}
	last := "http://" + probetest.Listen(t, answerOK).String()
	for _, hop := range []struct {
		name     string
		lasts    time.Duration
		earliest time.Duration
	}{{"to plain HTTP", 2 * time.Hour, 2 * time.Hour}, {"over a later one", 3 * time.Hour, 2 * time.Hour}, {"over a sooner one", time.Hour, time.Hour}} {
		cert := lasting(hop.lasts)
		last = "https://" + probetest.Listen(t, probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{cert}}, to(last))).String()
		m := httpModule(t, "")
		client, err := tlsclient.Compile("tls_config", &config.TLSConfig{CA: ca.PEM})
		if err != nil {
			t.Fatal(err)
		}
		m.Prober.(*prober).tls = client
		r := probetest.Ask(t, m, probe.Request{Target: last})
		probetest.WantUp(t, r)
		if left := time.Until(r.Expiring().NotAfter); left > hop.earliest || left < hop.earliest-10*time.Minute || r.Expiring().NotBefore.IsZero() || r.TLS != nil {
			t.Errorf("%s: %+v", hop.name, r.Expiring())
		}
	}
}

func TestRedirectNotFollowedIsJudgedWithItsBody(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/further")
		w.WriteHeader(http.StatusFound)
		w.Write([]byte("moved"))
	})
	for _, options := range []string{"follow_redirects: false", "no_follow_redirects: true"} {
		r := probetest.Ask(t, httpModule(t, options+"\nvalid_status_codes: [302]\nfail_if_body_not_matches_regexp: [moved]"), probe.Request{Target: s.URL})
		probetest.WantUp(t, r)
		if r.HTTP.Redirects != 1 || r.HTTP.StatusCode != 302 {
			t.Errorf("%s: facts: %+v", options, r.HTTP)
		}
		probetest.WantDown(t, probetest.Ask(t, httpModule(t, options), probe.Request{Target: s.URL}), probe.StageCheck, probe.ReasonStatusCode)
	}
}

func TestRedirectKeepsOrDropsMethodAndBody(t *testing.T) {
	for _, c := range []struct {
		status       int
		method, want string
		body         bool
	}{
		{301, "POST", "GET", false}, {302, "POST", "GET", false}, {303, "PUT", "GET", false},
		{302, "HEAD", "HEAD", false}, {307, "POST", "POST", true}, {308, "PUT", "PUT", true},
	} {
		var seen recorder
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "/end", c.status)
				return
			}
			seen.record(r)
		})
		options := fmt.Sprintf("method: %s\nbody: hello\nheaders: {Content-Type: text/x-hello}", c.method)
		probetest.WantUp(t, probetest.Ask(t, httpModule(t, options), probe.Request{Target: s.URL}))
		got, body := seen.last()
		if got.Method != c.want || (body == "hello") != c.body || (got.Header.Get("Content-Type") != "") != c.body {
			t.Errorf("%d after %s: %s with body %q and Content-Type %q", c.status, c.method, got.Method, body, got.Header.Get("Content-Type"))
		}
	}
}

func TestRedirectToAnotherHostLeavesSecretsBehind(t *testing.T) {
	var seen recorder
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.record(r) })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "canary"})
		http.Redirect(w, r, elsewhere(other)+r.URL.Path, http.StatusFound)
	})
	module := httpModule(t, `
headers: {X-Token: canary, Cookie: c=canary, Accept: text/plain, Accept-Language: de, User-Agent: mine}
http_headers: {X-Secret: {secrets: [canary], values: [canary]}}
basic_auth: {username: u, password: canary}
preferred_ip_protocol: ip4`)
	target := strings.Replace(s.URL, "http://", "http://user:canary@", 1)
	probetest.WantUp(t, probetest.Ask(t, module, probe.Request{Target: target, Hostname: "canary.example"}))
	got, _ := seen.last()
	if got == nil {
		t.Fatal("the redirect was not followed")
	}
	for name, values := range got.Header {
		if strings.Contains(strings.Join(values, ""), "canary") {
			t.Errorf("%s: %s reached the other host", name, values)
		}
	}
	if got.Header.Get("Authorization") != "" || strings.Contains(got.Host, "canary") {
		t.Errorf("host %q, header %v", got.Host, got.Header)
	}
	if got.Header.Get("Accept") != "text/plain" || got.Header.Get("Accept-Language") != "de" || got.UserAgent() != "mine" {
		t.Errorf("what may go along did not: %v", got.Header)
	}
}

func TestRedirectOutOfEncryptionLeavesSecretsBehind(t *testing.T) {
	var seen recorder
	plain := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.record(r) })
	s, options := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+"/end", http.StatusFound) // the same host, in clear
	})
	for _, more := range []string{"", "  Referer: https://canary.example/\n"} {
		module := httpModule(t, options+"basic_auth: {username: u, password: canary}\nheaders:\n  X-Token: canary\n"+more)
		probetest.WantUp(t, probetest.Ask(t, module, probe.Request{Target: s.URL + "/canary"}))
		got, _ := seen.last()
		if got.Header.Get("Authorization") != "" || got.Header.Get("X-Token") != "" || got.Referer() != "" {
			t.Errorf("in clear: %v", got.Header)
		}
	}
}

func TestRedirectAwayAndBackStaysBare(t *testing.T) {
	var seen recorder
	var home *httptest.Server
	away := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, home.URL+"/back", http.StatusFound)
	})
	home = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			seen.record(r)
			return
		}
		http.Redirect(w, r, elsewhere(away), http.StatusFound)
	})
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, "bearer_token: canary\npreferred_ip_protocol: ip4"), probe.Request{Target: home.URL}))
	if got, _ := seen.last(); got.Header.Get("Authorization") != "" {
		t.Errorf("the credentials came back: %v", got.Header)
	}
}

func TestRedirectToTheSameNameKeepsCredentials(t *testing.T) {
	for _, absolute := range []bool{false, true} {
		var seen recorder
		var s *httptest.Server
		s = serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				location := "/end"
				if absolute {
					location = s.URL + location
				}
				http.SetCookie(w, &http.Cookie{Name: "session", Value: "new"})
				http.Redirect(w, r, location, http.StatusFound)
				return
			}
			seen.record(r)
		})
		module := httpModule(t, "headers: {X-Token: t, Cookie: old=1}\nbasic_auth: {username: u, password: p}")
		probetest.WantUp(t, probetest.Ask(t, module, probe.Request{Target: s.URL}))
		got, _ := seen.last()
		user, password, _ := got.BasicAuth()
		if user != "u" || password != "p" || got.Header.Get("X-Token") != "t" || got.Header.Get("Cookie") != "old=1; session=new" {
			t.Errorf("absolute %v: %v", absolute, got.Header)
		}
		if got.Referer() != s.URL {
			t.Errorf("referer %q, want %q", got.Referer(), s.URL)
		}
	}
}

func TestUserinfoGoesAlongAndNeverIntoReferer(t *testing.T) {
	for _, absolute := range []bool{false, true} {
		var seen recorder
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				seen.record(r)
				return
			}
			location := "/end"
			if absolute {
				location = "http://" + r.Host + location
			}
			http.Redirect(w, r, location, http.StatusFound)
		})
		r := probetest.Ask(t, httpModule(t, ""), probe.Request{Target: strings.Replace(s.URL, "//", "//u:canary@", 1) + "/"})
		probetest.WantUp(t, r)
		got, _ := seen.last()
		if _, password, _ := got.BasicAuth(); password != "canary" {
			t.Errorf("absolute %v: userinfo was not used: %v", absolute, got.Header)
		}
		if strings.Contains(got.Referer(), "canary") || got.Referer() == "" || strings.Contains(r.HTTP.FinalURL, "canary") {
			t.Errorf("referer %q, final URL %q", got.Referer(), r.HTTP.FinalURL)
		}
	}
}

func TestBadRedirectsHaveTheirReason(t *testing.T) {
	for name, location := range map[string]string{
		"another scheme": "ftp://example.com/", "javascript": "javascript:alert(1)", "no host": "http:///x", "no URL": "http://[::1",
		"port zero": "http://127.0.0.1:0/", "endless": "/" + strings.Repeat("x", maxLocation), "file": "file:///etc/passwd",
	} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		})
		r := probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL})
		if r.Up() || r.Failure.Stage != probe.StageRedirect || r.Failure.Reason != probe.ReasonBadRedirect {
			t.Errorf("%s: %+v", name, r.Failure)
		}
	}
}

func TestRedirectWithoutLocationIsAnAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusFound) })
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, "valid_status_codes: [302]"), probe.Request{Target: s.URL}))
}

func TestRedirectToClosedPortDropsTheAnswerBefore(t *testing.T) {
	gone := probetest.ClosedPort(t)
	s, options := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+gone.String(), http.StatusFound)
	})
	r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: s.URL})
	probetest.WantDown(t, r, probe.StageConnect, probe.ReasonConnectionRefused)
	if r.HTTP.StatusCode != 0 || r.TLS != nil || r.HTTP.TLS || r.HTTP.Redirects != 1 || r.HTTP.Hops != 2 {
		t.Errorf("facts: %+v, TLS %v", r.HTTP, r.TLS)
	}
}

func TestRedirectToAnotherHostDropsTheServerName(t *testing.T) {
	other, _ := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) {})
	s, options := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere(other), http.StatusFound)
	})
	// The certificate is for 127.0.0.1 and example.com: under the configured name it would pass for localhost, too.
	r := probetest.Ask(t, httpModule(t, options+"preferred_ip_protocol: ip4"), probe.Request{Target: s.URL})
	probetest.WantDown(t, r, probe.StageTLS, probe.ReasonCertificateName)
}

func TestCookiesOfAFloodAreBounded(t *testing.T) {
	var seen recorder
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			seen.record(r)
			return
		}
		for i := range 5000 {
			http.SetCookie(w, &http.Cookie{Name: fmt.Sprint("c", i), Value: strings.Repeat("v", 100)})
		}
		http.Redirect(w, r, "/end", http.StatusFound)
	})
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL}))
	if got, _ := seen.last(); len(got.Cookies()) != maxSetCookies {
		t.Errorf("%d cookies came back, want %d", len(got.Cookies()), maxSetCookies)
	}
}

func TestRedirectLoopEndsInTime(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
	start := time.Now()
	probetest.WantDown(t, probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL}), probe.StageRedirect, probe.ReasonTooManyRedirects)
	if took := time.Since(start); took > probetest.Enough {
		t.Errorf("it took %v", took)
	}
}

//go:build unix

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// strict is rollcall with the strict configuration of SECURITY.md, on other ports.
type strict struct{ public, admin string }

func startStrict(t *testing.T) strict {
	t.Helper()
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```(?:yaml|sh)\n(.*?)\n```\n").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 3 {
		t.Fatalf("SECURITY.md has %d examples, want the configuration, the web configuration and the command", len(blocks))
	}
	dir := t.TempDir()
	server := zoo.Good()
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(zoo.CAFile(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"rollcall.yml": blocks[0][1], "web.yml": blocks[1][1], "intranet.password": "secret",
		"server.pem":        string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]})),
		"server.key":        string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"prometheus-ca.pem": string(authority),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := strings.NewReplacer("\\\n", " ", ":9115", "127.0.0.1:0", "127.0.0.1:9116", "127.0.0.1:0", "--log.level=warn", "--log.level=info").Replace(blocks[2][1])
	arguments := strings.Fields(command)
	// The example's paths are relative to the working directory.
	p := start(t, "/bin/sh", append([]string{"-c", `cd "$0" && exec "$@"`, dir, rollcall}, arguments[1:]...)...)
	return strict{
		public: "https://" + p.await(t, `msg="rollcall listens" address=(\S+)`)[1],
		admin:  "https://" + p.await(t, `msg="rollcall listens for its administrator" address=(\S+)`)[1],
	}
}

// caller is a client with or without the client certificate that the server requires.
func caller(t *testing.T, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	authority, err := os.ReadFile(zoo.CAFile(t))
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(authority)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates},
	}}
}

// TestStrictSetting runs the example of SECURITY.md: requests without a certificate or password are rejected, the
// administrator's pages are on their own address, and the guard denies.
func TestStrictSetting(t *testing.T) {
	s := startStrict(t)
	certFile, keyFile := zoo.ClientFiles(t)
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	known := caller(t, certificate)
	for name, stranger := range map[string]*http.Client{"no certificate": caller(t), "a certificate of another authority": caller(t, zoo.UnknownAuthority())} {
		for _, address := range []string{s.public, s.admin} {
			if reply, err := stranger.Get(address + "/-/healthy"); err == nil {
				t.Errorf("%s: %s", name, reply.Status)
				reply.Body.Close()
			}
		}
	}
	for _, c := range []struct {
		method, url, password string
		status                int
		body                  string
	}{
		{"GET", s.public + "/probe?target=x", "", 401, ""},
		{"GET", s.public + "/probe?target=x", "wrong", 401, ""},
		{"GET", s.admin + "/config", "wrong", 401, ""},
		{"POST", s.admin + "/-/reload", "", 401, ""},
		{"GET", s.public + "/-/healthy", "example", 200, "Healthy"},
		{"GET", s.public + "/metrics", "example", 200, "rollcall_build_info"},
		{"GET", s.public + "/metrics/targets", "", 401, ""},
		{"GET", s.public + "/metrics/targets", "example", 200, ""},
		{"GET", s.public + "/", "example", 200, "Rollcall"},
		{"GET", s.public + "/config", "example", 404, ""},
		{"GET", s.public + "/logs?id=1", "example", 404, ""},
		{"POST", s.public + "/-/reload", "example", 404, ""},
		{"GET", s.public + "/debug/pprof/", "example", 404, ""},
		{"GET", s.admin + "/debug/pprof/", "example", 404, ""},
		{"GET", s.admin + "/config", "example", 200, "https_2xx"},
		{"GET", s.admin + "/-/reload", "example", 405, ""},
		{"POST", s.admin + "/-/reload", "example", 200, ""},
		{"GET", s.public + "/probe?module=tcp_connect&target=127.0.0.1:443", "example", 403, "127.0.0.0/8"},
		{"GET", s.public + "/probe?module=tcp_connect&target=10.20.0.53:443", "example", 403, "10.20.0.53"},
		{"GET", s.public + "/probe?module=tcp_connect&target=192.0.2.1:443", "example", 403, "no entry of allow matches"},
		{"GET", s.public + "/probe?module=intranet&target=https://10.20.1.1/", "example", 403, "the module's guard"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.password != "" {
			r.SetBasicAuth("prometheus", c.password)
		}
		reply, err := known.Do(r)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.url, err)
			continue
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil || reply.StatusCode != c.status || !strings.Contains(string(body), c.body) {
			t.Errorf("%s %s with the password %q: %d, want %d with %q: %s %v", c.method, c.url, c.password, reply.StatusCode, c.status, c.body, body, err)
		}
		if h := reply.Header; c.status == 200 && (!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Strict-Transport-Security") == "") {
			t.Errorf("%s: headers %v", c.url, h)
		}
	}
}

// TestCrossSiteReloadIsRefused: browsers say which site a request comes from; one from another site changes nothing.
func TestCrossSiteReloadIsRefused(t *testing.T) {
	e := startExporter(t, rollcall, "modules: {}\n", nil)
	for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		if reply, err := e.do(t.Context(), "POST", "/-/reload", header...); err != nil || reply.Status != http.StatusForbidden {
			t.Errorf("%v: %v %d", header, err, reply.Status)
		}
	}
}

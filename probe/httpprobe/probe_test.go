package httpprobe

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

// httpModule compiles an http section written in YAML; an empty one is the default.
func httpModule(t testing.TB, options string) *probe.Module {
	t.Helper()
	m, err := compileHTTP(options)
	if err != nil {
		t.Fatalf("the module does not compile: %v", err)
	}
	return m
}

func compileHTTP(options string) (*probe.Module, error) {
	o := new(Options)
	o.SetDefaults()
	if err := yaml.Unmarshal([]byte(options), o); err != nil {
		return nil, err
	}
	p, err := o.Compile()
	if err != nil {
		return nil, option.Under("http", err)
	}
	return &probe.Module{Name: "test", Kind: "http", Prober: p}, nil
}

// serve starts a plain HTTP server.
func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// serveTLS starts an HTTPS server; the second value is the tls_config that trusts it.
func serveTLS(t testing.TB, http2 bool, handler http.HandlerFunc) (*httptest.Server, string) {
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, trust(s.Certificate())
}

func trust(ca *x509.Certificate) string {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	out, err := yaml.Marshal(map[string]any{"tls_config": map[string]string{"ca": string(text), "server_name": "example.com"}})
	if err != nil {
		panic(err)
	}
	return string(out)
}

func TestHTTPAnswersArePutDownAsFacts(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")
		w.Write([]byte("hello"))
	})
	r := probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL})
	probetest.WantUp(t, r)
	if r.HTTP.StatusCode != 200 || r.HTTP.ContentLength != 5 || r.HTTP.UncompressedBodyLength != 5 || r.HTTP.VersionMinor != 1 || r.HTTP.Hops != 1 {
		t.Errorf("facts: %+v", r.HTTP)
	}
	if r.HTTP.LastModified.Unix() != 784111777 {
		t.Errorf("last modified: %v", r.HTTP.LastModified)
	}
	if r.HTTP.FinalURL != s.URL {
		t.Errorf("final URL %q, want %q", r.HTTP.FinalURL, s.URL)
	}
}

func TestHTTPSAnswers(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		s, options := serveTLS(t, h2, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello")) })
		r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: s.URL})
		probetest.WantUp(t, r)
		want := 1
		if h2 {
			want = 2
		}
		if r.HTTP.VersionMajor != want || !r.HTTP.TLS || r.TLS == nil || r.HTTP.UncompressedBodyLength != 5 {
			t.Errorf("http2 %v: facts: %+v %+v", h2, r.HTTP, r.TLS)
		}
	}
}

func TestHTTPCancelledIsNotDown(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := new(probe.Runner).Do(ctx, httpModule(t, ""), probe.Request{Target: s.URL, Timeout: 5 * time.Second})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
}

// TestHTTPPhasesAreTheWholeDuration holds that an answer takes no time that no phase accounts for.
func TestHTTPPhasesAreTheWholeDuration(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Millisecond) })
	r := probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL})
	p := r.Phases
	sum := p.Resolve + p.Connect + p.TLS + p.Processing + p.Transfer
	if gap := r.Duration - sum; gap < 0 || gap > r.Duration/20 {
		t.Errorf("phases %+v sum to %v of %v", p, sum, r.Duration)
	}
}

package httpprobe

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// serveHTTP3 starts an HTTP/3 server; the second value is the module that trusts it.
func serveHTTP3(t testing.TB, handler http.HandlerFunc) (string, string) {
	t.Helper()
	certified, options := serveTLS(t, false, handler) // for its certificate
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http3.Server{Handler: handler, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: certified.TLS.Certificates})}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(socket) }()
	t.Cleanup(func() { s.Close(); socket.Close(); <-done })
	return "https://" + socket.LocalAddr().String(), options + "enable_http3: true\n"
}

func TestHTTP3Answers(t *testing.T) {
	target, options := serveHTTP3(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Probe") != "yes" || r.UserAgent() != "rollcall" {
			w.WriteHeader(http.StatusBadRequest)
		}
		w.Write([]byte("hello"))
	})
	r := probetest.Ask(t, httpModule(t, options+"headers: {X-Probe: yes}\nvalid_http_versions: [HTTP/3.0]\nfail_if_body_not_matches_regexp: [hello]"), probe.Request{Target: target})
	probetest.WantUp(t, r)
	if r.HTTP.VersionMajor != 3 || r.HTTP.UncompressedBodyLength != 5 || !r.HTTP.TLS || r.TLS == nil || r.TLS.Version != tls.VersionTLS13 {
		t.Errorf("facts: %+v %+v", r.HTTP, r.TLS)
	}
	if r.Phases.Connect <= 0 || r.Phases.TLS <= 0 || r.Phases.Processing <= 0 {
		t.Errorf("phases: %+v", r.Phases)
	}
}

func TestHTTP3ShowsTheCertificateItRefuses(t *testing.T) {
	target, _ := serveHTTP3(t, func(w http.ResponseWriter, r *http.Request) {})
	r := probetest.Ask(t, httpModule(t, "enable_http3: true"), probe.Request{Target: target})
	probetest.WantDown(t, r, probe.StageTLS, probe.ReasonCertificateAuthority)
	if r.TLS == nil || r.TLS.EarliestExpiry.IsZero() {
		t.Errorf("TLS facts: %+v", r.TLS)
	}
}

func TestHTTP3WithoutListener(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close() // silent
	r := probetest.Ask(t, httpModule(t, "enable_http3: true"), probe.Request{Target: "https://" + socket.LocalAddr().String(), Timeout: 300 * time.Millisecond})
	probetest.WantDown(t, r, probe.StageConnect, probe.ReasonTimeout)
	if r.Duration > probetest.Enough {
		t.Errorf("it took %v", r.Duration)
	}
}

func TestHTTP3ServersThatMisbehave(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		stage   probe.Stage
		reason  probe.Reason
	}{
		"an endless header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 2*maxHeadBytes))
		}, probe.StageResponse, probe.ReasonHeadersTooLarge},
		"a stream that is reset before the answer": {func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, probe.StageResponse, probe.ReasonProtocolError},
		"a body without end": {func(w http.ResponseWriter, r *http.Request) {
			for b := make([]byte, 32<<10); r.Context().Err() == nil; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, probe.StageBody, probe.ReasonBodyTooLarge},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, probe.StageResponse, probe.ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			target, options := serveHTTP3(t, c.handler)
			limit := probetest.Enough
			if c.reason == probe.ReasonTimeout {
				limit = time.Second
			}
			probetest.WantDown(t, probetest.Ask(t, httpModule(t, options+"body_size_limit: 1MB"), probe.Request{Target: target, Timeout: limit}), c.stage, c.reason)
		})
	}
}

func TestHTTP3HeadHasNoBody(t *testing.T) {
	target, options := serveHTTP3(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "1000") })
	r := probetest.Ask(t, httpModule(t, options+"method: HEAD"), probe.Request{Target: target})
	probetest.WantUp(t, r)
	if r.HTTP.ContentLength != 1000 || r.HTTP.UncompressedBodyLength != 0 {
		t.Errorf("facts: %+v", r.HTTP)
	}
}

// An HTTP/3 server may send frames of an unknown kind, which are passed over, without end.
func TestHTTP3FramesWithoutProgressEndEarly(t *testing.T) {
	certified, options := serveTLS(t, false, func(http.ResponseWriter, *http.Request) {})
	config := &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{http3.NextProtoH3}}
	l, err := quic.ListenAddr("127.0.0.1:0", config, &quic.Config{MaxIdleTimeout: probetest.Enough})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept(t.Context())
		if err != nil {
			return
		}
		s, err := c.AcceptStream(t.Context())
		for block := bytes.Repeat([]byte{0x21, 0}, 32<<10); err == nil; {
			_, err = s.Write(block)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	r := probetest.Ask(t, httpModule(t, options+"enable_http3: true"), probe.Request{Target: "https://" + l.Addr().String(), Timeout: time.Minute})
	probetest.WantDown(t, r, probe.StageResponse, probe.ReasonProtocolError)
	t.Logf("it ended after %v", r.Duration)
	if !strings.Contains(r.Failure.Error(), "without end") {
		t.Errorf("%v", r.Failure)
	}
}

package httpprobe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
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
			limit := time.Minute
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
	l, err := quic.ListenAddr("127.0.0.1:0", config, &quic.Config{MaxIdleTimeout: 30 * time.Second})
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
		context.AfterFunc(t.Context(), func() { c.CloseWithError(0, "") }) // the test is over
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

// TestHTTP3Handshakes holds that answers of QUIC, answers of TLS and silence have reasons of their own.
func TestHTTP3Handshakes(t *testing.T) {
	answer := func(s *quic.Stream) {
		s.Write([]byte{1, 3, 0, 0, 0xd9}) // :status 200
		s.Close()
	}
	for name, c := range map[string]struct {
		change func(*quic.Transport, *tls.Config, *quic.Config)
		more   string
		stage  probe.Stage
		reason probe.Reason
	}{
		"a Retry": {change: func(server *quic.Transport, _ *tls.Config, _ *quic.Config) {
			server.VerifySourceAddress = func(net.Addr) bool { return true }
		}},
		"a Retry, with secrets": {change: func(server *quic.Transport, _ *tls.Config, _ *quic.Config) {
			server.VerifySourceAddress = func(net.Addr) bool { return true }
		}, more: "basic_auth: {username: u, password: secret}"},
		"a post-quantum key exchange alone": {change: func(_ *quic.Transport, server *tls.Config, _ *quic.Config) {
			server.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
		}},
		"no common protocol": {change: func(_ *quic.Transport, server *tls.Config, _ *quic.Config) {
			server.NextProtos = []string{"other"}
		}, stage: probe.StageTLS, reason: probe.ReasonTLSHandshake},
		"a client certificate": {change: func(_ *quic.Transport, server *tls.Config, _ *quic.Config) {
			server.ClientAuth = tls.RequireAnyClientCert
		}, stage: probe.StageTLS, reason: probe.ReasonClientCertificate},
		"another version of QUIC": {change: func(_ *quic.Transport, _ *tls.Config, server *quic.Config) {
			server.Versions = []quic.Version{quic.Version2}
		}},
		"a server that is full": {change: func(_ *quic.Transport, server *tls.Config, config *quic.Config) {
			config.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) { return nil, errors.New("full") }
		}, stage: probe.StageConnect, reason: probe.ReasonConnectionRefused},
	} {
		t.Run(name, func(t *testing.T) {
			target, options := serveHTTP3Frames(t, c.change, answer)
			r := probetest.Ask(t, httpModule(t, options+c.more), probe.Request{Target: target, Timeout: 10 * time.Second})
			if c.stage == "" {
				probetest.WantUp(t, r)
				return
			}
			probetest.WantDown(t, r, c.stage, c.reason)
		})
	}
}

// TestHTTP3WithoutACommonVersion has a server that speaks a version of QUIC that there is not (RFC 9000, section 6).
func TestHTTP3WithoutACommonVersion(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := socket.ReadFrom(b)
			if err != nil || n < 7 {
				return
			}
			dest := b[6 : 6+int(b[5])]
			source := b[7+len(dest) : 7+len(dest)+int(b[6+len(dest)])]
			answer := append([]byte{0x80, 0, 0, 0, 0, byte(len(source))}, source...)
			answer = append(append(answer, byte(len(dest))), dest...)
			socket.WriteTo(append(answer, 0x0a, 0x0b, 0x0c, 0x0d), from)
		}
	}()
	r := probetest.Ask(t, httpModule(t, "enable_http3: true"), probe.Request{Target: "https://" + socket.LocalAddr().String(), Timeout: 20 * time.Second})
	probetest.WantDown(t, r, probe.StageConnect, probe.ReasonProtocolError)
	if !strings.Contains(r.Failure.Error(), "no compatible QUIC version") || r.Duration > 10*time.Second {
		t.Errorf("after %v: %v", r.Duration, r.Failure)
	}
}

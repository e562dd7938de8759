package httpprobe

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// TestBodyLongerThanItsLengthIsOneVerdict holds that over HTTP/1.1, where a message is as long as it says, what comes after
// it decides nothing (RFC 9112, section 6.3), whatever the segments.
func TestBodyLongerThanItsLengthIsOneVerdict(t *testing.T) {
	for _, pieces := range [][]string{{"bo", "dy!!"}, {"body!!"}, {"body", "!!"}, {"b", "ody", "!", "!"}, {"body", "HTTP/1.1 500 No\r\n\r\n"}} {
		for _, pause := range []time.Duration{0, 20 * time.Millisecond} {
			target := answers(t, func(c net.Conn) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
				for _, piece := range pieces {
					time.Sleep(pause)
					io.WriteString(c, piece)
				}
			})
			r := probetest.Ask(t, httpModule(t, "fail_if_body_not_matches_regexp: ['^body$']"), probe.Request{Target: target})
			probetest.WantUp(t, r)
		}
	}
}

// lengths are bodies that do not keep their Content-Length. Over HTTP/2 and HTTP/3, which delimit a message by other
// means, such a message is malformed (RFC 9113, section 8.1.1; RFC 9114, section 4.1.2).
var lengths = map[string]struct {
	length string
	pieces []string
}{
	"shorter":                      {"10", []string{"body"}},
	"none":                         {"10", nil},
	"longer":                       {"4", []string{"body!!"}},
	"longer by a second piece":     {"4", []string{"body", "!!"}},
	"longer where nothing is said": {"0", []string{"!"}},
}

func TestHTTP2BodiesKeepTheirLength(t *testing.T) {
	for name, c := range lengths {
		for _, pause := range []time.Duration{0, 20 * time.Millisecond} {
			target, options := serveFrames(t, func(_ int, f *http2.Framer) {
				writeHead(f, len(c.pieces) == 0, ":status", "200", "content-length", c.length)
				for i, piece := range c.pieces {
					time.Sleep(pause)
					f.WriteData(1, i == len(c.pieces)-1, []byte(piece))
				}
			})
			for _, more := range []string{"", "compression: gzip", "fail_if_body_not_matches_regexp: ['.']"} {
				if name != "longer where nothing is said" && strings.HasPrefix(more, "compression") {
					continue
				}
				r := probetest.Ask(t, httpModule(t, options+more), probe.Request{Target: target})
				if r.Up() || r.Failure.Stage != probe.StageBody || r.Failure.Reason != probe.ReasonProtocolError {
					t.Errorf("%s, %s: %v", name, more, r.Failure)
				}
			}
		}
	}
}

func TestHTTP3BodiesKeepTheirLength(t *testing.T) {
	for name, c := range lengths {
		for _, pause := range []time.Duration{0, 20 * time.Millisecond} {
			target, options := serveHTTP3Frames(t, nil, func(s *quic.Stream) {
				// :status 200 and content-length from the static table (RFC 9204, appendix A).
				head := append([]byte{0, 0, 0xd9, 0x54, byte(len(c.length))}, c.length...)
				s.Write(append([]byte{1, byte(len(head))}, head...))
				for _, piece := range c.pieces {
					time.Sleep(pause)
					s.Write(append([]byte{0, byte(len(piece))}, piece...))
				}
				s.Close()
			})
			r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: target})
			if r.Up() || r.Failure.Stage != probe.StageBody || r.Failure.Reason != probe.ReasonProtocolError {
				t.Errorf("%s: %v", name, r.Failure)
			}
		}
	}
}

// serveHTTP3Frames is a QUIC server, of one connection after the other, that answers the request of each by say; change may
// adjust it. The second value is the module that trusts it.
func serveHTTP3Frames(t testing.TB, change func(*quic.Transport, *tls.Config, *quic.Config), say func(*quic.Stream)) (string, string) {
	t.Helper()
	certified, options := serveTLS(t, false, func(http.ResponseWriter, *http.Request) {})
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &quic.Transport{Conn: socket}
	secured := &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{http3.NextProtoH3}}
	config := &quic.Config{MaxIdleTimeout: 5 * time.Second}
	if change != nil {
		change(transport, secured, config)
	}
	l, err := transport.Listen(secured, config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept(t.Context())
			if err != nil {
				return
			}
			if s, err := c.AcceptStream(t.Context()); err == nil {
				say(s)
			}
		}
	}()
	t.Cleanup(func() { l.Close(); transport.Close(); socket.Close(); <-done })
	return "https://" + socket.LocalAddr().String(), options + "enable_http3: true\n"
}

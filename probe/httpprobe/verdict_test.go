package httpprobe

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/probetest"
)

// serveFrames is an HTTP/2 server that answers the nth connection's request by say; the second value is the module's trust.
// A client that takes no HTTP/2 is answered "plain" by HTTP/1.1.
func serveFrames(t testing.TB, say func(n int, f *http2.Framer)) (string, string) {
	certified, options := serveTLS(t, false, func(http.ResponseWriter, *http.Request) {})
	config := &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	var connections atomic.Int32
	return "https://" + rawServer(t, func(c net.Conn) {
		secured := tls.Server(c, config)
		if secured.Handshake() != nil {
			return
		}
		if secured.ConnectionState().NegotiatedProtocol != "h2" {
			answerOK(secured)
			return
		}
		if awaitHTTP2Request(secured) != nil {
			return
		}
		framer := http2.NewFramer(secured, nil)
		framer.WriteSettings()
		say(int(connections.Add(1)), framer)
		io.Copy(io.Discard, secured)
	}), options
}

func writeHead(f *http2.Framer, end bool, fields ...string) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true})
}

func TestHTTP2RequestThatWasNotProcessedIsSentOnceMore(t *testing.T) {
	for name, refuse := range map[string]func(*http2.Framer){
		"GOAWAY":         func(f *http2.Framer) { f.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"REFUSED_STREAM": func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeRefusedStream) },
	} {
		target, options := serveFrames(t, func(n int, f *http2.Framer) {
			if n == 1 {
				refuse(f)
				return
			}
			writeHead(f, true, ":status", "200")
		})
		r := probetest.Ask(t, httpModule(t, options+"basic_auth: {username: u, password: p}"), probe.Request{Target: target})
		if !r.Up() || r.HTTP.VersionMajor != 2 {
			t.Errorf("%s: %v, %+v", name, r.Failure, r.HTTP)
		}
	}
	asked := atomic.Int32{}
	target, options := serveFrames(t, func(_ int, f *http2.Framer) { asked.Add(1); f.WriteRSTStream(1, http2.ErrCodeRefusedStream) })
	probetest.WantDown(t, probetest.Ask(t, httpModule(t, options), probe.Request{Target: target}), probe.StageResponse, probe.ReasonProtocolError)
	if asked.Load() != 2 {
		t.Errorf("it was asked %d times", asked.Load())
	}
}

func TestHTTP11RequiredFallsBack(t *testing.T) {
	for name, demand := range map[string]func(*http2.Framer){
		"RST_STREAM": func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeHTTP11Required) },
		"GOAWAY":     func(f *http2.Framer) { f.WriteGoAway(0, http2.ErrCodeHTTP11Required, nil) },
	} {
		target, options := serveFrames(t, func(_ int, f *http2.Framer) { demand(f) })
		r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: target})
		if !r.Up() || r.HTTP.VersionMajor != 1 {
			t.Errorf("%s: %v, %+v", name, r.Failure, r.HTTP)
		}
	}
}

func TestHTTP2CauseNamesCodeAndStage(t *testing.T) {
	for name, c := range map[string]struct {
		say   func(*http2.Framer)
		stage probe.Stage
		cause string
	}{
		"before the answer": {func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeInternal) }, probe.StageResponse,
			"waiting for the answer over HTTP/2: the server reset the stream with INTERNAL_ERROR"},
		"in the body": {func(f *http2.Framer) {
			writeHead(f, false, ":status", "200")
			f.WriteData(1, false, []byte("half"))
			f.WriteRSTStream(1, http2.ErrCodeEnhanceYourCalm)
		}, probe.StageBody, "reading the body over HTTP/2: the server reset the stream with ENHANCE_YOUR_CALM"},
		"a body too short": {func(f *http2.Framer) {
			writeHead(f, false, ":status", "200", "content-length", "5")
			f.WriteData(1, true, []byte("half"))
		}, probe.StageBody, "it is shorter than its Content-Length"},
		"a length without a body": {func(f *http2.Framer) { writeHead(f, true, ":status", "200", "content-length", "5") }, probe.StageBody,
			"it is shorter than its Content-Length"},
		"a body too long": {func(f *http2.Framer) {
			writeHead(f, false, ":status", "200", "content-length", "2")
			f.WriteData(1, true, []byte("half"))
		}, probe.StageBody, "reading the body over HTTP/2"},
	} {
		target, options := serveFrames(t, func(_ int, f *http2.Framer) { c.say(f) })
		r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: target})
		if r.Up() || r.Failure.Stage != c.stage || r.Failure.Reason != probe.ReasonProtocolError || !strings.Contains(r.Failure.Error(), c.cause) {
			t.Errorf("%s: %+v: %v; want %s, protocol_error, %q", name, r.Failure, r.Failure.Err, c.stage, c.cause)
		}
	}
}

func TestFloodsOfFramesEndEarly(t *testing.T) {
	for name, flood := range map[string]func(*http2.Framer) error{
		"PING":          func(f *http2.Framer) error { return f.WritePing(false, [8]byte{}) },
		"SETTINGS":      func(f *http2.Framer) error { return f.WriteSettings() },
		"WINDOW_UPDATE": func(f *http2.Framer) error { return f.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, []byte{0, 0, 0, 1}) },
		"empty DATA":    func(f *http2.Framer) error { return f.WriteData(1, false, nil) },
		"padding":       func(f *http2.Framer) error { return f.WriteDataPadded(1, false, nil, make([]byte, 200)) },
	} {
		t.Run(name, func(t *testing.T) {
			target, options := serveFrames(t, func(_ int, f *http2.Framer) {
				if strings.Contains(name, "DATA") || name == "padding" {
					writeHead(f, false, ":status", "200")
				}
				for flood(f) == nil {
				}
			})
			r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: target, Timeout: time.Minute})
			if r.Up() || r.Failure.Reason != probe.ReasonProtocolError {
				t.Errorf("%v after %v", r.Failure, r.Duration)
			}
		})
	}
}

func TestHTTP3AsksPlainTargetsByQUIC(t *testing.T) {
	target, options := serveHTTP3(t, func(http.ResponseWriter, *http.Request) {})
	for _, scheme := range []string{"http://", "HTTP://", ""} {
		r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: scheme + strings.TrimPrefix(target, "https://")})
		probetest.WantUp(t, r)
		if r.HTTP.VersionMajor != 3 || !r.HTTP.TLS {
			t.Errorf("%s: %+v", scheme, r.HTTP)
		}
	}
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	target, options = serveHTTP3(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) })
	probetest.WantDown(t, probetest.Ask(t, httpModule(t, options), probe.Request{Target: target}), probe.StageRedirect, probe.ReasonBadRedirect)
}

func TestHTTP3FloodEndsEarly(t *testing.T) {
	target, options := serveHTTP3(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Header().Set("Link", strings.Repeat("x", 500<<10))
			w.WriteHeader(http.StatusEarlyHints)
		}
	})
	r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: target, Timeout: time.Minute})
	if r.Up() || r.Failure.Reason != probe.ReasonProtocolError && r.Failure.Reason != probe.ReasonTooManyInterim {
		t.Errorf("%v after %v", r.Failure, r.Duration)
	}
}

func TestURLsAreEncodedWhereTheyMustBe(t *testing.T) {
	for raw, want := range map[string]string{
		"/a b?q=c d":          "/a%20b?q=c%20d",
		"/a b%2Fc":            "/a%20b%2Fc",
		"/ü?ü={x}":            "/%C3%BC?%C3%BC={x}",
		"/<\"x\">|^`?<\"x\">": "/%3C%22x%22%3E%7C%5E%60?<\"x\">",
		"/a%20b?c%20d":        "/a%20b?c%20d",
		"/?a?b c":             "/?a?b%20c",
	} {
		head := make(chan string, 1)
		end := rawServer(t, func(c net.Conn) {
			line, _ := bufio.NewReader(c).ReadString('\n')
			head <- line
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		from := answersWith(t, "HTTP/1.1 302 Found\r\nLocation: http://"+end+raw+"\r\nContent-Length: 0\r\n\r\n")
		for _, target := range []string{"http://" + end + raw, from} {
			probetest.WantUp(t, probetest.Ask(t, httpModule(t, ""), probe.Request{Target: target}))
			if got := <-head; got != "GET "+want+" HTTP/1.1\r\n" {
				t.Errorf("%s: asked by %q, want %s", target, got, want)
			}
		}
	}
	for location, want := range map[string]string{"a b": "a%20b", "//h/a b": "//h/a%20b", "//h": "//h", "https://h": "https://h", "?a b": "?a%20b"} {
		if got := network.EscapeLocation(location); got != want {
			t.Errorf("%s: %s, want %s", location, got, want)
		}
	}
}

// TestServerThatTakesNoLargeClientHello holds that the verdict depends neither on secrets nor on a proxy on the way.
func TestServerThatTakesNoLargeClientHello(t *testing.T) {
	certified, options := serveTLS(t, false, func(http.ResponseWriter, *http.Request) {})
	serve := probetest.TLSServer(&tls.Config{Certificates: certified.TLS.Certificates}, answerOK)
	for name, refuse := range probetest.RefuseHello {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := "https://" + probetest.Listen(t, probetest.ShortHello(serve, refuse)).String()
			for _, more := range []string{"", "basic_auth: {username: u, password: secret}", "method: POST\nbody: secret", "basic_auth: {username: u, password: secret}\nproxy_url: " + startProxy(t, false, 0).URL} {
				if r := probetest.Ask(t, httpModule(t, options+more), probe.Request{Target: target, Timeout: 6 * time.Second}); !r.Up() {
					t.Errorf("%q: %v", more, r.Failure)
				}
			}
		})
	}
}

func TestProxyThatDemandsCredentials(t *testing.T) {
	p := startProxy(t, false, http.StatusProxyAuthRequired)
	r := probetest.Ask(t, httpModule(t, "proxy_url: '"+p.URL+"'"), probe.Request{Target: "http://192.0.2.1/"})
	probetest.WantDown(t, r, probe.StageProxy, probe.ReasonProxyRefused)
	if r.HTTP.StatusCode != http.StatusProxyAuthRequired {
		t.Errorf("status code %d", r.HTTP.StatusCode)
	}
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, "valid_status_codes: [407]\nproxy_url: '"+p.URL+"'"), probe.Request{Target: "http://192.0.2.1/"}))
}

func TestUserAgentGoesToProxiesAndTokenServers(t *testing.T) {
	p := startProxy(t, false, 0)
	s, options := serveTLS(t, false, func(http.ResponseWriter, *http.Request) {})
	options += "proxy_url: '" + p.URL + "'\nheaders: {User-Agent: mine}\n"
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, options), probe.Request{Target: s.URL}))
	if got, _ := p.seen.last(); got.Method != http.MethodConnect || got.UserAgent() != "mine" {
		t.Errorf("%s by %q", got.Method, got.UserAgent())
	}
	var seen recorder
	tokens := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.record(r)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token": "t", "token_type": "Bearer"}`)
	})
	target := serve(t, func(http.ResponseWriter, *http.Request) {})
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, oauthOptions(tokens.URL, "  client_secret: secret\n")+"\nheaders: {User-Agent: mine}"), probe.Request{Target: target.URL}))
	if got, _ := seen.last(); got.UserAgent() != "mine" {
		t.Errorf("the token server was asked by %q", got.UserAgent())
	}
}

// What a server repeats of the credentials is in no text that people see, whether the probe is up or down.
func TestEchoedSecretsAreRedacted(t *testing.T) {
	const password = "pa/ss&w\"rd"
	echo := func(w http.ResponseWriter, r *http.Request) {
		_, pw, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Body", string(body))
		w.Header().Set("X-Token", r.FormValue("token")+strings.TrimPrefix(string(body), "token="))
		w.Header().Set("X-Plain", pw)
		w.Header().Set("X-Basic", r.Header.Get("Authorization"))
		w.Header().Set("X-Base64", base64.RawURLEncoding.EncodeToString([]byte(pw)))
		w.Header().Set("X-Quoted", fmt.Sprintf("%q", pw))
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/end?"+(&http.Cookie{Name: "x", Value: r.Header.Get("Authorization")}).Value, http.StatusFound)
		}
		if r.URL.Path == "/down" {
			w.WriteHeader(http.StatusTeapot)
		}
	}
	s := serve(t, echo)
	for _, path := range []string{"/", "/down", "/up"} {
		trace := new(probe.Trace)
		r := probetest.Ask(t, httpModule(t, "method: POST\nbody: token=body-secret\nbasic_auth: {username: u, password: '"+password+"'}"), probe.Request{Target: s.URL + path, Trace: trace})
		text := r.HTTP.FinalURL
		if r.Failure != nil {
			text += r.Failure.Error()
		}
		for _, step := range trace.Steps() {
			text += "\n" + step.Text
		}
		for _, secret := range []string{
			"body-secret", password, fmt.Sprintf("%q", password)[1:10], base64.RawStdEncoding.EncodeToString([]byte(password)),
			base64.RawURLEncoding.EncodeToString([]byte(password)), base64.StdEncoding.EncodeToString([]byte("u:" + password)),
		} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s is shown:\n%s", path, secret, text)
			}
		}
	}
}

package websocketprobe

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/common/config"
	"go.uber.org/goleak"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/probetest"
	"rollcall/probe/tcpprobe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func module(t testing.TB, change ...func(*Options)) *probe.Module {
	t.Helper()
	o := new(Options)
	o.SetDefaults()
	for _, f := range change {
		f(o)
	}
	p, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return &probe.Module{Name: "test", Kind: "websocket", Prober: p}
}

func turns(entries ...tcpprobe.QueryResponse) func(*Options) {
	return func(o *Options) { o.QueryResponse = entries }
}

func expect(pattern, send string) tcpprobe.QueryResponse {
	return tcpprobe.QueryResponse{Expect: probetest.MustRegexp(pattern), Send: send}
}

// serve runs a server that accepts WebSockets whose header pleases it and hands them to talk.
func serve(t testing.TB, wants func(http.Header) bool, talk func(context.Context, *websocket.Conn)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wants != nil && !wants(r.Header) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusForbidden)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		if talk != nil {
			talk(r.Context(), c)
		}
		<-c.CloseRead(r.Context()).Done()
	}))
	t.Cleanup(s.Close)
	return s
}

func greets(ctx context.Context, c *websocket.Conn) {
	c.Write(ctx, websocket.MessageText, []byte("Hello, prober"))
	_, answer, _ := c.Read(ctx)
	c.Write(ctx, websocket.MessageBinary, append([]byte("Welcome: "), answer...))
}

func TestConversations(t *testing.T) {
	s := serve(t, nil, greets)
	s.Start()
	target := strings.Replace(s.URL, "http", "ws", 1) + "/path?q=1#fragment"
	up := probetest.Ask(t, module(t, turns(expect(`^Hello,\s(.+)`, "I am ${1}"), expect(`^Welcome: I am prober$`, ""))), probe.Request{Target: target})
	probetest.WantUp(t, up)
	if *up.WebSocket != (probe.WebSocketFacts{Tried: true, StatusCode: 101, Upgraded: true}) || up.HTTP != nil || up.Resolve == nil || up.TLS != nil {
		t.Errorf("got %+v", up)
	}
	if p := up.Phases; p.Connect <= 0 || p.Processing <= 0 || p.Transfer <= 0 || p.TLS != 0 {
		t.Errorf("phases %+v", p)
	}
	probetest.WantUp(t, probetest.Ask(t, module(t), probe.Request{Target: strings.TrimPrefix(s.URL, "http://")}))
	down := probetest.Ask(t, module(t, turns(expect(`^Bye`, ""))), probe.Request{Target: target})
	probetest.WantDown(t, down, probe.StageConversation, probe.ReasonNoMatch)
	if !down.WebSocket.FailedRegexp || !down.WebSocket.Upgraded || !strings.Contains(down.Failure.Error(), "Hello, prober") {
		t.Errorf("got %+v, %v", down.WebSocket, down.Failure)
	}
}

// TestSendBytesIsABinaryMessage: the bytes as they are, while send is text.
func TestSendBytesIsABinaryMessage(t *testing.T) {
	s := serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
		kind, message, _ := c.Read(ctx)
		c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "%v %x", kind, message))
	})
	s.Start()
	send := tcpprobe.QueryResponse{SendBytes: "\x00${1}\xff"}
	probetest.WantUp(t, probetest.Ask(t, module(t, turns(send, expect(`^MessageBinary 00247b317dff$`, ""))), probe.Request{Target: s.URL}))
}

func TestCredentialsAndHeaders(t *testing.T) {
	var seen http.Header
	s := serve(t, func(h http.Header) bool { seen = h; return h.Get("Authorization") == "Bearer canary" }, nil)
	s.Start()
	target := strings.Replace(s.URL, "http", "ws", 1)
	bearer := func(secret string) func(*Options) {
		return func(o *Options) {
			o.HTTPConfig.Authorization = &config.Authorization{Type: "Bearer", Credentials: config.Secret(secret)}
			o.Headers = map[string]Header{
				"X-One": {Values: []string{"a"}}, "X-Many": {Values: []string{"a", "b"}, Secrets: []config.Secret{"c"}}, "Origin": {Values: []string{"https://x.example"}},
			}
		}
	}
	r := probetest.Ask(t, module(t, bearer("canary"), func(o *Options) { o.Headers["Origin"] = Header{Values: []string{s.URL}} }), probe.Request{Target: target})
	probetest.WantUp(t, r)
	if seen.Get("X-One") != "a" || len(seen.Values("X-Many")) != 3 || !strings.HasPrefix(seen.Get("User-Agent"), "rollcall") {
		t.Errorf("header %v", seen)
	}
	refused := probetest.Ask(t, module(t, bearer("canary-2")), probe.Request{Target: target, Trace: new(probe.Trace)})
	probetest.WantDown(t, refused, probe.StageCheck, probe.ReasonStatusCode)
	if refused.WebSocket.StatusCode != 403 || refused.WebSocket.Upgraded {
		t.Errorf("got %+v", refused.WebSocket)
	}
}

func TestSecretsAreNotRepeated(t *testing.T) {
	s := serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
		c.Write(ctx, websocket.MessageText, []byte("your key is canary-1"))
	})
	s.Start()
	m := module(t, turns(expect("^never", "")), func(o *Options) {
		o.Headers = map[string]Header{"X-Mine": {Secrets: []config.Secret{"canary-1"}}}
	})
	trace := new(probe.Trace)
	r := probetest.Ask(t, m, probe.Request{Target: s.URL, Trace: trace})
	probetest.WantDown(t, r, probe.StageConversation, probe.ReasonNoMatch)
	text := r.Failure.Error()
	for _, step := range trace.Steps() {
		text += "\n" + step.Text
	}
	if strings.Contains(text, "canary") || !strings.Contains(text, "<secret>") {
		t.Error(text)
	}
}

func TestTLS(t *testing.T) {
	ca := probetest.NewAuthority(t)
	s := serve(t, nil, nil)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue()}}
	s.StartTLS()
	target := strings.Replace(s.URL, "https", "wss", 1)
	r := probetest.Ask(t, module(t, func(o *Options) { o.HTTPConfig.TLSConfig.CA = ca.PEM }), probe.Request{Target: target})
	probetest.WantUp(t, r)
	if r.TLS == nil || r.TLS.ChainExpiry.IsZero() || r.Phases.TLS <= 0 {
		t.Errorf("got %+v, %+v", r.TLS, r.Phases)
	}
	other := probetest.Ask(t, module(t, func(o *Options) { o.HTTPConfig.TLSConfig.CA = probetest.NewAuthority(t).PEM }), probe.Request{Target: target})
	probetest.WantDown(t, other, probe.StageTLS, probe.ReasonCertificateAuthority)
	if other.TLS == nil || other.TLS.Leaf.Subject == "" || !other.WebSocket.Tried {
		t.Error("the refused certificate is not shown")
	}
}

func TestServerThatTakesNoLargeClientHello(t *testing.T) {
	ca := probetest.NewAuthority(t)
	s := serve(t, nil, nil)
	s.Listener = probetest.ShortHellos(s.Listener)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue()}}
	s.StartTLS()
	m := module(t, func(o *Options) {
		o.HTTPConfig.TLSConfig.CA, o.HTTPConfig.BasicAuth = ca.PEM, &config.BasicAuth{Username: "u", Password: "secret"}
	})
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: strings.Replace(s.URL, "https", "wss", 1)}))
}

func TestTargetsAndGuard(t *testing.T) {
	m := module(t)
	for _, target := range []string{"", "tcp://h:1", "ws://", "ws://h:0/", "ws://a b/"} {
		_, err := m.Prober.Probe(t.Context(), probe.Request{Target: target})
		if !probe.Is[*probe.TargetError](err) {
			t.Errorf("%q: got %v, want a TargetError", target, err)
		}
	}
	g, err := guard.Options{Deny: []string{"127.0.0.0/8"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Prober.Probe(t.Context(), probe.Request{Target: "ws://127.0.0.1:1/", Guard: g}); !probe.Is[*probe.DeniedError](err) {
		t.Errorf("got %v, want a DeniedError", err)
	}
	r := probetest.Ask(t, m, probe.Request{Target: "ws://" + probetest.ClosedPort(t).String()})
	probetest.WantDown(t, r, probe.StageConnect, probe.ReasonConnectionRefused)
}

func TestOptionsThatCannotWork(t *testing.T) {
	o := new(Options)
	o.SetDefaults()
	o.QueryResponse = []tcpprobe.QueryResponse{{StartTLS: true}, {ExpectBytes: "x"}}
	o.Headers = map[string]Header{"Sec-WebSocket-Key": {Values: []string{"x"}}, "X-Bad": {Values: []string{"a\nb"}}}
	o.HTTPConfig.TLSConfig.CAFile = "/does/not/exist"
	_, err := o.Compile()
	if texts := probetest.OptionErrorTexts(err); len(texts) != 4 || !strings.HasPrefix(texts[3], "http_config.") {
		t.Errorf("got %q", texts)
	}
}

// raw is a server that makes the opening handshake and then lets misbehave loose.
func raw(misbehave func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		misbehave(c)
	}
}

func flood(chunk string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, chunk); err != nil {
				return
			}
		}
	}
}

// answers reads a request and then serves.
func answers(serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		serve(c)
	}
}

func TestHostilePeers(t *testing.T) {
	const response, conversation = probe.StageResponse, probe.StageConversation
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		timeout time.Duration
		stage   probe.Stage
		reason  probe.Reason
	}{
		"silence":          {probetest.Drain, probetest.Soon, response, probe.ReasonTimeout},
		"closes":           {answers(func(net.Conn) {}), 0, response, probe.ReasonConnectionClosed},
		"resets":           {answers(probetest.Reset), 0, response, probe.ReasonConnectionReset},
		"another protocol": {answers(probetest.Says("SSH-2.0-OpenSSH_9.2p1\r\n")), 0, response, probe.ReasonProtocolError},
		"endless header": {answers(func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 101 x\r\n")
			flood("X-A: " + strings.Repeat("a", 4000) + "\r\n")(c)
		}), 0, response, probe.ReasonHeadersTooLarge},
		"endless 1xx":          {answers(flood("HTTP/1.1 103 Early Hints\r\n\r\n")), 0, response, probe.ReasonTooManyInterim},
		"200":                  {answers(probetest.Says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")), 0, probe.StageCheck, probe.ReasonStatusCode},
		"a redirect":           {answers(probetest.Says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")), 0, probe.StageCheck, probe.ReasonStatusCode},
		"101 without a key":    {answers(probetest.Says("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")), 0, response, probe.ReasonProtocolError},
		"no message":           {raw(probetest.Drain), probetest.Soon, conversation, probe.ReasonTimeout},
		"closes without frame": {raw(func(net.Conn) {}), 0, conversation, probe.ReasonConnectionClosed},
		"closes with a frame":  {raw(func(c net.Conn) { io.WriteString(c, "\x88\x02\x03\xf3"); probetest.Drain(c) }), 0, conversation, probe.ReasonConnectionClosed},
		"garbage":              {raw(func(c net.Conn) { io.WriteString(c, strings.Repeat("\xff", 64)); probetest.Drain(c) }), 0, conversation, probe.ReasonProtocolError},
		"endless pings":        {raw(flood(strings.Repeat("\x89\x00", 2000))), 0, conversation, probe.ReasonConversationTooLong},
		"endless fragments": {raw(func(c net.Conn) {
			io.WriteString(c, "\x01\x00")
			flood("\x00\x7e\x10\x00" + strings.Repeat("a", 4096))(c)
		}), 0, conversation, probe.ReasonConversationTooLong},
		"a huge message": {raw(func(c net.Conn) {
			io.WriteString(c, "\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00")
			flood(strings.Repeat("a", 4096))(c)
		}), 0, conversation, probe.ReasonConversationTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			addr := probetest.Listen(t, c.serve)
			r := probetest.Ask(t, module(t, turns(expect("^never$", ""))), probe.Request{Target: "ws://" + addr.String(), Timeout: c.timeout})
			probetest.WantDown(t, r, c.stage, c.reason)
		})
	}
	t.Run("never reads", func(t *testing.T) {
		addr := probetest.Listen(t, raw(func(net.Conn) { <-t.Context().Done() }))
		m := module(t, turns(tcpprobe.QueryResponse{Send: strings.Repeat("x", 16<<20)}))
		r := probetest.Ask(t, m, probe.Request{Target: "ws://" + addr.String(), Timeout: 3 * probetest.Soon})
		probetest.WantDown(t, r, conversation, probe.ReasonTimeout)
	})
	t.Run("refuses, and never sends the body", func(t *testing.T) {
		addr := probetest.Listen(t, answers(func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n")
			probetest.Drain(c)
		}))
		r := probetest.Ask(t, module(t), probe.Request{Target: "ws://" + addr.String(), Timeout: time.Minute})
		probetest.WantDown(t, r, probe.StageCheck, probe.ReasonStatusCode)
		if r.Duration > 30*time.Second {
			t.Errorf("it took %s", r.Duration)
		}
	})
	t.Run("never closes", func(t *testing.T) {
		addr := probetest.Listen(t, raw(probetest.Drain))
		probetest.WantUp(t, probetest.Ask(t, module(t), probe.Request{Target: "ws://" + addr.String()}))
	})
}

func TestProxyIsAskedForATunnel(t *testing.T) {
	s := serve(t, nil, nil)
	s.Start()
	asked := make(chan string, 1)
	proxy := probetest.Listen(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		asked <- req.Method + " " + req.Host
		up, err := net.Dial("tcp", req.Host)
		if err != nil {
			return
		}
		defer up.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(up, in)
		io.Copy(c, up)
	})
	m := module(t, func(o *Options) {
		o.HTTPConfig.ProxyURL.URL = &url.URL{Scheme: "http", Host: proxy.String()}
	})
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL}))
	if got, want := <-asked, "CONNECT "+strings.TrimPrefix(s.URL, "http://"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCallerThatLeavesGetsNoVerdict(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := probetest.Listen(t, raw(func(c net.Conn) { cancel(); probetest.Drain(c) }))
	_, err := new(probe.Runner).Do(ctx, module(t, turns(expect("x", ""))), probe.Request{Target: "ws://" + addr.String(), Timeout: time.Minute})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// FuzzMessages holds that whatever comes after the handshake, one verdict comes of it.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("\x81\x05hello"))
	f.Add([]byte("\x88\x02\x03\xe8"))
	f.Add([]byte("\x89\x00\x01\x02he\x80\x03llo"))
	m := module(f, turns(expect("^hello$", "")))
	f.Fuzz(func(t *testing.T, frames []byte) {
		addr := probetest.Listen(t, raw(func(c net.Conn) {
			c.Write(frames)
			c.(*net.TCPConn).CloseWrite()
			probetest.Drain(c)
		}))
		r := probetest.Ask(t, m, probe.Request{Target: "ws://" + addr.String()})
		if !r.Up() && (r.Failure.Stage == "" || r.Failure.Reason == probe.ReasonTimeout || r.Failure.Reason == probe.ReasonNetworkError || len(r.Failure.Error()) > 2000) {
			t.Errorf("%q: %+v", frames, r.Failure)
		}
	})
}

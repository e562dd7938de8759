package httpprobe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/redact"
)

// cannedConn is a peer that has said everything already.
type cannedConn struct {
	net.Conn
	in io.Reader
}

func (c *cannedConn) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *cannedConn) Write(b []byte) (int, error) { return len(b), nil }

// FuzzHTTPResponse lets a peer say anything: whatever comes is a verdict with one reason, and bounded.
func FuzzHTTPResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 200 OK\r\n\r\n{\"status\": \"ok\"}",
		"HTTP/1.1 302 Found\r\nLocation: //x:y@[::1]:0/\r\nSet-Cookie: a=b; Domain=x\r\n\r\n",
		"HTTP/1.1 000 \r\n\r\n", "HTTP/0.9\n", "HTTP/1.1 204\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + string(encoded("gzip", []byte("hello"))),
		"HTTP/1.1 200 OK\r\nLast-Modified: never\r\nContent-Length: -1\r\n\r\n",
	} {
		for _, way := range []byte{0, 1, 2, 3, 4} {
			f.Add([]byte(seed), way)
		}
	}
	probers := []*prober{}
	for _, options := range []string{
		"", "method: HEAD", "compression: gzip\nbody_size_limit: 1KB", "compression: deflate",
		"fail_if_body_not_matches_regexp: [ok]\nfail_if_body_json_matches_cel: body.status == 'x'\nfail_if_header_matches: [{header: x, regexp: y}]",
	} {
		probers = append(probers, httpModule(f, options).Prober.(*prober))
	}
	target, err := url.Parse("http://user:canary@example.com/path")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said []byte, way byte) {
		p := probers[int(way)%len(probers)]
		w := run{p: p, target: target, result: probe.Result{HTTP: new(probe.HTTPFacts)}}
		w.http1 = p.http1Conns.Get().(*http1Conn)
		defer w.close(true)
		h := hop{url: target, method: p.method, sameHost: true}
		if w.credentials, err = w.authorize(t.Context(), &h); err != nil {
			t.Fatal(err)
		}
		req, err := w.request(&h)
		if err != nil {
			t.Fatal(err)
		}
		conn := &cannedConn{in: strings.NewReader(string(said))}
		resp, err := w.http1.exchange(t.Context(), conn, req)
		if err == nil {
			next, follow, stop := w.redirect(&h, resp)
			if follow {
				next.sameHost = false
				if got, err := w.request(&next); err == nil && strings.Contains(string(got.appendHead(nil)), "canary") {
					t.Errorf("a password leaves for %s", next.url)
				}
				return
			}
			err = w.judge(t.Context(), resp, stop)
		}
		var failure *probe.Failure
		if err != nil && (!errors.As(err, &failure) || failure.Stage == "" || failure.Reason == "" || failure.Reason == probe.ReasonNetworkError) {
			t.Errorf("%q: %#v", said, err)
		}
		if limit := p.limit; w.result.HTTP.UncompressedBodyLength > limit {
			t.Errorf("%d bytes were counted, the limit is %d", w.result.HTTP.UncompressedBodyLength, limit)
		}
	})
}

// FuzzHTTPTarget holds that what is accepted as a target goes back into a request in one piece, and that no error
// shows a password.
func FuzzHTTPTarget(f *testing.F) {
	for _, seed := range []string{
		"example.com", "http://[::1%25lo]:80/", "https://u:canary@example.com:443/a?b#c", "//x", "http://u:canary@[", "user:pw@host/login?next=https://x", "a:b@c:http/@?#@", "http://u:p@h\\@x", "bücher.example", "http://a b", "HTTP://\x00", "@0",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := weburl.Parse(target)
		if err == nil && u.User.String() != "" {
			shown, err := weburl.Parse(redact.Target(target))
			if err != nil || shown.User.Username() != "***" || shown.Host != u.Host || shown.RequestURI() != u.RequestURI() {
				t.Errorf("%q is shown as %q", target, redact.Target(target))
			}
		}
		if err != nil {
			if strings.Contains(err.Error(), "canary") && strings.Contains(target, "@") {
				t.Errorf("%q: the error shows it: %v", target, err)
			}
			return
		}
		req := request{method: "GET", url: u, host: weburl.HostHeader(u)}
		head := string(req.appendHead(nil))
		if strings.Count(head, "\r\n") != 4 || strings.Count(head, "\n") != 4 || strings.ContainsRune(head, 0) {
			t.Errorf("%q makes the request %q", target, head)
		}
		if weburl.Port(u) == 0 || u.Hostname() == "" {
			t.Errorf("%q: port %d of %q", target, weburl.Port(u), u.Hostname())
		}
	})
}

func TestSilentPeersAreForgottenWithTheProbe(t *testing.T) {
	target := rawServer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	m := httpModule(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 50)
	for range cap(done) {
		go func() {
			_, err := new(probe.Runner).Do(ctx, m, probe.Request{Target: target, Timeout: time.Minute})
			done <- err
		}()
	}
	cancel()
	for range cap(done) {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

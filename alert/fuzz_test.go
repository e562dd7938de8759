package alert

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzMailServer lets a server answer anything: the session ends, nothing panics, and a message is taken for
// delivered only when the server said 2xx after it had said 354.
func FuzzMailServer(f *testing.F) {
	f.Add([]byte("220 hi\r\n250 hi\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n"))
	f.Add([]byte("220 hi\r\n250-hi\r\n250 AUTH PLAIN\r\n250 ok\r\n550 no\r\n250 reset\r\n221 bye\r\n"))
	f.Add([]byte("220-"))
	f.Add([]byte("999 \xff\r\n-1\r\n2\x0050\r\n"))
	f.Add(bytes.Repeat([]byte("220-more\r\n"), 1000))
	f.Fuzz(func(t *testing.T, says []byte) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Write(says)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}()
		m := &smtpServer{options: SMTPOptions{Address: l.Addr().String(), TLS: TLSNone}, from: "r@example.com", hello: "h", timeout: 5 * time.Second}
		r := m.deliver(t.Context(), one("ops@example.com"))
		l.Close()
		<-served
		if (r[0].verdict == delivered) != (r[0].err == nil) {
			t.Errorf("verdict %v with error %v", r[0].verdict, r[0].err)
		}
		if _, after, ok := strings.Cut(string(says), "354"); r[0].verdict == delivered && (!ok || !strings.Contains(after, "250")) {
			t.Errorf("%q was taken for an acceptance", says)
		}
	})
}

// FuzzAlertmanagerReply: whatever an Alertmanager answers, there is a verdict, and an error that is fit for a log
// unless it accepted.
func FuzzAlertmanagerReply(f *testing.F) {
	f.Add(200, "200 OK", "{}")
	f.Add(400, "400 Bad\x1b[2J", "\x00\xff")
	f.Add(0, "", "")
	f.Add(503, "", strings.Repeat("x", 10000))
	f.Fuzz(func(t *testing.T, code int, status, body string) {
		c := alertmanagerConfig{timeout: time.Second, client: &http.Client{Transport: answer(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: code, Status: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}
		})}}
		r := c.post(t.Context(), am1, []postable{{}})
		if (r.verdict == delivered) != (code/100 == 2) || (r.err == nil) != (r.verdict == delivered) {
			t.Errorf("code %d: verdict %v, error %v", code, r.verdict, r.err)
		}
		if r.err != nil && (len(r.err.Error()) > 2*maxDetail || strings.IndexFunc(r.err.Error(), isControl) >= 0) {
			t.Errorf("the error is %q", r.err)
		}
	})
}

type answer func(*http.Request) *http.Response

func (f answer) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

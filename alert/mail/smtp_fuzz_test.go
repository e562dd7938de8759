package mail

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"rollcall/alert/outbox"
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
		m := &smtpServer{options: SMTPOptions{Address: l.Addr().String(), TLS: TLSNone}, from: "r@example.com", host: "h.example.com", limits: every(5 * time.Second)}
		r := m.deliver(t.Context(), "ops@example.com", testMessage, io.Discard)
		l.Close()
		<-served
		if (r.Verdict == outbox.Delivered) != (r.Err == nil) {
			t.Errorf("verdict %v with error %v", r.Verdict, r.Err)
		}
		if _, after, ok := strings.Cut(string(says), "354"); r.Verdict == outbox.Delivered && (!ok || !strings.Contains(after, "250")) {
			t.Errorf("%q was taken for an acceptance", says)
		}
	})
}

package httpprobe

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func TestHeadsShareTheMemory(t *testing.T) {
	for name, c := range map[string]struct {
		head  string
		fault probe.Fault // empty: it is read
	}{
		"an ordinary head": {strings.Repeat("X-A: b\r\n", 400), ""},
		"a flood":          {strings.Repeat("a:\r\n", 200_000), probe.FaultMemory},
	} {
		t.Run(name, func(t *testing.T) {
			limit := probe.NewLimit(t.Context(), 20*time.Second)
			defer limit.Release()
			_ = limit.HoldFrom(probe.NewMemory(1<<20, 1<<20), 0)
			ours, theirs := net.Pipe()
			defer ours.Close()
			go io.Copy(io.Discard, theirs)
			go func() {
				io.WriteString(theirs, "HTTP/1.1 200 OK\r\n"+c.head+"\r\n")
				theirs.Close()
			}()
			_, err := newHTTP1Conn().(*http1Conn).exchange(limit, ours, &request{method: "GET", host: "x", url: &url.URL{Scheme: "http", Host: "x", Path: "/"}})
			if c.fault == "" && err != nil {
				t.Error(err)
			}
			if c.fault != "" {
				probetest.WantExporterError(t, err, c.fault)
			}
		})
	}
}

// TestHeadersOverHTTP2AndHTTP3ShareTheMemory has servers whose header is bounded for itself and too large for what is left.
func TestHeadersOverHTTP2AndHTTP3ShareTheMemory(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			w.Header().Set("X-Large", strings.Repeat("~", 500<<10))
		}
	}
	secure, tlsOptions := serveTLS(t, true, answer)
	quic, quicOptions := serveHTTP3(t, answer)
	for name, c := range map[string]struct{ target, options string }{"HTTP/2": {secure.URL, tlsOptions}, "HTTP/3": {quic, quicOptions}} {
		t.Run(name, func(t *testing.T) {
			runner := &probe.Runner{Memory: probe.NewMemory(1<<20, 1<<20)}
			module := httpModule(t, c.options)
			_, err := runner.Do(t.Context(), module, probe.Request{Target: c.target + "/large", Timeout: 20 * time.Second})
			probetest.WantExporterError(t, err, probe.FaultMemory)
			record, err := runner.Do(t.Context(), module, probe.Request{Target: c.target + "/", Timeout: 20 * time.Second})
			if err != nil || !record.Result.Up() {
				t.Errorf("a small one afterwards: %v %v", err, record.Result.Failure)
			}
			if err := runner.Memory.Take(1 << 20); err != nil {
				t.Errorf("it is not given back: %v", err)
			}
		})
	}
}

func TestHalfAStatusLineFollowedBySilenceIsATimeout(t *testing.T) {
	for _, half := range []string{"H", "HTTP/1.1", "HTTP/1.1 2", "HTTP/1.1 200 OK"} {
		ours, theirs := net.Pipe()
		ours.SetDeadline(time.Now().Add(300 * time.Millisecond))
		go io.Copy(io.Discard, theirs)
		go io.WriteString(theirs, half)
		_, err := newHTTP1Conn().(*http1Conn).exchange(t.Context(), ours, &request{method: "GET", host: "x", url: &url.URL{Scheme: "http", Host: "x", Path: "/"}})
		if !probe.HasReason(err, probe.ReasonTimeout) {
			t.Errorf("%q: %v", half, err)
		}
		ours.Close()
		theirs.Close()
	}
}

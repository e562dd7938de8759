package httpprobe

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

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
			limit.HoldFrom(probe.NewMemory(1 << 20))
			ours, theirs := net.Pipe()
			defer ours.Close()
			go io.Copy(io.Discard, theirs)
			go func() {
				io.WriteString(theirs, "HTTP/1.1 200 OK\r\n"+c.head+"\r\n")
				theirs.Close()
			}()
			_, err := newWire().(*wire).exchange(limit, ours, &request{method: "GET", host: "x", url: &url.URL{Scheme: "http", Host: "x", Path: "/"}})
			if c.fault == "" && err != nil {
				t.Error(err)
			}
			if c.fault != "" {
				probetest.WantExporterError(t, err, c.fault)
			}
		})
	}
}

func TestBrotliWindowIsTakenBeforeItIsAllocated(t *testing.T) {
	for bits := 10; bits <= 24; bits++ {
		var stream bytes.Buffer
		w := brotli.NewWriterOptions(&stream, brotli.WriterOptions{Quality: 5, LGWin: bits})
		io.WriteString(w, strings.Repeat("hello ", 100))
		w.Close()
		window := int64(1) << bits
		if got := brotliWindow(stream.Bytes()[0]); got != window {
			t.Errorf("LGWin %d: %d, want %d", bits, got, window)
		}
		for memory, fits := range map[int64]bool{window: true, window - 1: false} {
			limit := probe.NewLimit(t.Context(), 20*time.Second)
			limit.HoldFrom(probe.NewMemory(memory))
			r, done, err := newDecoders().decode("br", bytes.NewReader(stream.Bytes()), limit)
			if fits != (err == nil) {
				t.Errorf("LGWin %d with %d bytes: %v", bits, memory, err)
			}
			if err == nil {
				if text, err := io.ReadAll(r); err != nil || len(text) != 600 {
					t.Errorf("LGWin %d: %d bytes, %v", bits, len(text), err)
				}
				done()
			}
			limit.Release()
		}
	}
}

func TestHalfAStatusLineFollowedBySilenceIsATimeout(t *testing.T) {
	for _, half := range []string{"H", "HTTP/1.1", "HTTP/1.1 2", "HTTP/1.1 200 OK"} {
		ours, theirs := net.Pipe()
		ours.SetDeadline(time.Now().Add(300 * time.Millisecond))
		go io.Copy(io.Discard, theirs)
		go io.WriteString(theirs, half)
		_, err := newWire().(*wire).exchange(t.Context(), ours, &request{method: "GET", host: "x", url: &url.URL{Scheme: "http", Host: "x", Path: "/"}})
		if !probe.HasReason(err, probe.ReasonTimeout) {
			t.Errorf("%q: %v", half, err)
		}
		ours.Close()
		theirs.Close()
	}
}

package content

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"rollcall/probe"
)

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
			_ = limit.HoldFrom(probe.NewMemory(memory, memory), 0)
			r, done, err := NewDecoders().Decode("br", bytes.NewReader(stream.Bytes()), limit)
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

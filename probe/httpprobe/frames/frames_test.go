package frames

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

// FuzzScan lets a server say anything, in pieces: what is seen does not depend on where they are cut.
func FuzzScan(f *testing.F) {
	var said bytes.Buffer
	framer := http2.NewFramer(&said, nil)
	framer.WriteSettings()
	framer.WritePing(false, [8]byte{1})
	framer.WriteDataPadded(1, true, []byte("some data"), make([]byte, 7))
	framer.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	framer.WriteGoAway(3, http2.ErrCodeNo, []byte("debug"))
	f.Add(said.Bytes(), 1)
	f.Add([]byte("garbage"), 3)
	f.Fuzz(func(t *testing.T, said []byte, piece int) {
		var whole, cut Conn
		whole.scan(said)
		for rest := said; len(rest) > 0; {
			n := min(max(1, piece&0xff), len(rest))
			cut.scan(rest[:n])
			rest = rest[n:]
		}
		if whole.seen != cut.seen || whole.idle != cut.idle || whole.skip != cut.skip {
			t.Errorf("%q: %+v and %d idle frames in one piece, %+v and %d in several", said, whole.seen, whole.idle, cut.seen, cut.idle)
		}
	})
}

func TestSeenIsWhatTheFramesSay(t *testing.T) {
	for name, c := range map[string]struct {
		write   func(*http2.Framer)
		want    Seen
		refused bool
		idle    int
	}{
		"GOAWAY before the request": {func(f *http2.Framer) { f.WriteGoAway(0, http2.ErrCodeNo, []byte("bye")) }, Seen{GoAway: true}, true, 1},
		"GOAWAY after the request":  {func(f *http2.Framer) { f.WriteGoAway(1, http2.ErrCodeNo, nil) }, Seen{GoAway: true, LastStream: 1}, false, 1},
		"REFUSED_STREAM":            {func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeRefusedStream) }, Seen{Reset: true, Code: http2.ErrCodeRefusedStream}, true, 1},
		"INTERNAL_ERROR":            {func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeInternal) }, Seen{Reset: true, Code: http2.ErrCodeInternal}, false, 1},
		"the end with data":         {func(f *http2.Framer) { f.WritePing(false, [8]byte{}); f.WriteData(1, true, make([]byte, 100)) }, Seen{Ended: true}, false, 0},
		"what is to be answered":    {func(f *http2.Framer) { f.WriteSettings(); f.WritePing(false, [8]byte{}) }, Seen{}, false, 2 * answered},
		"padding is no data":        {func(f *http2.Framer) { f.WriteDataPadded(1, false, nil, make([]byte, 200)) }, Seen{}, false, 1},
	} {
		var said bytes.Buffer
		c.write(http2.NewFramer(&said, nil))
		var got Conn
		got.scan(said.Bytes())
		if got.seen != c.want || got.seen.NotProcessed() != c.refused || got.idle != c.idle {
			t.Errorf("%s: %+v, %d idle frames", name, got.seen, got.idle)
		}
	}
}

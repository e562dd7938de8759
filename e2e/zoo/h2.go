package zoo

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// H2Raw starts a server that negotiates HTTP/2, exchanges the prefaces, waits for the first request and then calls misbehave.
// stream is that of the request.
func H2Raw(t testing.TB, misbehave func(f *http2.Framer, stream uint32)) string {
	t.Helper()
	config := Config(Good(), func(c *tls.Config) { c.NextProtos = []string{"h2"} })
	return TLS(t, config, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.AllowIllegalWrites = true
		f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok {
				misbehave(f, h.StreamID)
				hold(c)
				return
			}
		}
	})
}

// GoAway ends the connection before the request is answered.
func GoAway(f *http2.Framer, _ uint32) {
	f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("go away"))
}

// ResetStream refuses the request.
func ResetStream(f *http2.Framer, stream uint32) { f.WriteRSTStream(stream, http2.ErrCodeInternal) }

// FloodSettings sends endless SETTINGS frames.
func FloodSettings(f *http2.Framer, _ uint32) {
	for f.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 14}) == nil {
	}
}

// FloodPing sends endless PING frames.
func FloodPing(f *http2.Framer, _ uint32) {
	for f.WritePing(false, [8]byte{}) == nil {
	}
}

// FloodContinuation sends an endless header block.
func FloodContinuation(f *http2.Framer, stream uint32) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	if f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes()}) != nil {
		return
	}
	block.Reset()
	enc.WriteField(hpack.HeaderField{Name: "x-flood", Value: strings.Repeat("a", 8<<10), Sensitive: true})
	for f.WriteContinuation(stream, false, block.Bytes()) == nil {
	}
}

// FloodResets answers with RST_STREAM on streams that were never opened.
func FloodResets(f *http2.Framer, stream uint32) {
	for id := stream; f.WriteRSTStream(id, http2.ErrCodeCancel) == nil; id += 2 {
	}
}

// EndlessData answers 200 and an endless body, as far as the window allows.
func EndlessData(f *http2.Framer, stream uint32) {
	var block bytes.Buffer
	hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
	for f.WriteData(stream, false, make([]byte, 16<<10)) == nil {
	}
}

// FloodUnknown sends frames of an undefined type.
func FloodUnknown(f *http2.Framer, stream uint32) {
	for f.WriteRawFrame(0xfa, 0, stream, nil) == nil {
	}
}

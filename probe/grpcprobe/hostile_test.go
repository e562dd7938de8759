package grpcprobe

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// raw is a server that exchanges the prefaces of HTTP/2 and hands the frames to answer for each call.
func raw(answer func(f *http2.Framer, stream uint32)) func(net.Conn) {
	return func(c net.Conn) {
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
				answer(f, h.StreamID)
			}
		}
	}
}

func block(fields ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

func headers(f *http2.Framer, stream uint32, end bool, fields ...string) error {
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block(fields...), EndHeaders: true, EndStream: end})
}

func begin(f *http2.Framer, stream uint32) {
	headers(f, stream, false, ":status", "200", "content-type", "application/grpc")
}

func end(f *http2.Framer, stream uint32, code string) {
	headers(f, stream, true, "grpc-status", code)
}

// message is one with its prefix.
func message(text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

const serving = "\x08\x01"

func TestHostilePeers(t *testing.T) {
	const response, protocol = probe.StageResponse, probe.ReasonProtocolError
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		timeout time.Duration // 0: none that counts
		stage   probe.Stage
		reason  probe.Reason
	}{
		"silence":              {probetest.Drain, probetest.Soon, response, probe.ReasonTimeout},
		"silence after frames": {raw(func(*http2.Framer, uint32) {}), probetest.Soon, response, probe.ReasonTimeout},
		"never reads":          {func(net.Conn) { <-t.Context().Done() }, probetest.Soon, response, probe.ReasonTimeout},
		"closes": {func(c net.Conn) {
			c.Read(make([]byte, 1<<16))
			c.(*net.TCPConn).CloseWrite()
			probetest.Drain(c) // what is left unread would make it a reset
		}, 0, response, probe.ReasonConnectionClosed},
		"resets":           {func(c net.Conn) { c.Read(make([]byte, 10)); probetest.Reset(c) }, 0, response, probe.ReasonConnectionReset},
		"another protocol": {probetest.Says("SSH-2.0-OpenSSH_9.2p1\r\n"), 0, response, protocol},
		"HTTP/1":           {probetest.Says("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), 0, response, protocol},
		"no gRPC": {raw(func(f *http2.Framer, s uint32) {
			headers(f, s, true, ":status", "404", "content-type", "text/html")
		}), 0, response, protocol},
		"endless text": {raw(func(f *http2.Framer, s uint32) {
			headers(f, s, false, ":status", "200", "content-type", "text/html")
			for f.WriteData(s, false, make([]byte, 16<<10)) == nil {
			}
		}), 0, response, protocol},
		"GOAWAY, unprocessed": {raw(func(f *http2.Framer, _ uint32) { f.WriteGoAway(0, http2.ErrCodeNo, nil) }), 0, response, protocol},
		"GOAWAY with an error": {raw(func(f *http2.Framer, s uint32) {
			f.WriteGoAway(s, http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings"))
			f.WriteRSTStream(s, http2.ErrCodeInternal)
		}), 0, response, protocol},
		"RST_STREAM":     {raw(func(f *http2.Framer, s uint32) { f.WriteRSTStream(s, http2.ErrCodeInternal) }), 0, response, protocol},
		"refused stream": {raw(func(f *http2.Framer, s uint32) { f.WriteRSTStream(s, http2.ErrCodeRefusedStream) }), 0, response, protocol},
		"pings": {raw(func(f *http2.Framer, _ uint32) {
			for f.WritePing(false, [8]byte{}) == nil {
			}
		}), 0, response, protocol},
		"settings": {raw(func(f *http2.Framer, _ uint32) {
			for f.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 14}) == nil {
			}
		}), 0, response, protocol},
		"unknown frames": {raw(func(f *http2.Framer, s uint32) {
			for f.WriteRawFrame(0xfa, 0, s, make([]byte, 8)) == nil {
			}
		}), 0, response, protocol},
		"header flood": {raw(func(f *http2.Framer, s uint32) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block(":status", "200")})
			for f.WriteContinuation(s, false, block("x-flood", strings.Repeat("a", 8<<10))) == nil {
			}
		}), 0, response, protocol},
		"a message without end": {raw(func(f *http2.Framer, s uint32) {
			begin(f, s)
			f.WriteData(s, false, []byte{0, 0x7f, 0xff, 0xff, 0xff})
			for f.WriteData(s, false, make([]byte, 16<<10)) == nil {
			}
		}), 2 * time.Second, response, ""},
		"a long message": {raw(func(f *http2.Framer, s uint32) {
			begin(f, s)
			long := message(strings.Repeat(serving, 16<<10))
			for len(long) > 0 {
				n := min(len(long), 16<<10)
				f.WriteData(s, false, long[:n])
				long = long[n:]
			}
			end(f, s, "0")
		}), 0, response, protocol},
		"a broken message": {raw(func(f *http2.Framer, s uint32) {
			begin(f, s)
			f.WriteData(s, false, message("\xff\xff\xff"))
			end(f, s, "0")
		}), 0, response, protocol},
		"two messages": {raw(func(f *http2.Framer, s uint32) {
			begin(f, s)
			f.WriteData(s, false, append(message(serving), message(serving)...))
			end(f, s, "0")
		}), 0, response, protocol},
		"no message": {raw(func(f *http2.Framer, s uint32) { begin(f, s); end(f, s, "0") }), 0, probe.StageCheck, probe.ReasonStatusCode},
		"a state of 77": {raw(func(f *http2.Framer, s uint32) {
			begin(f, s)
			f.WriteData(s, false, message("\x08\x4d"))
			end(f, s, "0")
		}), 0, probe.StageCheck, probe.ReasonNotServing},
		"a broken status": {raw(func(f *http2.Framer, s uint32) { begin(f, s); end(f, s, "fine") }), 0, response, protocol},
		"a status of 4e9": {raw(func(f *http2.Framer, s uint32) { begin(f, s); end(f, s, "4000000000") }), 0, response, protocol},
		"a status of 77":  {raw(func(f *http2.Framer, s uint32) { begin(f, s); end(f, s, "77") }), 0, probe.StageCheck, probe.ReasonStatusCode},
		"an odd frame length": {func(c net.Conn) {
			c.Write([]byte{0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0})
			probetest.Drain(c)
		}, 0, response, protocol},
	} {
		t.Run(name, func(t *testing.T) {
			addr := probetest.Listen(t, c.serve)
			began := time.Now()
			r := probetest.Ask(t, module(t), probe.Request{Target: addr.String(), Timeout: c.timeout})
			if c.reason == "" { // whichever bound is met first
				if r.Up() || r.Failure.Stage != c.stage {
					t.Errorf("got %+v", r.Failure)
				}
			} else {
				probetest.WantDown(t, r, c.stage, c.reason)
			}
			if c.timeout == 0 && time.Since(began) > probetest.Enough-time.Second {
				t.Errorf("it took %v", time.Since(began))
			}
			if len(r.Failure.Error()) > 2000 {
				t.Errorf("a cause of %d bytes", len(r.Failure.Error()))
			}
		})
	}
}

// TestCallThatWasNotProcessedIsRepeatedOnce: a server that is being restarted gracefully sends GOAWAY on its old
// connections and answers on new ones.
func TestCallThatWasNotProcessedIsRepeatedOnce(t *testing.T) {
	for name, refuse := range map[string]func(f *http2.Framer, stream uint32){
		"GOAWAY": func(f *http2.Framer, _ uint32) { f.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"REFUSED_STREAM": func(f *http2.Framer, s uint32) {
			f.WriteRSTStream(s, http2.ErrCodeRefusedStream)
			f.WriteGoAway(0, http2.ErrCodeNo, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			addr := probetest.Listen(t, func(c net.Conn) {
				answer := refuse
				if connections.Add(1) > 1 {
					answer = func(f *http2.Framer, s uint32) {
						begin(f, s)
						f.WriteData(s, false, message(serving))
						end(f, s, "0")
					}
				}
				raw(answer)(c)
			})
			probetest.WantUp(t, probetest.Ask(t, module(t), probe.Request{Target: addr.String()}))
			if n := connections.Load(); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		})
	}
}

// FuzzAnswer holds that whatever bytes a server sends, one verdict comes of it, soon, and with a bounded text.
func FuzzAnswer(f *testing.F) {
	var good bytes.Buffer
	framer := http2.NewFramer(&good, nil)
	framer.WriteSettings()
	begin(framer, 1)
	framer.WriteData(1, false, message(serving))
	end(framer, 1, "0")
	f.Add(good.Bytes())
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add(bytes.Replace(good.Bytes(), []byte(serving), []byte("\xff\xff"), 1))
	m := module(f)
	f.Fuzz(func(t *testing.T, answer []byte) {
		addr := probetest.Listen(t, func(c net.Conn) {
			if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
				return
			}
			c.Write(answer)
			c.(*net.TCPConn).CloseWrite()
			probetest.Drain(c)
		})
		r := probetest.Ask(t, m, probe.Request{Target: addr.String()})
		if !r.Up() && (r.Failure.Stage == "" || r.Failure.Reason == "" || len(r.Failure.Error()) > 2000 || r.Failure.Reason == probe.ReasonTimeout) {
			t.Errorf("%q: %+v", answer, r.Failure)
		}
		if r.Up() != (r.GRPC.Serving == "SERVING") {
			t.Errorf("%q: up %t beside %+v", answer, r.Up(), r.GRPC)
		}
	})
}

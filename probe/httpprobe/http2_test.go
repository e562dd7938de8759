package httpprobe

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func TestHostileHTTP2(t *testing.T) {
	frame := func(kind, flags byte, stream uint32, payload string) string {
		n := len(payload)
		return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}) + payload
	}
	settings := frame(4, 0, 0, "")
	// headers answers stream 1, in one frame and its continuations.
	headers := func(c net.Conn, end bool, fields ...string) bool {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for i := 0; i < len(fields); i += 2 {
			encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		framer := http2.NewFramer(c, nil)
		first := block.Next(16 << 10)
		err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: end, EndHeaders: block.Len() == 0})
		for err == nil && block.Len() > 0 {
			next := block.Next(16 << 10)
			err = framer.WriteContinuation(1, block.Len() == 0, next)
		}
		return err == nil
	}
	answer := func(fields ...string) func(net.Conn) {
		return func(c net.Conn) {
			io.WriteString(c, settings)
			headers(c, true, fields...)
			io.Copy(io.Discard, c)
		}
	}
	for name, peer := range map[string]struct {
		say     func(net.Conn)
		reasons []probe.Reason
	}{
		"GOAWAY": {func(c net.Conn) { io.WriteString(c, settings+frame(7, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x02")) }, []probe.Reason{probe.ReasonProtocolError, probe.ReasonConnectionClosed}},
		"RST_STREAM": {func(c net.Conn) {
			io.WriteString(c, settings+frame(3, 0, 1, "\x00\x00\x00\x02"))
			io.Copy(io.Discard, c)
		}, []probe.Reason{probe.ReasonProtocolError}},
		"REFUSED_STREAM": {func(c net.Conn) {
			io.WriteString(c, settings+frame(3, 0, 1, "\x00\x00\x00\x07"))
			io.Copy(io.Discard, c)
		}, []probe.Reason{probe.ReasonProtocolError, probe.ReasonConnectionClosed}},
		"a flood of SETTINGS": {endless(settings), []probe.Reason{probe.ReasonTimeout, probe.ReasonProtocolError, probe.ReasonConnectionClosed}},
		"a flood of PING":     {func(c net.Conn) { io.WriteString(c, settings); endless(frame(6, 0, 0, "01234567"))(c) }, []probe.Reason{probe.ReasonTimeout, probe.ReasonProtocolError, probe.ReasonConnectionClosed}},
		"a header too large":  {answer(":status", "200", "x-flood", strings.Repeat("~", 2<<20)), []probe.Reason{probe.ReasonHeadersTooLarge, probe.ReasonProtocolError}},
		"endless interim responses": {func(c net.Conn) {
			for io.WriteString(c, settings); headers(c, false, ":status", "103"); {
			}
		}, []probe.Reason{probe.ReasonTooManyInterim}},
		"status 000":            {answer(":status", "000"), []probe.Reason{probe.ReasonProtocolError}},
		"a status of letters":   {answer(":status", "abc"), []probe.Reason{probe.ReasonProtocolError}},
		"no status":             {answer("x", "y"), []probe.Reason{probe.ReasonProtocolError}},
		"a length without body": {answer(":status", "200", "content-length", "5"), []probe.Reason{probe.ReasonProtocolError, probe.ReasonConnectionClosed}},
		"garbage":               {endless("garbage "), []probe.Reason{probe.ReasonProtocolError}},
		"closes":                {func(c net.Conn) {}, []probe.Reason{probe.ReasonConnectionClosed, probe.ReasonConnectionReset}},
		"silence":               {func(c net.Conn) { io.Copy(io.Discard, c) }, []probe.Reason{probe.ReasonTimeout}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, options := rawTLS(t, "h2", func(c net.Conn) {
				if awaitHTTP2Request(c) == nil {
					peer.say(c)
				}
			})
			limit := probetest.Enough
			if slices.Contains(peer.reasons, probe.ReasonTimeout) {
				limit = time.Second
			}
			r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: target, Timeout: limit})
			if r.Up() || !slices.Contains(peer.reasons, r.Failure.Reason) {
				t.Errorf("got %v, want one of %v", r.Failure, peer.reasons)
			}
			if r.Duration > limit+probetest.Enough {
				t.Errorf("it took %v", r.Duration)
			}
		})
	}
}

// awaitHTTP2Request reads up to the request's header: a client ignores an answer to what it has not asked yet.
func awaitHTTP2Request(c net.Conn) error {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return err
	}
	framer := http2.NewFramer(nil, c)
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		if _, ok := f.(*http2.HeadersFrame); ok {
			return nil
		}
	}
}

// What a server sends ahead of reading is held in memory, in each of thousands of probes.
func TestHTTP2ServerMaySendAMegabyteAhead(t *testing.T) {
	stream, connection := make(chan uint32, 1), make(chan uint32, 1)
	target, options := rawTLS(t, "h2", func(c net.Conn) {
		io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
		framer := http2.NewFramer(nil, c)
		for {
			switch f, err := framer.ReadFrame(); f := f.(type) {
			case *http2.SettingsFrame:
				size, _ := f.Value(http2.SettingInitialWindowSize)
				stream <- size
			case *http2.WindowUpdateFrame:
				connection <- f.Increment
			default:
				if _, asked := f.(*http2.HeadersFrame); asked || err != nil {
					return
				}
			}
		}
	})
	probetest.Ask(t, httpModule(t, options), probe.Request{Target: target})
	if size := <-stream; size != maxHTTP2Window {
		t.Errorf("a stream's window is %d bytes", size)
	}
	if more := <-connection; more > maxHTTP2Window {
		t.Errorf("the connection's window is %d bytes more than the protocol's", more)
	}
}

func TestHTTP2HeadHasNoBodyToDecode(t *testing.T) {
	s, options := serveTLS(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", "1000")
	})
	r := probetest.Ask(t, httpModule(t, options+"method: HEAD\ncompression: gzip"), probe.Request{Target: s.URL})
	probetest.WantUp(t, r)
	if r.HTTP.VersionMajor != 2 || r.HTTP.ContentLength != 1000 || r.HTTP.UncompressedBodyLength != 0 {
		t.Errorf("facts: %+v", r.HTTP)
	}
}

// HTTP/2 has no Upgrade header (RFC 9113, 8.2.2), so another protocol is requested over HTTP/1.1.
func TestUpgradeIsAskedForOverHTTP1(t *testing.T) {
	s, options := serveTLS(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	r := probetest.Ask(t, httpModule(t, options+"headers: {Connection: Upgrade, Upgrade: websocket}"), probe.Request{Target: s.URL})
	probetest.WantUp(t, r)
	if r.HTTP.VersionMajor != 1 {
		t.Errorf("it was HTTP/%d", r.HTTP.VersionMajor)
	}
}

// rawTLS is a peer that speaks after a TLS handshake with protocol; the second value is the tls_config that trusts it.
func rawTLS(t testing.TB, protocol string, speak func(net.Conn)) (string, string) {
	certified, options := serveTLS(t, false, func(http.ResponseWriter, *http.Request) {})
	config := &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{protocol}}
	return "https://" + rawServer(t, func(c net.Conn) {
		secured := tls.Server(c, config)
		if secured.Handshake() == nil {
			speak(secured)
		}
	}), options
}

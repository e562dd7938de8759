package httpprobe

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// encode writes content in a coding; "raw" is deflate without zlib's wrapping.
func encode(coding string, content io.Reader, to io.Writer) {
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(to)
	case "deflate":
		w = zlib.NewWriter(to)
	case "raw":
		w, _ = flate.NewWriter(to, flate.BestSpeed)
	case "br":
		w = brotli.NewWriterLevel(to, 1)
	default:
		io.Copy(to, content)
		return
	}
	io.Copy(w, content)
	w.Close()
}

func encoded(coding string, content []byte) []byte {
	var b bytes.Buffer
	encode(coding, bytes.NewReader(content), &b)
	return b.Bytes()
}

func TestBodiesAreDecodedAndCountedDecoded(t *testing.T) {
	content := bytes.Repeat([]byte("needle in a haystack "), 5000)
	for _, c := range []struct{ sent, compression string }{
		{"gzip", "gzip"}, {"br", "br"}, {"deflate", "deflate"}, {"raw", "deflate"}, {"", "identity"}, {"", ""},
	} {
		body := encoded(c.sent, content)
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
		for _, check := range []string{"", "fail_if_body_not_matches_regexp: ['haystack $']"} {
			m := httpModule(t, "compression: '"+c.compression+"'\n"+check)
			for range 2 { // the second with pooled decompressors
				r := probetest.Ask(t, m, probe.Request{Target: s.URL})
				probetest.WantUp(t, r)
				if r.HTTP.UncompressedBodyLength != int64(len(content)) {
					t.Errorf("%q: %d bytes, want %d", c.sent, r.HTTP.UncompressedBodyLength, len(content))
				}
			}
		}
	}
}

func TestBrokenEncodingsHaveTheirReason(t *testing.T) {
	whole := map[string][]byte{}
	for _, coding := range []string{"gzip", "br", "deflate"} {
		noise := make([]byte, 4096)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		whole[coding] = encoded(coding, noise)
	}
	for name, c := range map[string]struct {
		compression, header string
		body                []byte
	}{
		"gzip header":         {"gzip", "gzip", []byte("this is not gzip at all")},
		"gzip truncated":      {"gzip", "gzip", whole["gzip"][:len(whole["gzip"])/2]},
		"br nonsense":         {"br", "br", bytes.Repeat([]byte{0xff}, 100)},
		"br truncated":        {"br", "br", whole["br"][:len(whole["br"])/2]},
		"deflate truncated":   {"deflate", "deflate", whole["deflate"][:len(whole["deflate"])/2]},
		"deflate nonsense":    {"deflate", "deflate", bytes.Repeat([]byte{0xff}, 100)},
		"another than wanted": {"gzip", "br", whole["br"]},
		"plain though wanted": {"gzip", "", []byte("plain")},
	} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if c.header != "" {
				w.Header().Set("Content-Encoding", c.header)
			}
			w.Write(c.body)
		})
		r := probetest.Ask(t, httpModule(t, "compression: "+c.compression), probe.Request{Target: s.URL})
		if r.Up() || r.Failure.Stage != probe.StageBody || r.Failure.Reason != probe.ReasonContentEncoding {
			t.Errorf("%s: %v", name, r.Failure)
		}
	}
}

func TestUnrequestedEncoding(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(encoded("gzip", []byte("hello")))
	})
	// Who only counts bytes takes them in any coding (RFC 9110, section 12.5.3); who looks at them cannot.
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL}))
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, "headers: {Accept-Encoding: gzip}"), probe.Request{Target: s.URL}))
	for _, options := range []string{"fail_if_body_matches_regexp: [error]", "headers: {Accept-Encoding: br}", "fail_if_body_json_matches_cel: 'false'"} {
		probetest.WantDown(t, probetest.Ask(t, httpModule(t, options), probe.Request{Target: s.URL}), probe.StageBody, probe.ReasonContentEncoding)
	}
}

func TestEmptyBodiesNeedNoDecoding(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, "compression: gzip"), probe.Request{Target: s.URL}))
	s = serve(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "100") })
	r := probetest.Ask(t, httpModule(t, "compression: gzip\nmethod: HEAD"), probe.Request{Target: s.URL})
	probetest.WantUp(t, r)
	if r.HTTP.ContentLength != 100 || r.HTTP.UncompressedBodyLength != 0 {
		t.Errorf("facts: %+v", r.HTTP)
	}
}

func TestBodySizeLimit(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write(bytes.Repeat([]byte("x"), 2048)) })
	for _, check := range []string{"", "\nfail_if_body_matches_regexp: [y]"} {
		for options, up := range map[string]bool{"body_size_limit: 2KB": true, "body_size_limit: 2047B": false, "body_size_limit: 0": true, "": true} {
			r := probetest.Ask(t, httpModule(t, options+check), probe.Request{Target: s.URL})
			if up {
				probetest.WantUp(t, r)
				continue
			}
			probetest.WantDown(t, r, probe.StageBody, probe.ReasonBodyTooLarge)
			if r.HTTP.UncompressedBodyLength != 2047 || r.HTTP.FailedRegexp {
				t.Errorf("facts: %+v", r.HTTP)
			}
		}
	}
}

// zeros is n bytes of nothing.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestBombsAreBounded(t *testing.T) {
	for _, coding := range []string{"gzip", "br", "deflate"} {
		var b bytes.Buffer
		encode(coding, zeros(256<<20), &b)
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, &b) })
		m := httpModule(t, "compression: "+coding+"\nfail_if_body_matches_regexp: [x]")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := probetest.Ask(t, m, probe.Request{Target: s.URL})
		runtime.ReadMemStats(&after)
		probetest.WantDown(t, r, probe.StageBody, probe.ReasonBodyTooLarge)
		if r.HTTP.UncompressedBodyLength != int64(DefaultBodySizeLimit) {
			t.Errorf("%s: %d bytes", coding, r.HTTP.UncompressedBodyLength)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 50<<20 {
			t.Errorf("%s: %d MiB were allocated in total", coding, grown>>20)
		}
	}
}

func TestCompressedNothingIsBounded(t *testing.T) {
	member := encoded("gzip", nil) // a gzip file of no bytes; a row of them decodes to nothing, for ever
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for row := bytes.Repeat(member, 1000); ; {
			if _, err := w.Write(row); err != nil {
				return
			}
		}
	})
	start := time.Now()
	r := probetest.Ask(t, httpModule(t, "compression: gzip\nbody_size_limit: 1KB"), probe.Request{Target: s.URL})
	probetest.WantDown(t, r, probe.StageBody, probe.ReasonBodyTooLarge)
	if took := time.Since(start); took > probetest.Enough {
		t.Errorf("it took %v", took)
	}
}

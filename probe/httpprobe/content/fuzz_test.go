package content

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"testing"
)

// FuzzDecode decodes what a server sends as each coding: whatever it is, no more than the limit comes out, and a
// decompressor that is used again knows nothing of what it decoded before.
func FuzzDecode(f *testing.F) {
	var zipped, deflated bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, "hello")
	z.Close()
	d, _ := flate.NewWriter(&deflated, 1)
	io.WriteString(d, "hello")
	d.Close()
	f.Add(zipped.Bytes())
	f.Add(deflated.Bytes())
	f.Add([]byte{0x78, 0x9c, 0x03, 0, 0, 0, 0, 1})
	f.Add([]byte{0x1b, 0x04, 0, 0xf8, 'h', 'e', 'l', 'l', 'o', 3})
	decoders := NewDecoders()
	f.Fuzz(func(t *testing.T, body []byte) {
		const limit = 64 << 10
		for _, coding := range []string{"gzip", "br", "deflate", ""} {
			decode := func() (string, error) {
				sink := Sink{Limit: limit, Keep: true}
				r, done, err := decoders.Decode(coding, bytes.NewReader(body), nil)
				if err != nil {
					return "", err
				}
				defer done()
				err = sink.Fill(r, make([]byte, 0, 512))
				if sink.Size > limit || int64(len(sink.Kept)) != sink.Size {
					t.Errorf("%s: %d bytes are kept of %d", coding, len(sink.Kept), sink.Size)
				}
				return string(sink.Kept), err
			}
			first, firstErr := decode()
			second, secondErr := decode()
			if first != second || (firstErr == nil) != (secondErr == nil) {
				t.Errorf("%s: first %q (%v), then %q (%v)", coding, first, firstErr, second, secondErr)
			}
		}
	})
}

// Package content decodes bodies and bounds what is read and kept of them. It knows nothing of how they are framed.
package content

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"sync"

	"github.com/andybalholm/brotli"

	"rollcall/probe"
)

// Decoders keeps decompressors for the next body: each has a window and tables of tens of kilobytes.
type Decoders struct {
	gzip, zlib, flate, brotli, peek sync.Pool
}

// NewDecoders returns Decoders without any in store.
func NewDecoders() *Decoders {
	d := &Decoders{}
	d.gzip.New = func() any { return new(gzip.Reader) }
	d.flate.New = func() any { return flate.NewReader(nil) }
	d.brotli.New = func() any { return brotli.NewReader(nil) }
	d.peek.New = func() any { return bufio.NewReaderSize(nil, 512) }
	return d
}

// Decode returns a reader of what body holds in coding, and a function that gives the decompressor back. An error
// means that body does not begin as the coding says, or could not be read.
func (d *Decoders) Decode(coding string, body io.Reader, limit *probe.Limit) (io.Reader, func(), error) {
	switch coding {
	case "gzip":
		if err := limit.Hold(inflateMemory); err != nil {
			return nil, nil, err
		}
		r := d.gzip.Get().(*gzip.Reader)
		done := func() { d.gzip.Put(r) }
		if err := r.Reset(body); err != nil {
			done()
			return nil, nil, err
		}
		return r, done, nil
	case "br":
		peek := d.peek.Get().(*bufio.Reader)
		peek.Reset(body)
		r := d.brotli.Get().(*brotli.Reader)
		done := func() { d.brotli.Put(r); d.peek.Put(peek) }
		head, err := peek.Peek(1)
		if err == nil {
			err = limit.Hold(brotliWindow(head[0])) // it may be allocated at once, whatever follows
		}
		if err == nil || err == io.EOF {
			err = r.Reset(peek)
		}
		if err != nil {
			done()
			return nil, nil, err
		}
		return r, done, nil
	case "deflate":
		if err := limit.Hold(inflateMemory); err != nil {
			return nil, nil, err
		}
		return d.inflate(body)
	default:
		return body, func() {}, nil
	}
}

// inflateMemory is the window and the tables of a decompressor of gzip and deflate.
const inflateMemory = 48 << 10

// brotliWindow is the size of the window that the first byte of a stream asks for (RFC 7932, section 9.1).
func brotliWindow(first byte) int64 {
	switch n, m := first>>1&7, first>>4&7; {
	case first&1 == 0:
		return 1 << 16
	case n != 0:
		return 1 << (17 + n)
	case m == 0:
		return 1 << 17
	default:
		return 1 << (8 + m)
	}
}

// inflate reads "deflate" as RFC 9110 means it, in zlib's wrapping, and as many servers send it, without.
func (d *Decoders) inflate(body io.Reader) (io.Reader, func(), error) {
	peek := d.peek.Get().(*bufio.Reader)
	peek.Reset(body)
	head, err := peek.Peek(2)
	if err != nil {
		d.peek.Put(peek)
		return nil, nil, err
	}
	if head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 { // RFC 1950, section 2.2
		r, _ := d.zlib.Get().(io.ReadCloser)
		if r == nil {
			r, err = zlib.NewReader(peek)
		} else {
			err = r.(zlib.Resetter).Reset(peek, nil)
		}
		if err != nil {
			d.peek.Put(peek)
			return nil, nil, err
		}
		return r, func() { d.zlib.Put(r); d.peek.Put(peek) }, nil
	}
	r := d.flate.Get().(io.ReadCloser)
	done := func() { d.flate.Put(r); d.peek.Put(peek) }
	if err := r.(flate.Resetter).Reset(peek, nil); err != nil {
		done()
		return nil, nil, err
	}
	return r, done, nil
}

package zoo

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
)

// The handlers in this file are for TCP: web servers that violate HTTP in ways that net/http's server does not allow.

// RawHTTP reads one request and writes response unchanged.
func RawHTTP(response string) func(net.Conn) {
	return AfterRequest(func(c net.Conn) { io.WriteString(c, response) })
}

// AfterRequest reads one request and then calls handle.
func AfterRequest(handle func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		io.Copy(io.Discard, io.LimitReader(r.Body, r.ContentLength))
		c.SetReadDeadline(time.Time{})
		handle(c)
	}
}

// EndlessBody sends an endless body, chunked or until the connection closes.
func EndlessBody(chunked bool) func(net.Conn) {
	return AfterRequest(func(c net.Conn) {
		if !chunked {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
			flood(c, bytes.Repeat([]byte("x"), 64<<10))
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		flood(c, bytes.Repeat([]byte("1\r\nx\r\n"), 10<<10))
	})
}

// EndlessTrickle sends an endless body, one byte at a time.
func EndlessTrickle(every time.Duration) func(net.Conn) {
	return AfterRequest(func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		for pause(c, every) {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
		}
	})
}

// EndlessHeaders sends endless header lines.
var EndlessHeaders = AfterRequest(func(c net.Conn) {
	io.WriteString(c, "HTTP/1.1 200 OK\r\n")
	flood(c, bytes.Repeat([]byte("X-Flood: "+strings.Repeat("a", 100)+"\r\n"), 500))
})

// EndlessCookies sends endless Set-Cookie lines.
var EndlessCookies = AfterRequest(func(c net.Conn) {
	io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /\r\n")
	flood(c, bytes.Repeat([]byte("Set-Cookie: a=b; Path=/\r\n"), 2000))
})

// ManyCookies redirects to itself with n cookies of 1 KiB each.
func ManyCookies(n int) func(net.Conn) {
	var b strings.Builder
	b.WriteString("HTTP/1.1 302 Found\r\nLocation: /\r\nConnection: close\r\nContent-Length: 0\r\n")
	for i := range n {
		fmt.Fprintf(&b, "Set-Cookie: c%d=%s; Path=/\r\n", i, strings.Repeat("a", 1000))
	}
	b.WriteString("\r\n")
	return RawHTTP(b.String())
}

// LongHeader sends one header line of n bytes.
func LongHeader(n int) func(net.Conn) {
	return AfterRequest(func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Long: ")
		io.CopyN(c, endless('a'), int64(n))
		io.WriteString(c, "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
}

// LongTrailer sends a small chunked body and a trailer of n bytes.
func LongTrailer(n int) func(net.Conn) {
	return AfterRequest(func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello\n\r\n0\r\nX-Long: ")
		io.CopyN(c, endless('a'), int64(n))
		io.WriteString(c, "\r\n\r\n")
	})
}

// EndlessInterim sends endless 1xx responses.
var EndlessInterim = AfterRequest(func(c net.Conn) {
	flood(c, bytes.Repeat([]byte("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), 1000))
})

// Bomb sends size zero bytes in the encoding gzip, br or deflate, a few kilobytes per megabyte on the wire. They are made
// while they are sent.
func Bomb(encoding string, size int64) func(net.Conn) {
	return AfterRequest(func(c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nConnection: close\r\n\r\n", encoding)
		switch encoding {
		case "gzip":
			member := gzipped(make([]byte, 1<<20)) // members may follow each other
			for left := size; left > 0; left -= 1 << 20 {
				if _, err := c.Write(member); err != nil {
					return
				}
			}
		case "deflate":
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, flate.BestSpeed) // the level is valid
			w.Write(make([]byte, 1<<20))
			w.Flush()
			block := b.Bytes() // ends on a byte and refers to nothing before it
			for left := size; left > 0; left -= 1 << 20 {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
			w.Close()
			c.Write(b.Bytes()[len(block):])
		case "br":
			w := brotli.NewWriterLevel(c, brotli.BestSpeed)
			io.CopyN(w, endless(0), size)
			w.Close()
		}
	})
}

func gzipped(p []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(p)
	w.Close()
	return b.Bytes()
}

// endless is a reader that returns one byte forever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

package tlsclient

import (
	"errors"
	"net"
	"os"
	"time"

	"rollcall/probe"
)

const (
	// freeHandshake is how long a handshake may be within what every probe is expected to need: a chain of several
	// certificates.
	freeHandshake = 16 << 10
	// handshakeCost is the bytes that one byte of a handshake takes: it is buffered, copied and parsed. crypto/tls takes
	// certificates of 256 KiB, and a peer may send most of them and stop.
	handshakeCost = 4
)

// handshakeConn counts what a peer sends during a handshake as memory that its probe holds, and notices that a peer says
// nothing.
type handshakeConn struct {
	net.Conn
	limit *probe.Limit // nil: the handshake is over, or there is no bound
	read  int

	silent   func() // called when nothing came for patience; nil: it was called, or there is no need
	patience time.Duration
}

func (c *handshakeConn) Read(p []byte) (int, error) {
	if c.silent != nil {
		if n, err := c.first(p); n > 0 || err != nil {
			return n, err
		}
	}
	n, err := c.Conn.Read(p)
	if c.limit == nil {
		return n, err
	}
	if c.read += n; c.read > freeHandshake && err == nil {
		err = c.limit.Hold(handshakeCost * int64(n))
	}
	return n, err
}

// first reads what comes within the patience; nothing without an error: nothing came.
func (c *handshakeConn) first(p []byte) (int, error) {
	silent := c.silent
	c.silent = nil
	c.Conn.SetReadDeadline(time.Now().Add(c.patience))
	n, err := c.Conn.Read(p)
	c.Conn.SetReadDeadline(time.Time{}) // which is the probe's
	c.read += n
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		silent()
		return 0, nil
	}
	return n, err
}

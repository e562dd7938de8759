package tlsclient

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"rollcall/probe"
	"rollcall/probe/network"
)

const (
	// freeHandshake is how long a handshake may be within what every probe is expected to need: a chain of several
	// certificates.
	freeHandshake = 16 << 10
	// handshakeCost is the bytes that one byte of a handshake takes: it is buffered, copied and parsed. crypto/tls takes
	// certificates of 256 KiB, and a peer may send most of them and stop.
	handshakeCost = 4
)

// handshakeConn counts what a peer sends during a handshake, until its Limit is nil, and notices that a peer says nothing.
type handshakeConn struct {
	network.HeldConn

	silent   func() // called when nothing came for patience; nil: it was called, or there is no need
	patience time.Duration
}

func newHandshakeConn(ctx context.Context, conn net.Conn) *handshakeConn {
	return &handshakeConn{HeldConn: network.HeldConn{Conn: conn, Limit: probe.LimitOf(ctx), Free: freeHandshake, Cost: handshakeCost}}
}

func (c *handshakeConn) Read(p []byte) (int, error) {
	silent := c.silent
	if silent == nil {
		return c.HeldConn.Read(p)
	}
	c.silent = nil
	c.SetReadDeadline(time.Now().Add(c.patience))
	n, err := c.HeldConn.Read(p)
	c.SetReadDeadline(time.Time{}) // which is the probe's
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		silent()
		return c.HeldConn.Read(p)
	}
	return n, err
}

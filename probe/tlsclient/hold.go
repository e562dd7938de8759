package tlsclient

import (
	"net"

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

// handshakeConn counts what a peer sends during a handshake as memory that its probe holds.
type handshakeConn struct {
	net.Conn
	limit *probe.Limit // nil: the handshake is over, or there is no bound
	read  int
}

func (c *handshakeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.limit == nil {
		return n, err
	}
	if c.read += n; c.read > freeHandshake && err == nil {
		err = c.limit.Hold(handshakeCost * int64(n))
	}
	return n, err
}

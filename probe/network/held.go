package network

import (
	"net"
	"sync/atomic"

	"rollcall/probe"
)

// HeldConn counts what a peer sends as memory that its probe holds: Cost bytes for each byte beyond the first Free, which
// every probe is expected to need. Reading ends with the limit's *ExporterError when there is no more.
type HeldConn struct {
	net.Conn
	Limit *probe.Limit // nil: nothing is counted, e.g. because nothing of what comes is kept
	Free  int
	Cost  int64

	read atomic.Int64 // also by a writer that looks for the peer's last word
}

func (c *HeldConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.Limit == nil {
		return n, err
	}
	if c.read.Add(int64(n)) > int64(c.Free) && err == nil {
		err = c.Limit.Hold(c.Cost * int64(n))
	}
	return n, err
}

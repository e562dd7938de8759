package discovery

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	promconfig "github.com/prometheus/common/config"
)

// maxReply bounds what a server of http_sd_configs may answer, in bytes with its head: 100,000 targets with a few labels
// take 20 MB. The library reads a whole reply into memory.
const maxReply = 32 << 20

// clientOptions bound what the library's HTTP client reads. Over HTTP/2 a client writes while it reads, so there what
// belongs to one reply could not be counted.
func clientOptions() []promconfig.HTTPClientOption {
	return []promconfig.HTTPClientOption{promconfig.WithDialContextFunc(dialBounded), promconfig.WithHTTP2Disabled()}
}

func dialBounded(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: c}, nil
}

// boundedConn reads at most maxReply bytes after each write, i.e. for each request.
type boundedConn struct {
	net.Conn
	read atomic.Int64 // one goroutine of the client writes, another reads
}

func (c *boundedConn) Write(p []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(p)
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.read.Load() >= maxReply {
		return 0, fmt.Errorf("the reply is longer than %d MiB; accepted: several sources that are shorter", maxReply>>20)
	}
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

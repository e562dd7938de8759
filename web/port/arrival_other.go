//go:build !linux

package port

import (
	"net"
	"time"
)

// sinceArrival is how long a request waited for us; elsewhere than on Linux it cannot be known.
func sinceArrival(net.Conn) time.Duration { return 0 }

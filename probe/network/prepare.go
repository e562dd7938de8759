package network

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
)

// Prepare has the standard library read now what it otherwise reads when first needed, and then keeps: the system's
// authorities, hosts file and name servers. Without a descriptor in that moment it would go on without them, and
// targets would be down for a reason that is ours. A process that serves calls it once before it probes.
func Prepare() {
	_, _ = x509.SystemCertPool() // without authorities every certificate is refused, and says so
	offline := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server is asked")
	}}
	_, _ = offline.LookupNetIP(context.Background(), "ip", "rollcall.invalid") // only the files count
}

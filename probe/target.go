package probe

import "strings"

const (
	// MaxTarget is the longest target, in bytes, of a request or an entry of the configuration: URLs with long queries fit.
	MaxTarget = 8 << 10
	// MaxHostname is the longest hostname beside a target, in bytes.
	MaxHostname = 512
)

// The modules that a target gets without one.
const (
	defaultTCPModule  = "tcp_connect"
	defaultHTTPModule = "http_2xx"
)

// DefaultModule names the module for a target that came without one: tcp_connect for tcp://host:port, http_2xx
// for everything else, as with blackbox_exporter.
func DefaultModule(target string) string {
	const scheme = "tcp://"
	if len(target) >= len(scheme) && strings.EqualFold(target[:len(scheme)], scheme) {
		return defaultTCPModule
	}
	return defaultHTTPModule
}

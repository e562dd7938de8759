package probe

import "strings"

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

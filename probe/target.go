package probe

import "strings"

// The modules that a target gets when nobody names one.
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

// RedactTarget returns target as it may be shown, logged or mailed: userinfo, which can hold a password, becomes
// "***". It works on the text, so that a target that does not parse gives nothing away either.
func RedactTarget(target string) string {
	start := 0
	if i := strings.Index(target, "://"); i >= 0 {
		start = i + len("://")
	}
	authority := target[start:]
	if end := strings.IndexAny(authority, "/?#\\"); end >= 0 {
		authority = authority[:end]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return target
	}
	return target[:start] + "***" + target[start+at:]
}

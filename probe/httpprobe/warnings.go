package httpprobe

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"

	"rollcall/probe/httpprobe/checks"
	"rollcall/probe/option"
)

// Validate warns of options that blackbox_exporter accepts, too, and that cannot do what they seem to. Its errors are
// joined *option.Errors.
func (o *Options) Validate() error {
	var f option.Collector
	warn := func(path, format string, args ...any) {
		f.Add(path, &option.Warning{Err: fmt.Errorf(format, args...)})
	}
	for i, code := range o.ValidStatusCodes {
		if code < 100 || code > 999 {
			warn(option.Index("valid_status_codes", i), "%d is no status that a response can have; accepted: 100 to 999", code)
		}
	}
	if !o.EnableHTTP3 {
		for i, version := range o.ValidHTTPVersions {
			if version == "HTTP/3" {
				warn(option.Index("valid_http_versions", i), "HTTP/3 needs enable_http3")
			}
		}
	}
	if o.FailIfSSL && o.FailIfNotSSL {
		warn("fail_if_not_ssl", "contradicts fail_if_ssl: every probe fails")
	}
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(o.Headers)) {
		name := http.CanonicalHeaderKey(key)
		if first, twice := seen[name]; twice {
			warn("headers."+key, "is the same header as %s, which counts; accepted: http_headers for several values", first)
		} else {
			seen[name] = key
		}
	}
	for list, matches := range map[string][]checks.HeaderMatch{
		"fail_if_header_matches": o.FailIfHeaderMatchesRegexp, "fail_if_header_not_matches": o.FailIfHeaderNotMatchesRegexp,
	} {
		for i, m := range matches {
			if m.Header != "" && !httpguts.ValidHeaderFieldName(m.Header) {
				warn(option.Index(list, i)+".header", "%q is no name that a header can have", m.Header)
			}
		}
	}
	return f.Err()
}

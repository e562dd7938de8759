package httpprobe

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"rollcall/probe"
	"rollcall/probe/httpprobe/checks"
	"rollcall/probe/httpprobe/content"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tlsclient"
)

// Version is a protocol version as blackbox_exporter spells it: "HTTP/1.1", "HTTP/2.0". "HTTP/2" means the latter.
// Another word is accepted with a warning and never matches.
type Version string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Version) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "HTTP/2":
		*v = "HTTP/2.0"
	case "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3", "HTTP/3.0":
		*v = Version(s)
	default:
		*v = Version(s)
		return &option.Warning{Err: fmt.Errorf("%q is no version that a response can have; accepted: HTTP/1.0, HTTP/1.1, HTTP/2.0, HTTP/3.0", s)}
	}
	return nil
}

// Compression is the content coding that a body is expected in: "gzip", "br", "deflate", "identity". Empty: the body
// is taken as it comes.
type Compression string

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Compression) UnmarshalText(text []byte) error {
	switch s := strings.ToLower(string(text)); s {
	case "", "gzip", "br", "deflate", "identity":
		*c = Compression(s)
		return nil
	default:
		return &option.Unusable{Err: fmt.Errorf("%q is not built in; accepted: gzip, br, deflate, identity", text)}
	}
}

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

// Compile checks the options and reads the files that they name. Its error joins an *option.Error for each mistake.
func (o *Options) Compile() (probe.Prober, error) {
	var f option.Collector
	p := &prober{
		method:      cmp.Or(o.Method, http.MethodGet),
		policy:      network.Resolver{Prefer: o.IPProtocol, Fallback: o.IPProtocolFallback},
		follow:      o.HTTPClientConfig.FollowRedirects,
		http3:       o.EnableHTTP3,
		limit:       int64(o.BodySizeLimit),
		compression: o.Compression,
		http1Conns:  &sync.Pool{New: newHTTP1Conn},
		buffers:     &sync.Pool{New: newBuffer},
		decoders:    content.NewDecoders(),
	}
	if o.NoFollowRedirects != nil && *o.NoFollowRedirects {
		p.follow = false
	}
	switch {
	case p.method == http.MethodConnect:
		f.Unusablef("method", "CONNECT opens a tunnel and asks for nothing; accepted: GET, HEAD, POST and the like")
	case !httpguts.ValidHeaderFieldName(p.method): // both are tokens (RFC 9110, section 5.6.2)
		f.Unusablef("method", "%q is not a method; accepted: GET, HEAD, POST and the like", p.method)
	}

	source, err := p.policy.BindTo(o.SourceIPAddress)
	f.Join(err)
	p.body, err = compileBody(o.Body, o.BodyFile)
	f.Join(err)
	p.checks, err = o.compileChecks()
	f.Join(err)
	p.headers, err = o.compileHeaders()
	f.Join(err)
	p.auth, err = compileAuthorization(&o.HTTPClientConfig)
	f.Join(err)
	p.tls, err = tlsclient.Compile("tls_config", &o.HTTPClientConfig.TLSConfig)
	f.Join(err)
	p.proxy, err = compileProxy(&o.HTTPClientConfig.ProxyConfig)
	f.Join(err)
	p.comeFrom(source, p.policy)
	p.skipResolve = o.SkipResolvePhaseWithProxy && p.proxy != nil
	if tokens, ok := p.auth.(*tokenSource); ok {
		tokens.client.headers.userAgent = p.headers.userAgent
		tokens.client.comeFrom(source, p.policy)
	}
	if p.http3 && p.proxy != nil {
		f.Unusablef("enable_http3", "does not go with a proxy; accepted: one of enable_http3, proxy_url and proxy_from_environment")
	}
	if p.http3 && p.headers.upgrade {
		f.Unusablef("enable_http3", "does not go with an Upgrade header, which HTTP/3 does not have")
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	if o.HTTPClientConfig.EnableHTTP2 && !p.headers.upgrade { // HTTP/2 has no Upgrade header
		if p.http2, err = newHTTP2(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// comeFrom makes every connection come from source, if that is valid. It reaches the family of policy alone.
func (p *prober) comeFrom(source netip.Addr, policy network.Resolver) {
	if !source.IsValid() {
		return
	}
	p.source, p.policy = source, policy
	if p.proxy != nil {
		p.proxy.policy = policy
	}
}

func compileBody(inline, file string) (requestBody, error) {
	switch {
	case inline != "" && file != "":
		return requestBody{}, option.Errorf("body_file", "stands beside body; accepted: one of them")
	case file != "":
		f, err := option.OpenFile(file, false)
		if err != nil {
			return requestBody{}, option.Unusablef("body_file", "%w", err)
		}
		return requestBody{file: f}, nil
	default:
		return requestBody{inline: []byte(inline)}, nil
	}
}

func (o *Options) compileChecks() (checks.Checks, error) {
	var f option.Collector
	c := checks.Checks{
		Codes:     o.ValidStatusCodes,
		FailIfTLS: o.FailIfSSL, FailIfNotTLS: o.FailIfNotSSL,
		BodyMatches: o.FailIfBodyMatchesRegexp, BodyNotMatches: o.FailIfBodyNotMatchesRegexp,
		CELMatches: o.FailIfBodyJSONMatchesCEL, CELNotMatches: o.FailIfBodyJSONNotMatchesCEL,
	}
	for i, version := range o.ValidHTTPVersions {
		switch {
		case version == "HTTP/3.0" && !o.EnableHTTP3:
			f.Addf(option.Index("valid_http_versions", i), "HTTP/3.0 needs enable_http3")
		case version == "HTTP/3" && o.EnableHTTP3:
			version = "HTTP/3.0"
		}
		c.Versions = append(c.Versions, string(version))
	}
	checkRegexps(&f, "fail_if_body_matches_regexp", o.FailIfBodyMatchesRegexp)
	checkRegexps(&f, "fail_if_body_not_matches_regexp", o.FailIfBodyNotMatchesRegexp)
	c.HeaderMatches = compileHeaderMatches(&f, "fail_if_header_matches", o.FailIfHeaderMatchesRegexp)
	c.HeaderNotMatches = compileHeaderMatches(&f, "fail_if_header_not_matches", o.FailIfHeaderNotMatchesRegexp)
	return c, f.Err()
}

func checkRegexps(f *option.Collector, path string, list []option.Regexp) {
	for i, re := range list {
		if re.Regexp == nil {
			f.Add(option.Index(path, i), option.ErrRequired)
		}
	}
}

// compileHeaderMatches gives each header its canonical name.
func compileHeaderMatches(f *option.Collector, path string, matches []checks.HeaderMatch) []checks.HeaderMatch {
	compiled := make([]checks.HeaderMatch, 0, len(matches))
	for i, m := range matches {
		at := option.Index(path, i)
		if m.Header == "" {
			f.Add(at+".header", option.ErrRequired)
		}
		if m.Regexp.Regexp == nil || m.Regexp.String() == "" {
			f.Add(at+".regexp", option.ErrRequired)
		}
		m.Header = http.CanonicalHeaderKey(m.Header)
		compiled = append(compiled, m)
	}
	return compiled
}

package probe

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// HTTPVersion is a protocol version as blackbox_exporter spells it: "HTTP/1.1", "HTTP/2.0". "HTTP/2" means the latter.
// Another word is accepted with a warning and never matches.
type HTTPVersion string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *HTTPVersion) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "HTTP/2":
		*v = "HTTP/2.0"
		return nil
	default:
		*v = HTTPVersion(s)
		if !slices.Contains([]string{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3", "HTTP/3.0"}, s) {
			return &Warning{fmt.Errorf("%q is no version that a response can have; accepted: HTTP/1.0, HTTP/1.1, HTTP/2.0, HTTP/3.0", s)}
		}
		return nil
	}
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
		return &Unusable{fmt.Errorf("%q is not built in; accepted: gzip, br, deflate, identity", text)}
	}
}

// faults gathers what is wrong with a module's options, so that one load tells everything.
type faults struct{ errs []error }

func (f *faults) add(path, format string, args ...any) {
	f.errs = append(f.errs, optionErrorf(path, format, args...))
}

// unusable adds an Unusable.
func (f *faults) unusable(path, format string, args ...any) {
	f.errs = append(f.errs, unusablef(path, format, args...))
}

// join takes in the errors of another part; it may be nil.
func (f *faults) join(err error) {
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

// option reports err, unless nil, as the fault of one option.
func (f *faults) option(path string, err error) {
	if err != nil {
		f.errs = append(f.errs, &OptionError{Path: path, Err: err})
	}
}

func (f *faults) err() error { return errors.Join(f.errs...) }

// Compile makes the section ready to probe. Its errors are joined *OptionErrors.
func (o *HTTPOptions) Compile() (Prober, error) {
	var f faults
	p := &httpProber{
		method:      o.Method,
		policy:      ipPolicy{prefer: o.IPProtocol, fallback: o.IPProtocolFallback},
		follow:      o.HTTPClientConfig.FollowRedirects,
		http3:       o.EnableHTTP3,
		limit:       int64(o.BodySizeLimit),
		compression: o.Compression,
		wires:       &sync.Pool{New: newWire},
		buffers:     &sync.Pool{New: newBuffer},
		decoders:    newDecoders(),
	}
	if o.NoFollowRedirects != nil && *o.NoFollowRedirects {
		p.follow = false
	}
	switch {
	case p.method == "":
		p.method = http.MethodGet
	case p.method == http.MethodConnect:
		f.unusable("method", "CONNECT opens a tunnel and asks for nothing; accepted: GET, HEAD, POST and the like")
	case !isToken(p.method):
		f.unusable("method", "%q is not a method; accepted: GET, HEAD, POST and the like", p.method)
	}

	var err error
	p.body, err = compileBody(o.Body, o.BodyFile)
	f.join(err)
	p.checks, err = o.compileChecks()
	f.join(err)
	p.headers, err = o.compileHeaders()
	f.join(err)
	p.auth, err = compileAuthorization(&o.HTTPClientConfig)
	f.join(err)
	p.tls, err = compileTLS("tls_config", &o.HTTPClientConfig.TLSConfig)
	f.join(err)
	p.proxy, err = compileProxy(&o.HTTPClientConfig.ProxyConfig)
	f.join(err)
	p.skipResolve = o.SkipResolvePhaseWithProxy && p.proxy != nil && !o.HTTPClientConfig.ProxyFromEnvironment
	if p.http3 && p.proxy != nil {
		f.unusable("enable_http3", "does not go with a proxy; accepted: one of enable_http3, proxy_url and proxy_from_environment")
	}
	if p.http3 && p.headers.upgrade {
		f.unusable("enable_http3", "does not go with an Upgrade header, which HTTP/3 does not have")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if o.HTTPClientConfig.EnableHTTP2 && !p.headers.upgrade { // HTTP/2 has no Upgrade header
		if p.http2, err = newHTTP2(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func compileBody(inline, file string) (requestBody, error) {
	switch {
	case inline != "" && file != "":
		return requestBody{}, optionErrorf("body_file", "stands beside body; accepted: one of them")
	case file != "":
		f, err := watchFile(file, false)
		if err != nil {
			return requestBody{}, unusablef("body_file", "%w", err)
		}
		return requestBody{file: f}, nil
	default:
		return requestBody{inline: []byte(inline)}, nil
	}
}

func (o *HTTPOptions) compileChecks() (httpChecks, error) {
	var f faults
	c := httpChecks{
		codes:     o.ValidStatusCodes,
		failIfTLS: o.FailIfSSL, failIfNotTLS: o.FailIfNotSSL,
		bodyMatches: o.FailIfBodyMatchesRegexp, bodyNotMatches: o.FailIfBodyNotMatchesRegexp,
		celMatches: o.FailIfBodyJSONMatchesCEL, celNotMatches: o.FailIfBodyJSONNotMatchesCEL,
	}
	c.versions = slices.Clone(o.ValidHTTPVersions)
	for i, version := range c.versions {
		switch {
		case version == "HTTP/3.0" && !o.EnableHTTP3:
			f.add(indexed("valid_http_versions", i), "HTTP/3.0 needs enable_http3")
		case version == "HTTP/3" && o.EnableHTTP3:
			c.versions[i] = "HTTP/3.0"
		}
	}
	for i, re := range o.FailIfBodyMatchesRegexp {
		if re.Regexp == nil {
			f.option(fmt.Sprintf("fail_if_body_matches_regexp[%d]", i), errRequired)
		}
	}
	for i, re := range o.FailIfBodyNotMatchesRegexp {
		if re.Regexp == nil {
			f.option(fmt.Sprintf("fail_if_body_not_matches_regexp[%d]", i), errRequired)
		}
	}
	var err error
	c.headerMatches, err = compileHeaderMatches("fail_if_header_matches", o.FailIfHeaderMatchesRegexp)
	f.join(err)
	c.headerNotMatches, err = compileHeaderMatches("fail_if_header_not_matches", o.FailIfHeaderNotMatchesRegexp)
	f.join(err)
	return c, f.err()
}

// compileHeaderMatches gives each header its canonical name.
func compileHeaderMatches(path string, matches []HeaderMatch) ([]HeaderMatch, error) {
	var f faults
	compiled := make([]HeaderMatch, 0, len(matches))
	for i, m := range matches {
		at := fmt.Sprintf("%s[%d]", path, i)
		if m.Header == "" {
			f.option(at+".header", errRequired)
		}
		if m.Regexp.Regexp == nil || m.Regexp.String() == "" {
			f.option(at+".regexp", errRequired)
		}
		m.Header = http.CanonicalHeaderKey(m.Header)
		compiled = append(compiled, m)
	}
	return compiled, f.err()
}

func isToken(s string) bool {
	for _, r := range s {
		if !httpguts.IsTokenRune(r) {
			return false
		}
	}
	return s != ""
}

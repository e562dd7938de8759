package probe

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/common/config"
)

// DefaultBodySizeLimit bounds a body after decoding when the module says nothing.
const DefaultBodySizeLimit Size = 10 << 20

// HTTPOptions is the http section of a module: blackbox_exporter's options by their names.
type HTTPOptions struct {
	ValidStatusCodes             []int             `yaml:"valid_status_codes,omitempty"` // empty: 2xx
	ValidHTTPVersions            []HTTPVersion     `yaml:"valid_http_versions,omitempty"`
	IPProtocol                   IPProtocol        `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback           bool              `yaml:"ip_protocol_fallback"`
	SkipResolvePhaseWithProxy    bool              `yaml:"skip_resolve_phase_with_proxy,omitempty"`
	NoFollowRedirects            *bool             `yaml:"no_follow_redirects,omitempty"` // deprecated: follow_redirects
	FailIfSSL                    bool              `yaml:"fail_if_ssl,omitempty"`
	FailIfNotSSL                 bool              `yaml:"fail_if_not_ssl,omitempty"`
	Method                       string            `yaml:"method,omitempty"`
	Headers                      map[string]string `yaml:"headers,omitempty"`
	FailIfBodyMatchesRegexp      []Regexp          `yaml:"fail_if_body_matches_regexp,omitempty"`
	FailIfBodyNotMatchesRegexp   []Regexp          `yaml:"fail_if_body_not_matches_regexp,omitempty"`
	FailIfBodyJSONMatchesCEL     *CEL              `yaml:"fail_if_body_json_matches_cel,omitempty"`
	FailIfBodyJSONNotMatchesCEL  *CEL              `yaml:"fail_if_body_json_not_matches_cel,omitempty"`
	FailIfHeaderMatchesRegexp    []HeaderMatch     `yaml:"fail_if_header_matches,omitempty"`
	FailIfHeaderNotMatchesRegexp []HeaderMatch     `yaml:"fail_if_header_not_matches,omitempty"`
	Body                         string            `yaml:"body,omitempty"`
	BodyFile                     string            `yaml:"body_file,omitempty"`
	BodySizeLimit                Size              `yaml:"body_size_limit"` // 0: none
	Compression                  Compression       `yaml:"compression,omitempty"`
	EnableHTTP3                  bool              `yaml:"enable_http3,omitempty"`

	HTTPClientConfig config.HTTPClientConfig `yaml:",inline"`
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *HTTPOptions) SetDefaults() {
	o.IPProtocolFallback = true
	o.BodySizeLimit = DefaultBodySizeLimit
	o.HTTPClientConfig = config.DefaultHTTPClientConfig
}

// HeaderMatch is a regexp for the values of one response header.
type HeaderMatch struct {
	Header       string `yaml:"header"`
	Regexp       Regexp `yaml:"regexp"`
	AllowMissing bool   `yaml:"allow_missing,omitempty"`
}

// httpProber is an http section ready to probe. Nothing in it changes afterwards but what follows files (secrets,
// certificates) and the cached OAuth 2.0 token.
type httpProber struct {
	method  string
	body    requestBody
	headers headerSet
	auth    authorizer // nil: none configured
	checks  httpChecks
	policy  ipPolicy
	tls     *tlsClient
	proxy   *proxyClient // nil: none

	follow      bool
	skipResolve bool          // the proxy resolves
	http2       *http2Options // nil: HTTP/1 alone
	http3       bool
	limit       int64 // of the body after decoding; 0: none
	compression Compression

	wires    *sync.Pool // of *wire
	buffers  *sync.Pool // of *[]byte, for bodies
	decoders *decoders
}

// bodyBuffer is what a body is read into; only one that is kept makes it grow.
const bodyBuffer = 8 << 10

func newBuffer() any {
	b := make([]byte, 0, bodyBuffer)
	return &b
}

// keepBuffer returns a buffer to its pool unless a long body made it grow.
func (p *httpProber) keepBuffer(b *[]byte) {
	if cap(*b) <= 8*bodyBuffer {
		p.buffers.Put(b)
	}
}

// Probe implements Prober.
func (p *httpProber) Probe(ctx context.Context, req Request) (Result, error) {
	start := time.Now()
	target, err := parseHTTPTarget(req.Target)
	if err != nil {
		return Result{}, err
	}
	if err := p.headers.checkHostname(req.Hostname); err != nil {
		return Result{}, err
	}
	w := new(walk)
	w.p, w.req, w.began, w.result.HTTP = p, req, start, &HTTPFacts{HasCEL: p.checks.usesCEL()}
	defer w.hangUp(false) // for a panic; otherwise it was done
	if err = w.run(ctx, target); err != nil {
		err = hush(err, w.secrets())
	}
	if len(w.told) > 0 {
		w.result.HTTP.FinalURL = Hush(w.result.HTTP.FinalURL, w.told...)
	}
	w.result.Duration = time.Since(start)
	w.hangUp(err == nil)
	return w.result.settle(err)
}

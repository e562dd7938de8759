// Package httpprobe checks targets by HTTP/1.1, HTTP/2 and HTTP/3: options, requests, redirects, proxies, credentials and
// the checks of an answer. Connections are opened by package network, and metrics are collector's.
package httpprobe

import (
	"context"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/httpprobe/checks"
	"rollcall/probe/httpprobe/content"
	"rollcall/probe/httpprobe/jsoncel"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tlsclient"
	"rollcall/redact"
)

// DefaultBodySizeLimit bounds a body after decoding when the module says nothing.
const DefaultBodySizeLimit option.Size = 10 << 20

// Options is the http section of a module: blackbox_exporter's options by their names.
type Options struct {
	ValidStatusCodes             []int                `yaml:"valid_status_codes,omitempty"` // empty: 2xx
	ValidHTTPVersions            []Version            `yaml:"valid_http_versions,omitempty"`
	IPProtocol                   option.IPProtocol    `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback           bool                 `yaml:"ip_protocol_fallback"`
	SourceIPAddress              string               `yaml:"source_ip_address,omitempty"`
	SkipResolvePhaseWithProxy    bool                 `yaml:"skip_resolve_phase_with_proxy,omitempty"`
	NoFollowRedirects            *bool                `yaml:"no_follow_redirects,omitempty"` // deprecated: follow_redirects
	FailIfSSL                    bool                 `yaml:"fail_if_ssl,omitempty"`
	FailIfNotSSL                 bool                 `yaml:"fail_if_not_ssl,omitempty"`
	Method                       string               `yaml:"method,omitempty"`
	Headers                      map[string]string    `yaml:"headers,omitempty"`
	FailIfBodyMatchesRegexp      []option.Regexp      `yaml:"fail_if_body_matches_regexp,omitempty"`
	FailIfBodyNotMatchesRegexp   []option.Regexp      `yaml:"fail_if_body_not_matches_regexp,omitempty"`
	FailIfBodyJSONMatchesCEL     *jsoncel.Expression  `yaml:"fail_if_body_json_matches_cel,omitempty"`
	FailIfBodyJSONNotMatchesCEL  *jsoncel.Expression  `yaml:"fail_if_body_json_not_matches_cel,omitempty"`
	FailIfHeaderMatchesRegexp    []checks.HeaderMatch `yaml:"fail_if_header_matches,omitempty"`
	FailIfHeaderNotMatchesRegexp []checks.HeaderMatch `yaml:"fail_if_header_not_matches,omitempty"`
	Body                         string               `yaml:"body,omitempty"`
	BodyFile                     string               `yaml:"body_file,omitempty"`
	BodySizeLimit                option.Size          `yaml:"body_size_limit"` // 0: none
	Compression                  Compression          `yaml:"compression,omitempty"`
	EnableHTTP3                  bool                 `yaml:"enable_http3,omitempty"`

	HTTPClientConfig config.HTTPClientConfig `yaml:",inline"`
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *Options) SetDefaults() {
	o.IPProtocolFallback = true
	o.BodySizeLimit = DefaultBodySizeLimit
	o.HTTPClientConfig = config.DefaultHTTPClientConfig
}

// prober is an http section ready to probe. Nothing in it changes afterwards but what follows files (secrets,
// certificates) and the cached OAuth 2.0 token.
type prober struct {
	method  string
	body    requestBody
	headers headerSet
	auth    authorizer // nil: none configured
	checks  checks.Checks
	policy  network.Resolver
	source  netip.Addr // of every connection; invalid: the system chooses
	tls     *tlsclient.Client
	proxy   *proxyClient // nil: none

	follow      bool
	skipResolve bool          // the proxy resolves
	tunnels     bool          // a proxy is asked for a tunnel also for http
	http2       *http2Options // nil: HTTP/1 alone
	http3       bool
	limit       int64 // of the body after decoding; 0: none
	compression Compression

	http1Conns *sync.Pool // of *http1Conn
	buffers    *sync.Pool // of *[]byte, for bodies
	decoders   *content.Decoders
}

// bodyBuffer is what a body is read into; only one that is kept makes it grow.
const bodyBuffer = 8 << 10

func newBuffer() any {
	b := make([]byte, 0, bodyBuffer)
	return &b
}

// keepBuffer returns a buffer to its pool unless a long body made it grow.
func (p *prober) keepBuffer(b *[]byte) {
	if cap(*b) <= 8*bodyBuffer {
		p.buffers.Put(b)
	}
}

// Probe implements Prober.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	start := time.Now()
	target, err := p.parse(req.Target)
	if err != nil {
		return probe.Result{}, err
	}
	if req.Hostname, err = p.headers.hostname(req.Hostname); err != nil {
		return probe.Result{}, err
	}
	r := &run{p: p, req: req, start: start}
	r.result.HTTP = &probe.HTTPFacts{HasCEL: p.checks.UsesCEL()}
	defer r.close(false) // for a panic; otherwise it was done
	if err = r.follow(ctx, target); err != nil {
		err = probe.Redact(err, r.redactions()...)
	}
	if len(r.secrets) > 0 {
		r.result.HTTP.FinalURL = redact.Text(r.result.HTTP.FinalURL, r.secrets...)
	}
	r.result.Duration = time.Since(start)
	r.close(err == nil)
	return r.result.Settle(err)
}

// parse is weburl.Parse for the module: HTTP/3 is always encrypted, so it asks an http target by https, as blackbox_exporter.
func (p *prober) parse(target string) (*url.URL, error) {
	u, err := weburl.Parse(target)
	if err == nil && p.http3 {
		u.Scheme = "https"
	}
	return u, err
}

// Locate implements probe.Locator.
func (p *prober) Locate(target string) (probe.Destination, error) {
	u, err := p.parse(target)
	if err != nil {
		return probe.Destination{}, err
	}
	via, err := p.proxy.choose(u)
	return probe.Destination{
		Host: u.Hostname(), Port: weburl.Port(u), Unresolved: via != nil && p.skipResolve,
		Via: func(at netip.AddrPort) (*url.URL, error) { return p.proxy.chooseFor(via, u.Scheme, at) },
	}, err
}

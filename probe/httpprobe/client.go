package httpprobe

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/option"
)

// Client opens connections for protocols that begin as an HTTP/1.1 request and go on as something else: by the addresses,
// proxies, TLS and credentials of an http_config. Many probes may use one at once.
type Client struct{ p *prober }

// ClientOptions are what a Client is made of.
type ClientOptions struct {
	HTTPConfig         config.HTTPClientConfig
	Headers            map[string]string // one value each
	MoreHeaders        *config.Headers   // those with several values, secrets or files; nil: none
	Secret             []string          // the headers, by canonical name, whose values no text may show
	IPProtocol         option.IPProtocol
	IPProtocolFallback bool
}

// Compile makes a Client. The errors are joined *option.Errors; those of HTTPConfig are below http_config.
func (o ClientOptions) Compile() (*Client, error) {
	all := Options{IPProtocol: o.IPProtocol, IPProtocolFallback: o.IPProtocolFallback, HTTPClientConfig: o.HTTPConfig}
	all.HTTPClientConfig.EnableHTTP2 = false
	if _, err := all.Compile(); err != nil {
		return nil, option.Under("http_config", err)
	}
	all.Headers = o.Headers
	if o.MoreHeaders != nil {
		all.HTTPClientConfig.HTTPHeaders = o.MoreHeaders
	}
	made, err := all.Compile()
	if err != nil {
		return nil, err
	}
	p := made.(*prober)
	p.headers.secret = append(p.headers.secret, o.Secret...)
	p.tunnels = true
	return &Client{p}, nil
}

// ParseTarget reads the URL of a target, which has the scheme http, https or none. Its errors are *TargetErrors.
func (c *Client) ParseTarget(target string) (*url.URL, error) { return weburl.Parse(target) }

// Locate says where Open connects to.
func (c *Client) Locate(target string) (probe.Destination, error) { return c.p.Locate(target) }

// Opened is a connection over which a request to URL may go, with the request's header. Close it also after an error.
type Opened struct {
	Conn   net.Conn
	URL    *url.URL
	Host   string
	Header http.Header // User-Agent is empty when none is to be sent
	Result probe.Result
	run    *run
}

// Open connects to target. Result has what was found on the way, also when there is an error, which is network.Classify's.
func (c *Client) Open(ctx context.Context, req probe.Request, target *url.URL) (*Opened, error) {
	o := &Opened{URL: target, run: &run{p: c.p, req: req, target: target}}
	o.run.result.HTTP = new(probe.HTTPFacts)
	hostname, err := c.p.headers.hostname(req.Hostname)
	if err != nil {
		return o, err
	}
	o.run.req.Hostname = hostname
	h := hop{url: target, method: http.MethodGet, sameHost: true}
	err = o.run.connect(ctx, &h)
	var r *request
	if err == nil {
		r, err = o.run.request(&h)
	}
	o.Result = o.run.result
	if err != nil {
		return o, o.Redact(err)
	}
	o.Conn, o.Host, o.Header = o.run.link.conn(), r.host, http.Header{"User-Agent": {r.userAgent}}
	for _, f := range r.fields {
		o.Header.Add(f.name, f.value)
	}
	return o, nil
}

// Redact takes the secrets that were sent out of err's text.
func (o *Opened) Redact(err error) error { return probe.Redact(err, o.Secrets()...) }

// Secrets are what no text may show.
func (o *Opened) Secrets() []string { return slices.Clone(o.run.redactions()) }

// Close ends the connection.
func (o *Opened) Close() { o.run.close(false) }

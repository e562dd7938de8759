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
	HTTPConfig         config.HTTPClientConfig // but for its http_headers, which MoreHeaders are in place of
	Headers            map[string]string       // one value each
	MoreHeaders        map[string]config.Header
	Secret             []string // the headers, by canonical name, whose values no text may show
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
	all.HTTPClientConfig.HTTPHeaders = &config.Headers{Headers: o.MoreHeaders}
	made, err := all.Compile()
	if err != nil {
		return nil, err
	}
	p := made.(*prober)
	p.headers.secret = append(p.headers.secret, o.Secret...)
	p.tunnels = true
	return &Client{p}, nil
}

// Locate says where Open connects to.
func (c *Client) Locate(target string) (probe.Destination, error) { return c.p.Locate(target) }

// Opened is a connection over which a request to URL may go, with the request's header. Close it also after an error.
type Opened struct {
	Conn   net.Conn
	URL    *url.URL // without a fragment
	Host   string
	Header http.Header   // User-Agent is empty when none is to be sent
	Result *probe.Result // what was found on the way, also when there is an error; its HTTP is not nil
	run    *run
}

// Open connects to the target, a URL with the scheme http, https or none. Its errors are network.Classify's.
func (c *Client) Open(ctx context.Context, req probe.Request) (*Opened, error) {
	r := &run{p: c.p, req: req, result: probe.Result{HTTP: new(probe.HTTPFacts)}}
	o := &Opened{Result: &r.result, run: r}
	var err error
	if r.target, err = weburl.Parse(req.Target); err != nil {
		return o, err
	}
	r.target.Fragment = ""
	if r.req.Hostname, err = c.p.headers.hostname(req.Hostname); err != nil {
		return o, err
	}
	h := hop{url: r.target, method: http.MethodGet, sameHost: true}
	if err := r.connect(ctx, &h); err != nil {
		return o, o.Redact(err)
	}
	asked, err := r.request(&h)
	if err != nil {
		return o, o.Redact(err)
	}
	o.Conn, o.URL, o.Host, o.Header = r.link.conn(), r.target, asked.host, http.Header{"User-Agent": {asked.userAgent}}
	for _, f := range asked.fields {
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

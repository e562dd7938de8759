// Package websocketprobe checks WebSocket servers: the opening handshake (RFC 6455), and then messages that are expected and
// sent. Connections and credentials are httpprobe's, the protocol is github.com/coder/websocket's.
package websocketprobe

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/httpprobe"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tcpprobe"
)

// Options is the websocket section of a module: blackbox_exporter's options by their names.
type Options struct {
	HTTPConfig         config.HTTPClientConfig  `yaml:"http_config,omitempty"`
	Headers            map[string]Header        `yaml:"headers,omitempty"`
	QueryResponse      []tcpprobe.QueryResponse `yaml:"query_response,omitempty"`
	IPProtocol         option.IPProtocol        `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool                     `yaml:"ip_protocol_fallback"`
}

// Header is the values of a header: a text, or lists.
type Header config.Header

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Header) UnmarshalText(text []byte) error {
	h.Values = []string{string(text)}
	return nil
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *Options) SetDefaults() {
	o.IPProtocolFallback = true
	o.HTTPConfig = config.DefaultHTTPClientConfig
}

// Validate warns of labels, which have no metric here.
func (o *Options) Validate() error {
	var f option.Collector
	for i, turn := range o.QueryResponse {
		if turn.Labels != nil {
			f.Add(option.Index("query_response", i)+".labels", &option.Warning{Err: errors.New("has no effect: probe_expect_info is for tcp and unix")})
		}
	}
	return f.Err()
}

// prober is a compiled websocket section.
type prober struct {
	client *httpprobe.Client
	turns  []tcpprobe.QueryResponse
}

// Compile makes the prober. It reads the files that options name; its errors are joined *option.Errors.
func (o *Options) Compile() (probe.Prober, error) {
	var f option.Collector
	for i, turn := range o.QueryResponse {
		at := option.Index("query_response", i)
		switch {
		case turn.StartTLS:
			f.Unusablef(at+".starttls", "is not for WebSockets; accepted: a target that begins with wss://")
		case turn.ExpectBytes != "":
			f.Unusablef(at+".expect_bytes", "is not for WebSockets; accepted: expect")
		}
	}
	client := httpprobe.ClientOptions{
		HTTPConfig: o.HTTPConfig, Headers: map[string]string{}, MoreHeaders: map[string]config.Header{},
		IPProtocol: o.IPProtocol, IPProtocolFallback: o.IPProtocolFallback,
	}
	if own := o.HTTPConfig.HTTPHeaders; own != nil {
		maps.Copy(client.MoreHeaders, own.Headers)
	}
	for _, key := range slices.Sorted(maps.Keys(o.Headers)) {
		h, name := o.Headers[key], http.CanonicalHeaderKey(key)
		if name == "Connection" || name == "Upgrade" || strings.HasPrefix(name, "Sec-Websocket-") {
			f.Unusablef("headers."+key, "may not be set: the handshake has its own")
		}
		if len(h.Secrets)+len(h.Files) > 0 {
			client.Secret = append(client.Secret, name)
		}
		switch {
		case len(h.Values) == 1 && len(h.Secrets)+len(h.Files) == 0:
			client.Headers[key] = h.Values[0]
		case len(h.Secrets) == 1 && len(h.Values)+len(h.Files) == 0:
			client.Headers[key] = string(h.Secrets[0])
		default:
			client.MoreHeaders[key] = config.Header(h)
		}
	}
	made, err := client.Compile()
	f.Join(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return &prober{client: made, turns: o.QueryResponse}, nil
}

// httpSchemes are those that a target may have, and what they are in HTTP.
var httpSchemes = map[string]string{"ws": "http", "wss": "https", "http": "http", "https": "https"}

// httpTarget makes an http URL of a target, which keeps its host, port and path.
func httpTarget(target string) (string, error) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target, nil
	}
	as, known := httpSchemes[strings.ToLower(scheme)]
	if !known {
		return "", probe.BadTarget(network.SchemeHint(scheme, "websocket") + "; a websocket module takes ws://, wss:// or no scheme")
	}
	return as + "://" + rest, nil
}

// Locate implements probe.Locator.
func (p *prober) Locate(target string) (probe.Destination, error) {
	target, err := httpTarget(target)
	if err != nil {
		return probe.Destination{}, err
	}
	return p.client.Locate(target)
}

// Probe connects, makes the opening handshake and holds the conversation.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	start := time.Now()
	var err error
	if req.Target, err = httpTarget(req.Target); err != nil {
		return probe.Result{}, err
	}
	opened, err := p.client.Open(ctx, req)
	defer func() { opened.Close() }() // also after an error
	r := opened.Result
	r.WebSocket = &probe.WebSocketFacts{Tried: r.HTTP.Hops > 0}
	r.HTTP = nil
	if err != nil {
		return r.Settle(err)
	}
	s := session{p: p, opened: opened, r: r, trace: req.Trace, start: start}
	return r.Settle(opened.Redact(s.run(ctx)))
}

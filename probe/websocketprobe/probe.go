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
type Header struct {
	Values  []string        `yaml:"values,omitempty"`
	Secrets []config.Secret `yaml:"secrets,omitempty"`
	Files   []string        `yaml:"files,omitempty"`
}

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
		HTTPConfig: o.HTTPConfig, Headers: map[string]string{}, MoreHeaders: &config.Headers{Headers: map[string]config.Header{}},
		IPProtocol: o.IPProtocol, IPProtocolFallback: o.IPProtocolFallback,
	}
	if own := o.HTTPConfig.HTTPHeaders; own != nil {
		maps.Copy(client.MoreHeaders.Headers, own.Headers)
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
			client.MoreHeaders.Headers[key] = config.Header{Values: h.Values, Secrets: h.Secrets, Files: h.Files}
		}
	}
	made, err := client.Compile()
	f.Join(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return &prober{client: made, turns: o.QueryResponse}, nil
}

// httpTarget makes an http URL of a target, which keeps its host, port and path.
func httpTarget(target string) (string, error) {
	scheme, rest, ok := strings.Cut(target, "://")
	switch {
	case !ok:
		return target, nil
	case strings.EqualFold(scheme, "ws"):
		return "http://" + rest, nil
	case strings.EqualFold(scheme, "wss"):
		return "https://" + rest, nil
	case strings.EqualFold(scheme, "http"), strings.EqualFold(scheme, "https"):
		return target, nil
	}
	return "", probe.BadTarget(network.SchemeHint(scheme, "websocket") + "; a websocket module takes ws://, wss:// or no scheme")
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
	target, err := httpTarget(req.Target)
	if err != nil {
		return probe.Result{}, err
	}
	u, err := p.client.ParseTarget(target)
	if err != nil {
		return probe.Result{}, err
	}
	u.Fragment = "" // it is not sent (RFC 6455, 3)
	opened, err := p.client.Open(ctx, req, u)
	defer func() { opened.Close() }() // also after an error
	r := opened.Result
	hops := 0
	if r.HTTP != nil {
		hops = r.HTTP.Hops
	}
	r.HTTP, r.WebSocket = nil, &probe.WebSocketFacts{Tried: hops > 0}
	if err != nil {
		return r.Settle(err)
	}
	s := session{p: p, opened: opened, r: &r, trace: req.Trace, start: start}
	return r.Settle(opened.Redact(s.run(ctx)))
}

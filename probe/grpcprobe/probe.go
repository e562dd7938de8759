// Package grpcprobe checks gRPC servers by the health checking protocol, grpc.health.v1. It opens the connection and makes
// the TLS handshake like every prober; HTTP/2 and the call are google.golang.org/grpc's.
package grpcprobe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/config"
	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/metadata"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tlsclient"
	"rollcall/redact"
)

// Options is the grpc section of a module: blackbox_exporter's options by their names.
type Options struct {
	Service            string                     `yaml:"service,omitempty"` // empty: the server as a whole
	TLS                bool                       `yaml:"tls,omitempty"`
	TLSConfig          config.TLSConfig           `yaml:"tls_config,omitempty"`
	IPProtocol         option.IPProtocol          `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool                       `yaml:"ip_protocol_fallback"`
	Metadata           map[string][]config.Secret `yaml:"metadata,omitempty"` // all of it may be secret
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *Options) SetDefaults() { o.IPProtocolFallback = true }

// prober is a compiled grpc section.
type prober struct {
	service  string
	secured  bool
	tls      *tlsclient.Client
	ip       network.Resolver
	metadata metadata.MD
	secrets  []string // what texts must not show
	targets  network.Syntax
}

// silence keeps the library from writing to stderr for each odd frame that a peer sends. The library wants this to be
// done before it is used.
var silence = sync.OnceFunc(func() { grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) })

// Compile makes the prober. It reads the files that tls_config names; its errors are joined *option.Errors.
func (o *Options) Compile() (probe.Prober, error) {
	silence()
	var f option.Collector
	p := &prober{
		service: o.Service, secured: o.TLS,
		ip:       network.Resolver{Prefer: o.IPProtocol, Fallback: o.IPProtocolFallback},
		metadata: metadata.MD{},
		targets:  network.Syntax{Prober: "grpc", Takes: "a grpc module takes host:port", Scheme: true, DefaultPort: 80},
	}
	if o.TLS {
		p.targets.DefaultPort = 443
	}
	for _, key := range slices.Sorted(maps.Keys(o.Metadata)) {
		name := strings.ToLower(key)
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || name == "" || strings.HasPrefix(name, "grpc-") {
			f.Unusablef("metadata."+key, "is no key for metadata; accepted: letters, digits, - _ and ., not beginning with grpc-")
			continue
		}
		for i, secret := range o.Metadata[key] {
			value := string(secret)
			if !strings.HasSuffix(name, "-bin") && (!isASCII(value) || !httpguts.ValidHeaderFieldValue(value)) {
				f.Unusablef(option.Index("metadata."+key, i), "holds a character that is not printable ASCII; accepted: a key that ends with -bin, for bytes")
			}
			p.metadata.Append(name, value)
			p.secrets = append(p.secrets, redact.CredentialForms(value)...)
		}
	}
	var err error
	p.tls, err = tlsclient.Compile("tls_config", &o.TLSConfig)
	f.Join(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

func isASCII(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) }

// parseTarget reads host or host:port, which may stand in an http or https URL, as with blackbox_exporter: neither
// scheme nor path means anything. Its error is a *TargetError.
func (p *prober) parseTarget(target string) (host string, port uint16, err error) {
	scheme, rest, ok := strings.Cut(target, "://")
	if ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) {
		target, _, _ = strings.Cut(rest, "/")
	}
	return p.targets.Split(target)
}

// Probe connects, makes the connection secure if the module says so, and asks for the service's health.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	r := probe.Result{GRPC: new(probe.GRPCFacts)}
	host, port, err := p.parseTarget(req.Target)
	if err == nil && !httpguts.ValidHostHeader(req.Hostname) {
		err = &probe.TargetError{Err: errors.New("the hostname is not a valid host")}
	}
	if err != nil {
		return probe.Result{}, err
	}
	resolved, err := p.ip.Resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.Settle(err)
	}
	r.GRPC.Tried, r.GRPC.StatusCode = true, uint32(codes.Unavailable)
	c := call{
		p: p, req: req, host: host, addr: netip.AddrPortFrom(resolved.Addr, port), r: &r,
		authority: authority(host, port, req.Hostname), serverName: p.tls.ServerName(tlsclient.NameFor(req.Hostname, host)),
	}
	if p.secured {
		c.authority = authority(c.serverName, 0, req.Hostname)
	}
	err = c.run(ctx)
	if errors.Is(err, errUnprocessed) {
		// Safe to repeat, and a server that is being restarted gracefully does answer (RFC 9113, 8.7).
		req.Trace.Step("the server has not processed the call: calling once more on a new connection")
		err = c.run(ctx)
	}
	if probe.HasReason(err, probe.ReasonTimeout) {
		r.GRPC.StatusCode = uint32(codes.DeadlineExceeded)
	}
	return r.Settle(err)
}

// Locate implements probe.Locator.
func (p *prober) Locate(target string) (probe.Destination, error) {
	host, port, err := p.parseTarget(target)
	return probe.Destination{Host: host, Port: port}, err
}

// authority is the host that a call is for; port 0 means without.
func authority(host string, port uint16, hostname string) string {
	switch {
	case hostname != "":
		return hostname
	case port != 0:
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	default:
		return host
	}
}

// open makes the connection of a call.
func (c *call) open(ctx context.Context) (net.Conn, error) {
	c.req.Trace.Step("connecting to %s", c.addr)
	dial := func(ctx context.Context) (net.Conn, error) {
		return network.Dial(ctx, c.req.Guard, "tcp", c.host, c.addr, netip.Addr{})
	}
	start := time.Now()
	conn, err := dial(ctx)
	c.r.Phases.Connect += time.Since(start)
	if f := network.ClosedAfterAccept(err); f != nil {
		stage := probe.StageResponse
		if c.p.secured {
			stage = probe.StageTLS
		}
		return nil, probe.Fail(stage, f.Reason, f.Err)
	}
	if err != nil || !c.p.secured {
		return conn, err
	}
	hello := tlsclient.Hello{ServerName: c.serverName, Protocols: []string{"h2"}, Secret: len(c.p.metadata) > 0, Trace: c.req.Trace}
	secured, err := c.p.tls.Secure(ctx, conn, hello, dial)
	c.r.TLS = secured.Facts
	c.r.Phases.Connect += secured.Connect
	c.r.Phases.TLS += secured.TLS
	if err != nil {
		return nil, err
	}
	if secured.Conn.ConnectionState().NegotiatedProtocol != "h2" {
		// Without it a server may speak HTTP/1 (RFC 9113, 3.2); the library insists as well.
		secured.Raw.Close()
		return nil, probe.Failf(probe.StageTLS, probe.ReasonTLSHandshake, "the server did not choose h2 by ALPN, which gRPC needs")
	}
	c.r.GRPC.TLS = true
	c.req.Trace.Step("TLS with %s: %s", c.serverName, tls.VersionName(secured.Facts.Version))
	return secured.Conn, nil
}

// shown is what the peer says, for a text: cut, quoted, and without the secrets that were sent.
func (p *prober) shown(text string) string {
	return redact.Text(probe.Quoted(text), p.secrets...)
}

// statusName is a status code as it stands in the specification, with its number.
func statusName(code codes.Code) string { return fmt.Sprintf("%s (%d)", code, uint32(code)) }

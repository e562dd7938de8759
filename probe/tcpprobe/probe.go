// Package tcpprobe checks targets by TCP: it connects, makes a TLS handshake if asked to, and holds the conversation of
// query_response, which other stream protocols use as well.
package tcpprobe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tlsclient"
)

// Options is the tcp section of a module: blackbox_exporter's options by their names.
type Options struct {
	IPProtocol         option.IPProtocol `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool              `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string            `yaml:"source_ip_address,omitempty"`
	QueryResponse      []QueryResponse   `yaml:"query_response,omitempty"`
	TLS                bool              `yaml:"tls,omitempty"`
	TLSConfig          config.TLSConfig  `yaml:"tls_config,omitempty"`
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *Options) SetDefaults() { o.IPProtocolFallback = true }

// QueryResponse is one turn of a conversation: what is expected, what is then sent, whether TLS starts after it.
type QueryResponse struct {
	Expect      option.Regexp `yaml:"expect,omitempty"`
	ExpectBytes string        `yaml:"expect_bytes,omitempty"`
	Labels      []ExpectLabel `yaml:"labels,omitempty"`
	Send        string        `yaml:"send,omitempty"`
	StartTLS    bool          `yaml:"starttls,omitempty"`
}

// Validate warns of labels that no match fills.
func (q *QueryResponse) Validate() error {
	if q.Labels != nil && q.Expect.Regexp == nil {
		return &option.Error{Path: "labels", Err: &option.Warning{Err: errors.New("has no effect without an expect in the same entry, whose match it reports")}}
	}
	return nil
}

// ExpectLabel is a label of probe_expect_info; its value may hold captures of expect as ${1}.
type ExpectLabel struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// targets is how targets of tcp modules are written.
var targets = network.Syntax{Prober: "tcp", Takes: "a tcp module takes host:port or tcp://host:port", Scheme: true}

// prober is a compiled tcp section.
type prober struct {
	ip           network.Resolver
	source       netip.Addr        // invalid: the system chooses
	tls          *tlsclient.Client // used when secured, or by a turn that starts TLS
	secured      bool
	conversation conversation
}

// Compile makes the section ready to probe. Its errors are joined *option.Errors.
func (o *Options) Compile() (probe.Prober, error) {
	p := &prober{ip: network.Resolver{Prefer: o.IPProtocol, Fallback: o.IPProtocolFallback}, secured: o.TLS}
	var (
		errs []error
		err  error
	)
	if p.source, err = p.ip.BindTo(o.SourceIPAddress); err != nil {
		errs = append(errs, err)
	}
	used := o.TLSConfig
	if !o.TLS && !slices.ContainsFunc(o.QueryResponse, func(q QueryResponse) bool { return q.StartTLS }) {
		used = config.TLSConfig{} // whose files may be missing
	}
	if p.tls, err = tlsclient.Compile("tls_config", &used); err != nil {
		errs = append(errs, err)
	}
	if p.conversation, err = compileConversation("query_response", o.QueryResponse, o.TLS); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// Probe connects, makes the connection secure if the module says so, and holds the conversation.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	var r probe.Result
	host, port, err := targets.Split(req.Target)
	if err != nil {
		return r, err
	}
	resolved, err := p.ip.Resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.Settle(err)
	}
	addr := netip.AddrPortFrom(resolved.Addr, port)
	if req.Trace != nil {
		req.Trace.Step("connecting to %s", addr)
	}
	a := attempt{p: p, req: req, addr: addr, host: host, r: &r}
	if p.secured && !p.conversation.sends() {
		a.groups = tlsclient.QuickGroups()
	}
	err = a.run(ctx)
	if a.groups != nil && tlsclient.RefusesGroups(err, r.TLS) {
		a.groups = nil
		err = a.run(ctx)
	}
	return r.Settle(err)
}

// attempt is one connection of a probe.
type attempt struct {
	p      *prober
	req    probe.Request
	host   string
	addr   netip.AddrPort
	groups []tls.CurveID // of the TLS that the connection begins with; nil: all
	r      *probe.Result
}

// run connects and does all that the module asks for on the connection.
func (a *attempt) run(ctx context.Context) error {
	start := time.Now()
	conn, err := network.Dial(ctx, a.req.Guard, "tcp", a.host, a.addr, a.p.source)
	a.r.Phases.Connect += time.Since(start)
	if err != nil {
		return a.p.withoutConnection(err, a.r)
	}
	defer conn.Close()
	a.r.TCP = new(probe.TCPFacts)
	return a.talk(ctx, conn)
}

// withoutConnection says what it means that dialling failed.
func (p *prober) withoutConnection(err error, r *probe.Result) error {
	f := network.ClosedAfterAccept(err)
	if f == nil {
		return err
	}
	r.TCP = new(probe.TCPFacts)
	switch {
	case p.secured:
		return probe.Fail(probe.StageTLS, f.Reason, f.Err)
	case len(p.conversation) > 0:
		return probe.Fail(probe.StageConversation, f.Reason, f.Err)
	default:
		return nil
	}
}

// talk is all that happens on the connection.
func (a *attempt) talk(ctx context.Context, conn net.Conn) error {
	p, r, trace := a.p, a.r, a.req.Trace
	serverName, groups := p.tls.ServerName(tlsclient.NameFor(a.req.Hostname, a.host)), a.groups
	var secured *tls.Conn
	defer func() {
		if secured != nil {
			secured.Close() // says goodbye first
		}
	}()
	secure := func(conn net.Conn) (net.Conn, error) {
		if trace != nil {
			trace.Step("starting TLS with %q", serverName)
		}
		start := time.Now()
		c, facts, err := p.tls.Handshake(ctx, conn, serverName, nil, groups)
		r.TLS = facts
		if err == nil && !p.conversation.reads() {
			err = p.confirm(ctx, c, r.Phases.Connect, facts)
		}
		r.Phases.TLS += time.Since(start)
		if err != nil {
			return nil, err
		}
		secured = c
		return c, nil
	}
	if p.secured {
		c, err := secure(conn)
		if err != nil {
			return err
		}
		conn = c
	}
	if len(p.conversation) == 0 {
		return nil
	}
	before, start := r.Phases.TLS, time.Now()
	err := p.conversation.run(ctx, conn, r.TCP, trace, secure)
	r.Phases.Transfer = time.Since(start) - (r.Phases.TLS - before)
	return err
}

// confirm waits a moment for a server that wanted a client certificate to say that it refuses us. In TLS 1.3 the
// handshake is over for the client before the server has looked (RFC 8446, 4.4.2.4); where nothing else is read, a
// server that lets no client in would count as up. It answers within a round trip of network and some computing.
func (p *prober) confirm(ctx context.Context, c *tls.Conn, roundTrip time.Duration, facts *probe.TLSFacts) error {
	if facts.Version < tls.VersionTLS13 || !facts.ClientCertificateRequested {
		return nil
	}
	c.SetReadDeadline(time.Now().Add(2*roundTrip + 100*time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		// That the time is up meanwhile is our waiting's doing: the handshake was over.
		if _, refused := network.RemoteAlert(err); refused || errors.Is(ctx.Err(), context.Canceled) {
			return network.Classify(ctx, probe.StageTLS, err)
		}
	}
	return nil
}

func (p *prober) Locate(target string) (probe.Destination, error) {
	host, port, err := targets.Split(target)
	return probe.Destination{Host: host, Port: port}, err
}

package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"
)

// TCPOptions is the tcp section of a module: blackbox_exporter's options by their names.
type TCPOptions struct {
	IPProtocol         IPProtocol       `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool             `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string           `yaml:"source_ip_address,omitempty"`
	QueryResponse      []QueryResponse  `yaml:"query_response,omitempty"`
	TLS                bool             `yaml:"tls,omitempty"`
	TLSConfig          config.TLSConfig `yaml:"tls_config,omitempty"`
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *TCPOptions) SetDefaults() { o.IPProtocolFallback = true }

// QueryResponse is one turn of a conversation: what is expected, what is then sent, whether TLS starts after it.
type QueryResponse struct {
	Expect      Regexp        `yaml:"expect,omitempty"`
	ExpectBytes string        `yaml:"expect_bytes,omitempty"`
	Labels      []ExpectLabel `yaml:"labels,omitempty"`
	Send        string        `yaml:"send,omitempty"`
	StartTLS    bool          `yaml:"starttls,omitempty"`
}

// Validate warns of labels that no match fills.
func (q *QueryResponse) Validate() error {
	if q.Labels != nil && q.Expect.Regexp == nil {
		return &OptionError{"labels", &Warning{errors.New("has no effect without an expect in the same entry, whose match it reports")}}
	}
	return nil
}

// ExpectLabel is a label of probe_expect_info; its value may hold captures of expect as ${1}.
type ExpectLabel struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// tcpProber is a compiled tcp section.
type tcpProber struct {
	ip           ipPolicy
	source       netip.Addr // invalid: the system chooses
	tls          *tlsClient // used when secured, or by a turn that starts TLS
	secured      bool
	conversation conversation
}

// Compile makes the section ready to probe. Its errors are joined *OptionErrors.
func (o *TCPOptions) Compile() (Prober, error) {
	p := &tcpProber{ip: ipPolicy{prefer: o.IPProtocol, fallback: o.IPProtocolFallback}, secured: o.TLS}
	var (
		errs []error
		err  error
	)
	if p.source, err = p.ip.from(o.SourceIPAddress); err != nil {
		errs = append(errs, err)
	}
	used := o.TLSConfig
	if !o.TLS && !slices.ContainsFunc(o.QueryResponse, func(q QueryResponse) bool { return q.StartTLS }) {
		used = config.TLSConfig{} // whose files may be missing
	}
	if p.tls, err = compileTLS("tls_config", &used); err != nil {
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
func (p *tcpProber) Probe(ctx context.Context, req Request) (Result, error) {
	var r Result
	host, port, err := parseTCPTarget(req.Target)
	if err != nil {
		return r, err
	}
	resolved, err := p.ip.resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.settle(err)
	}
	addr := netip.AddrPortFrom(resolved.Addr, port)
	if req.Trace != nil {
		req.Trace.Step("connecting to %s", addr)
	}
	a := attempt{p: p, req: req, addr: addr, host: host, r: &r}
	if p.secured && !p.conversation.sends() {
		a.groups = quickGroups()
	}
	err = a.run(ctx)
	if a.groups != nil && refusesGroups(err, r.TLS) {
		a.groups = nil
		err = a.run(ctx)
	}
	return r.settle(err)
}

// attempt is one connection of a probe.
type attempt struct {
	p      *tcpProber
	req    Request
	host   string
	addr   netip.AddrPort
	groups []tls.CurveID // of the TLS that the connection begins with; nil: all
	r      *Result
}

// run connects and does all that the module asks for on the connection.
func (a *attempt) run(ctx context.Context) error {
	start := time.Now()
	conn, err := dial(ctx, a.req.guard, a.host, a.addr, a.p.source)
	a.r.Phases.Connect += time.Since(start)
	if err != nil {
		return a.p.withoutConnection(err, a.r)
	}
	defer conn.Close()
	a.r.TCP = new(TCPFacts)
	return a.talk(ctx, conn)
}

// acceptedAndEnded is the failure of dialling a peer that had accepted and then ended the connection before the system
// reported it, which a reset (or a close) tells; nil: err is another. One that does not accept answers the first packet
// by RST, which is connection_refused (RFC 9293, 3.10.7.3). So connecting succeeded, and it is what would have
// come next that failed.
func acceptedAndEnded(err error) *Failure {
	f, ok := errors.AsType[*Failure](err)
	if !ok || f.Reason != ReasonConnectionReset && f.Reason != ReasonConnectionClosed {
		return nil
	}
	return f
}

// withoutConnection says what it means that dialling failed.
func (p *tcpProber) withoutConnection(err error, r *Result) error {
	f := acceptedAndEnded(err)
	if f == nil {
		return err
	}
	r.TCP = new(TCPFacts)
	switch {
	case p.secured:
		return fail(StageTLS, f.Reason, f.Err)
	case len(p.conversation) > 0:
		return fail(StageConversation, f.Reason, f.Err)
	default:
		return nil
	}
}

// talk is all that happens on the connection.
func (a *attempt) talk(ctx context.Context, conn net.Conn) error {
	p, r, trace := a.p, a.r, a.req.Trace
	serverName, groups := p.tls.serverName(tlsHost(a.req.Hostname, a.host)), a.groups
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
		c, facts, err := p.tls.handshake(ctx, conn, serverName, nil, groups)
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
// server that lets nobody in would count as up. It answers within a round trip of network and some computing.
func (p *tcpProber) confirm(ctx context.Context, c *tls.Conn, roundTrip time.Duration, facts *TLSFacts) error {
	if facts.Version < tls.VersionTLS13 || !facts.ClientCertificateRequested {
		return nil
	}
	c.SetReadDeadline(time.Now().Add(2*roundTrip + 100*time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		// That the time is up meanwhile is our waiting's doing: the handshake was over.
		if _, refused := remoteAlert(err); refused || errors.Is(ctx.Err(), context.Canceled) {
			return classify(ctx, StageTLS, err)
		}
	}
	return nil
}

// tlsHost is the host whose certificate is expected: hostname (which may carry a port) if the asker gave one.
func tlsHost(hostname, host string) string {
	if hostname == "" {
		return host
	}
	if name, _, err := net.SplitHostPort(hostname); err == nil {
		return name
	}
	return strings.Trim(hostname, "[]")
}

package tcpprobe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/tlsclient"
)

// SessionOptions are the options that every protocol over a stream has.
type SessionOptions struct {
	QueryResponse []QueryResponse  `yaml:"query_response,omitempty"`
	TLS           bool             `yaml:"tls,omitempty"`
	TLSConfig     config.TLSConfig `yaml:"tls_config,omitempty"`
}

// Session is what happens on a stream once it is open: a TLS handshake if the stream begins with one, then the
// conversation of query_response. Many probes may use one at once.
type Session struct {
	tls          *tlsclient.Client // used when secured, or by a turn that starts TLS
	secured      bool
	conversation conversation
}

// Compile makes the session. It reads the files that tls_config names; its errors are joined *option.Errors.
func (o *SessionOptions) Compile() (*Session, error) {
	s := &Session{secured: o.TLS}
	var tlsErr, turnsErr error
	used := o.TLSConfig
	if !o.TLS && !slices.ContainsFunc(o.QueryResponse, func(q QueryResponse) bool { return q.StartTLS }) {
		used = config.TLSConfig{} // whose files may be missing
	}
	s.tls, tlsErr = tlsclient.Compile("tls_config", &used)
	s.conversation, turnsErr = compileConversation("query_response", o.QueryResponse, o.TLS)
	return s, errors.Join(tlsErr, turnsErr)
}

// Run opens a stream to host by dial and holds the session on it. When the peer wants a key exchange that was not
// offered, it opens one more stream. host is the name of the certificate unless server_name or the request's hostname
// says otherwise; empty: there is none. The phases and what was found are in r also when there is an error, which is
// Classify's; those of dial pass through.
func (s *Session) Run(ctx context.Context, req probe.Request, host string, dial func() (net.Conn, error), r *probe.Result) error {
	a := attempt{s: s, serverName: s.tls.ServerName(tlsclient.NameFor(req.Hostname, host)), trace: req.Trace, dial: dial, r: r}
	if s.secured && !s.conversation.sends() {
		a.groups = tlsclient.QuickGroups()
	}
	err := a.run(ctx)
	if a.groups != nil && tlsclient.RefusesGroups(err, r.TLS) {
		a.groups = nil
		err = a.run(ctx)
	}
	return err
}

// attempt is one stream of a probe.
type attempt struct {
	s          *Session
	serverName string
	trace      *probe.Trace
	dial       func() (net.Conn, error)
	groups     []tls.CurveID // of the TLS that the stream begins with; nil: all
	r          *probe.Result
}

// run opens the stream and does all that the module asks for on it.
func (a *attempt) run(ctx context.Context) error {
	start := time.Now()
	conn, err := a.dial()
	a.r.Phases.Connect += time.Since(start)
	if err != nil {
		return a.s.withoutConnection(err, a.r)
	}
	defer conn.Close()
	a.r.TCP = new(probe.TCPFacts)
	return a.talk(ctx, conn)
}

// withoutConnection says what it means that dialling failed.
func (s *Session) withoutConnection(err error, r *probe.Result) error {
	f := network.ClosedAfterAccept(err)
	if f == nil {
		return err
	}
	r.TCP = new(probe.TCPFacts)
	switch {
	case s.secured:
		return probe.Fail(probe.StageTLS, f.Reason, f.Err)
	case len(s.conversation) > 0:
		return probe.Fail(probe.StageConversation, f.Reason, f.Err)
	default:
		return nil
	}
}

// talk is all that happens on the connection.
func (a *attempt) talk(ctx context.Context, conn net.Conn) error {
	s, r := a.s, a.r
	var secured *tls.Conn
	defer func() {
		if secured != nil {
			secured.Close() // sends close_notify first
		}
	}()
	secure := func(conn net.Conn) (net.Conn, error) {
		if a.trace != nil {
			a.trace.Step("starting TLS with %q", a.serverName)
		}
		start := time.Now()
		c, facts, err := s.tls.Handshake(ctx, conn, a.serverName, nil, a.groups)
		r.TLS = facts
		if err == nil && !s.conversation.reads() {
			err = confirm(ctx, c, r.Phases.Connect, facts)
		}
		r.Phases.TLS += time.Since(start)
		if err != nil {
			return nil, err
		}
		secured = c
		return c, nil
	}
	if s.secured {
		c, err := secure(conn)
		if err != nil {
			return err
		}
		conn = c
	}
	if len(s.conversation) == 0 {
		return nil
	}
	before, start := r.Phases.TLS, time.Now()
	err := s.conversation.run(ctx, conn, r.TCP, a.trace, secure)
	r.Phases.Transfer = time.Since(start) - (r.Phases.TLS - before)
	return err
}

// confirm waits a moment for a server that wanted a client certificate to say that it refuses us. In TLS 1.3 the
// handshake is over for the client before the server has looked (RFC 8446, 4.4.2.4); where nothing else is read, a
// server that lets no client in would count as up. It answers within a round trip of network and some computing.
func confirm(ctx context.Context, c *tls.Conn, roundTrip time.Duration, facts *probe.TLSFacts) error {
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

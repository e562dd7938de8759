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

// Run opens a stream to host by dial, once more if the handshake of TLS needs it, and holds the session on it. host is the
// name of the certificate unless server_name or the request's hostname says otherwise; empty: there is none. The phases and
// what was found are in r also when there is an error, which is Classify's; those of dial pass through.
func (s *Session) Run(ctx context.Context, req probe.Request, host string, dial tlsclient.Dialer, r *probe.Result) error {
	start := time.Now()
	conn, err := dial(ctx)
	r.Phases.Connect = time.Since(start)
	if err != nil {
		return s.withoutConnection(err, r)
	}
	r.TCP = new(probe.TCPFacts)
	open := run{session: s, serverName: s.tls.ServerName(tlsclient.NameFor(req.Hostname, host)), trace: req.Trace, dial: dial, result: r, conn: conn}
	defer func() { open.conn.Close() }() // over TLS it sends close_notify first
	return open.talk(ctx)
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

// run is a session on a stream.
type run struct {
	session    *Session
	serverName string
	trace      *probe.Trace
	dial       tlsclient.Dialer
	result     *probe.Result
	conn       net.Conn
}

// talk does all that the module asks for.
func (r *run) talk(ctx context.Context) error {
	if r.session.secured {
		if _, err := r.secure(ctx, 0); err != nil {
			return err
		}
	}
	if len(r.session.conversation) == 0 {
		return nil
	}
	p := &r.result.Phases
	before, start := p.Connect+p.TLS, time.Now()
	err := r.session.conversation.run(ctx, r.conn, r.result.TCP, r.trace, func(after int) (net.Conn, error) { return r.secure(ctx, after) })
	p.Transfer = time.Since(start) - (p.Connect + p.TLS - before)
	return err
}

// secure starts TLS after so many turns of the conversation.
func (r *run) secure(ctx context.Context, after int) (net.Conn, error) {
	if r.trace != nil {
		r.trace.Step("starting TLS with %q", r.serverName)
	}
	hello := tlsclient.Hello{ServerName: r.serverName, Secret: r.session.conversation[after:].sends(), Trace: r.trace}
	secured, err := r.session.tls.Secure(ctx, r.conn, hello, func(ctx context.Context) (net.Conn, error) {
		conn, err := r.dial(ctx)
		if err == nil && after > 0 {
			// A session of its own up to here, whose facts are the same.
			err = r.session.conversation[:after].run(ctx, conn, new(probe.TCPFacts), r.trace, func(int) (net.Conn, error) { return conn, nil })
			if err != nil {
				conn.Close()
			}
		}
		return conn, err
	})
	r.result.TLS = secured.Facts
	r.result.Phases.Connect += secured.Connect
	r.result.Phases.TLS += secured.TLS
	if err != nil {
		return nil, err
	}
	r.conn = secured.Conn
	if !r.session.conversation[after:].reads() {
		start := time.Now()
		err = confirm(ctx, secured.Conn, r.result.Phases.Connect, secured.Facts)
		r.result.Phases.TLS += time.Since(start)
	}
	return r.conn, err
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

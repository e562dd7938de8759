package tlsclient

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"rollcall/probe"
	"rollcall/probe/network"
)

// Hello is what a handshake begins with.
type Hello struct {
	ServerName string       // what the certificate must be for, see Client.ServerName
	Protocols  []string     // for ALPN; nil: none
	Secret     bool         // the connection will carry what must stay secret for decades
	Trace      *probe.Trace // nil: none
}

// Secured is a connection after its handshake.
type Secured struct {
	Conn  *tls.Conn       // nil when the handshake failed
	Raw   net.Conn        // what Conn goes over; closed, or nil, when the handshake failed
	Facts *probe.TLSFacts // nil when the peer showed no certificate

	Connect time.Duration // what opening other connections took
	TLS     time.Duration // all the rest
}

// Dialer opens another connection to the same peer, at the point where TLS starts. It ends with its context. The error is
// network.Classify's.
type Dialer func(context.Context) (net.Conn, error)

// Secure makes conn, which ends with ctx, a TLS connection. conn is Secure's from then on: it is closed unless it is the
// one that is returned.
//
// A peer gets a second chance on another connection where it may only have refused the key exchanges of the first. Some
// want a post-quantum one, which a connection without secrets does not offer. Others cannot take the ClientHello of one,
// because its key share does not fit into one segment: they refuse it, hang up, or read no further and say nothing. So
// what is offered decides on no verdict. The errors are network.Classify's, at StageTLS.
func (t *Client) Secure(ctx context.Context, conn net.Conn, hello Hello, redial Dialer) (Secured, error) {
	a := &attempts{t, hello, redial}
	start := time.Now()
	s, err := a.run(ctx, conn)
	if err != nil && s.Facts == nil {
		err = t.explain(err)
	}
	s.TLS = time.Since(start) - s.Connect
	return s, err
}

// attempts are the handshakes of one Secure.
type attempts struct {
	t      *Client
	hello  Hello
	redial Dialer
}

func (a *attempts) run(ctx context.Context, conn net.Conn) (Secured, error) {
	groups, others := Groups(a.hello.Secret)
	other := &alternative{a: a}
	holding := newHandshakeConn(ctx, conn)
	if deadline, ok := ctx.Deadline(); ok && a.hello.Secret {
		holding.patience = time.Until(deadline) / patienceShare
		holding.silent = func() { other.start(ctx, conn, others) }
	}
	s, err := a.t.handshake(ctx, holding, a.hello, groups)
	switch {
	case other.started():
		return other.settle(s, err)
	case err == nil:
		return s, nil
	}
	conn.Close()
	if !Refused(err, s.Facts, groups) {
		return s, err
	}
	a.hello.Trace.Step("trying once more with other key exchanges: %v", err)
	second, secondErr := a.again(ctx, others)
	if second.Raw == nil && probe.Is[*probe.Failure](secondErr) {
		secondErr = err // no other connection; the peer let us in before, and said this
	}
	return second, secondErr
}

// again makes a handshake on another connection, without another chance.
func (a *attempts) again(ctx context.Context, groups []tls.CurveID) (Secured, error) {
	start := time.Now()
	conn, err := a.redial(ctx)
	connect := time.Since(start)
	if err != nil {
		return Secured{Connect: connect}, err
	}
	s, err := a.t.handshake(ctx, newHandshakeConn(ctx, conn), a.hello, groups)
	s.Connect = connect
	if err != nil {
		conn.Close()
	}
	return s, err
}

// patienceShare is the part of a probe's time that a peer may stay silent before a smaller ClientHello is tried beside.
const patienceShare = 3

// alternative is a second connection beside one on which the peer says nothing. A peer that is only slow still answers the first.
type alternative struct {
	a      *attempts
	cancel context.CancelFunc // nil: it was not started
	done   chan struct{}      // closed when what follows is known

	s   Secured
	err error
}

func (r *alternative) started() bool { return r.cancel != nil }

// start is called once. What it finds out ends the wait on first.
func (r *alternative) start(ctx context.Context, first net.Conn, groups []tls.CurveID) {
	ctx, r.cancel = context.WithCancel(ctx)
	r.done = make(chan struct{})
	r.a.hello.Trace.Step("no answer to the ClientHello: trying a smaller one, without a post-quantum key share, on another connection")
	go func() {
		defer close(r.done)
		if r.s, r.err = r.a.again(ctx, groups); r.s.Facts != nil {
			first.SetReadDeadline(time.Unix(1, 0))
		}
	}()
}

// settle chooses between the two connections, and closes the other.
func (r *alternative) settle(first Secured, err error) (Secured, error) {
	if err == nil || first.Facts != nil {
		r.cancel()
		<-r.done
		if r.s.Conn != nil {
			r.s.Raw.Close()
		}
		if err != nil {
			first.Raw.Close()
		} else {
			first.Raw.SetReadDeadline(time.Time{}) // the other may just have ended the wait
		}
		return first, err
	}
	first.Raw.Close()
	<-r.done
	if r.s.Facts == nil {
		return Secured{}, err
	}
	return r.s, r.err // ctx ends with the probe, and the connection with it
}

// handshake is one attempt. It closes nothing.
func (t *Client) handshake(ctx context.Context, conn *handshakeConn, hello Hello, groups []tls.CurveID) (Secured, error) {
	facts := new(probe.TLSFacts)
	c, err := t.Config(hello.ServerName, hello.Protocols, facts)
	if err != nil {
		return Secured{}, err
	}
	c.CurvePreferences = groups
	s := Secured{Conn: tls.Client(conn, c), Raw: conn.Conn, Facts: facts}
	// Not HandshakeContext: it starts a goroutine to watch a context that conn watches already.
	err = HandshakeError(ctx, s.Conn.Handshake(), facts)
	conn.Limit = nil
	if facts.Version == 0 {
		s.Facts = nil
	}
	if err != nil {
		s.Conn = nil
	}
	return s, err
}

// Groups are the key exchanges to offer to a peer, and those for its second chance; nil: all that crypto/tls has. A
// connection that carries no secret does without the post-quantum ones: they take a quarter of a handshake's computing,
// and protect against those who record today to decrypt in decades.
func Groups(secret bool) (first, second []tls.CurveID) {
	quick := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	if secret {
		return nil, quick
	}
	return quick, nil
}

// Refused reports whether a handshake with these groups may have failed because of them. A peer chooses a key exchange
// before it shows its certificates, so it did not when there are facts.
func Refused(err error, facts *probe.TLSFacts, groups []tls.CurveID) bool {
	f, ok := err.(*probe.Failure)
	if !ok || f.Stage != probe.StageTLS || facts != nil {
		return false
	}
	if groups == nil { // a large ClientHello
		return probe.HasReason(f, probe.ReasonTLSHandshake, probe.ReasonTLSVersion, probe.ReasonConnectionReset, probe.ReasonConnectionClosed)
	}
	alert, ok := network.RemoteAlert(f)
	return ok && (alert == alertHandshakeFailure || alert == alertInsufficientSecurity)
}

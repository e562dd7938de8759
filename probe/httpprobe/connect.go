package httpprobe

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"time"

	"rollcall/probe"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/network"
	"rollcall/probe/tlsclient"
)

// connect resolves h's host and brings up what its request goes over.
func (r *run) connect(ctx context.Context, h *hop) error {
	dest, err := r.route(ctx, h)
	if err != nil {
		return err
	}
	r.result.HTTP.Hops++
	// Before connecting: a target that waits for its request while a token is fetched may close the connection.
	if r.credentials, err = r.authorize(ctx, h); err != nil {
		return err
	}
	if r.p.http3 {
		return r.connectHTTP3(ctx, h, dest)
	}
	return r.open(ctx, h, dest)
}

// route finds where h's connection goes, the address and port of its host, and sets the proxy on the way. There is no
// address when the proxy resolves a name.
func (r *run) route(ctx context.Context, h *hop) (dest netip.AddrPort, err error) {
	host := h.url.Hostname()
	if r.via, err = r.p.proxy.choose(h.url); err != nil {
		return dest, err
	}
	addr, _ := netip.ParseAddr(host)
	if r.via == nil || !r.p.skipResolve {
		if addr, err = r.resolve(ctx, host); err != nil {
			return dest, err
		}
	}
	dest = netip.AddrPortFrom(addr.Unmap(), weburl.Port(h.url))
	r.via, err = r.p.proxy.chooseFor(r.via, h.url.Scheme, dest)
	return dest, err
}

// resolve turns a hop's host into its address.
func (r *run) resolve(ctx context.Context, host string) (netip.Addr, error) {
	if host == r.lastHost && r.lastAddr.IsValid() {
		return r.lastAddr, nil
	}
	found, err := r.p.policy.Resolve(ctx, host)
	r.result.Phases.Resolve += found.Duration
	if r.result.HTTP.Hops == 0 {
		r.result.Resolve = &found
	}
	if err != nil {
		return netip.Addr{}, err
	}
	if r.req.Trace != nil {
		r.req.Trace.Step("resolved %s to %s", host, found.Addr)
	}
	r.lastHost, r.lastAddr = host, found.Addr
	return found.Addr, nil
}

// open connects to dest, and begins TLS when h's URL demands it.
func (r *run) open(ctx context.Context, h *hop, dest netip.AddrPort) error {
	start := time.Now()
	var err error
	if r.via != nil {
		err = r.allowHostname(ctx, h)
	}
	if err == nil {
		r.link, err = r.dial(ctx, h.url, dest)
	}
	r.result.Phases.Connect += time.Since(start)
	if err != nil || h.url.Scheme != "https" {
		return err
	}
	u := h.url // what the function below holds is allocated
	return r.startTLS(ctx, h, func(ctx context.Context) (net.Conn, error) {
		other, err := r.dial(ctx, u, dest)
		return other.raw, err
	})
}

// dial makes a connection to dest, which is u's, or to the proxy on the way there.
func (r *run) dial(ctx context.Context, u *url.URL, dest netip.AddrPort) (link, error) {
	if r.via != nil {
		return r.dialProxy(ctx, u, dest)
	}
	raw, err := network.Dial(ctx, r.req.Guard, "tcp", u.Hostname(), dest, r.p.source)
	return link{raw: raw}, err
}

// startTLS makes the hop's connection one of TLS.
func (r *run) startTLS(ctx context.Context, h *hop, redial tlsclient.Dialer) error {
	var protocols []string
	if r.p.http2 != nil {
		protocols = []string{"h2", "http/1.1"}
		if r.http1Only {
			protocols = protocols[1:]
		}
	}
	hello := tlsclient.Hello{ServerName: r.serverName(h), Protocols: protocols, Secret: r.sendsSecrets(h), Trace: r.req.Trace}
	secured, err := r.p.tls.Secure(ctx, r.link.raw, hello, redial)
	r.result.Phases.Connect += secured.Connect
	r.result.Phases.TLS += secured.TLS
	r.presented(secured.Facts)
	if err != nil {
		return err
	}
	if r.req.Trace != nil {
		r.req.Trace.Step("TLS with %s: %s", hello.ServerName, tls.VersionName(secured.Facts.Version))
	}
	r.link = link{raw: secured.Raw, tls: secured.Conn, http2: secured.Conn.ConnectionState().NegotiatedProtocol == "h2"}
	return nil
}

// presented notes what the hop's server presented; nil: nothing.
func (r *run) presented(facts *probe.TLSFacts) {
	r.result.TLS = facts
	if facts != nil {
		r.result.HTTP.Expiring.Narrow(facts.EarliestStart, facts.EarliestExpiry)
	}
}

// sendsSecrets reports whether h's request says what only its host should read: more than what answer is wanted.
func (r *run) sendsSecrets(h *hop) bool {
	if len(h.body) > 0 || h.url.User != nil || r.jar != nil {
		return true
	}
	headers := &r.p.headers
	return h.sameHost && (r.p.auth != nil || r.target.User != nil || headers.cookie != "" || len(headers.files) > 0 ||
		len(headers.fixed) > len(headers.public))
}

// serverName is what the certificate of h's host must be for.
func (r *run) serverName(h *hop) string {
	host := h.url.Hostname()
	if !h.sameHost {
		return host
	}
	return r.p.tls.ServerName(tlsclient.NameFor(r.hostOverride(), host))
}

// allowHostname has the guard judge the request's hostname as well as the target: a proxy that is asked in plain may connect
// to the host of the Host header, though RFC 9112, section 3.2.2, forbids it. Where the proxy resolves, or only it can, the
// guard judges the name.
func (r *run) allowHostname(ctx context.Context, h *hop) error {
	if r.req.Guard == nil || r.req.Hostname == "" || !h.sameHost || h.url.Scheme != "http" {
		return nil
	}
	asked := &url.URL{Scheme: h.url.Scheme, Host: r.req.Hostname}
	host := asked.Hostname()
	addr, err := netip.ParseAddr(host)
	if err != nil && !r.p.skipResolve {
		found, err := r.p.policy.Resolve(ctx, host)
		if err != nil && !probe.Is[*probe.Failure](err) {
			return err
		}
		addr = found.Addr
	}
	return probe.Allow(r.req.Guard, host, netip.AddrPortFrom(addr, weburl.Port(asked)))
}

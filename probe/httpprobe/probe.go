package httpprobe

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tlsclient"
	"rollcall/redact"
)

// hop is one request of a probe: the first asks the target, each further one follows a redirect.
type hop struct {
	url    *url.URL
	method string
	body   []byte
	// bodyDropped: a redirect has taken the body away, and the headers that describe it.
	bodyDropped bool
	referer     string
	// own: the hop still asks the target's own host, and no hop before it left. Only then do credentials, the
	// module's headers, its server_name and the hostname go along.
	own bool
}

// link is the connection of one hop.
type link struct {
	raw       net.Conn  // TCP
	tls       *tls.Conn // nil: plain HTTP
	http2     bool      // agreed on with the target
	authority string    // not empty: the proxy at the other end wants whole URLs, and this is what it connects to
}

// conn is what HTTP goes over.
func (l *link) conn() net.Conn {
	if l.tls != nil {
		return l.tls
	}
	return l.raw
}

// walk is one probe on its way over hops. The fields from link on belong to the hop under way.
type walk struct {
	p      *prober
	req    probe.Request
	result probe.Result

	began    time.Time
	home     *url.URL // the target
	jar      *cookiejar.Jar
	lastHost string // resolved to lastAddr: a name is resolved once, however many hops it takes
	lastAddr netip.Addr

	link    link
	wire    *wire
	session session // of HTTP/2 and HTTP/3
	fields  [12]field

	via         *url.URL // the proxy of the hop, nil: none
	credentials string   // the Authorization of the hop, empty: none, or it is among the module's headers

	sent []field  // the header of the last request
	told []string // the secrets of those before
}

// session is a connection that carries HTTP/2 or HTTP/3. close ends it and waits for its goroutines.
type session interface {
	exchange(ctx context.Context, req *request) (*response, error)
	close()
}

// run follows the target's redirects to the answer and judges it. The last connection stays open.
func (w *walk) run(ctx context.Context, target *url.URL) error {
	body, err := w.p.body.get()
	if err != nil {
		return err
	}
	w.home = target
	h := hop{url: target, method: w.p.method, body: body, own: true}
	for {
		resp, err := w.ask(ctx, &h)
		if err == nil && resp.status == http.StatusUnauthorized && h.own {
			resp, err = w.askAgain(ctx, &h, resp)
		}
		if err != nil {
			w.result.HTTP.FinalURL = shownURL(h.url)
			return w.afterRedirect(err)
		}
		next, follow, err := w.redirect(&h, resp)
		if !follow {
			err = w.conclude(ctx, resp, err)
			w.result.HTTP.FinalURL = shownURL(h.url)
			return err
		}
		secrets := w.redactions() // before the next request takes their place
		if w.req.Trace != nil {
			w.req.Trace.Step("the answer, %d, redirects to %s", resp.status, redact.Text(shownURL(next.url), secrets...))
		}
		w.hangUp(true)
		w.result.TLS = nil // what the hop before presented is not about the answer
		h = next
	}
}

// afterRedirect makes a refusal by the guard the target's failure when it is a redirect that leads there.
func (w *walk) afterRedirect(err error) error {
	var denied *probe.DeniedError
	if w.result.HTTP.Redirects > 0 && errors.As(err, &denied) {
		return probe.Failf(probe.StageRedirect, probe.ReasonDenied, "following a redirect: %w", denied.Err)
	}
	return err
}

// ask makes h's connection, sends its request and reads the answer's header.
func (w *walk) ask(ctx context.Context, h *hop) (*response, error) {
	if err := w.connect(ctx, h); err != nil {
		return nil, err
	}
	req, err := w.request(h)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	resp, err := w.exchange(ctx, req)
	if err != nil {
		w.result.Phases.Processing += time.Since(asked)
		return nil, err
	}
	w.result.Phases.Processing += resp.first.Sub(asked)
	if w.req.Trace != nil {
		secrets := w.redactions()
		w.req.Trace.Step("%s %s: %d over %s", h.method, redact.Text(shownURL(h.url), secrets...), resp.status, resp.proto)
		traceHeader(w.req.Trace, resp.header, secrets)
	}
	return resp, nil
}

// askAgain is ask for a target that answered 401, if that may be the token's fault; otherwise resp is the answer.
func (w *walk) askAgain(ctx context.Context, h *hop, resp *response) (*response, error) {
	renewed, err := w.renewCredentials(ctx)
	if err != nil || !renewed {
		return resp, err
	}
	w.redactions() // of the first request: the second takes their place
	w.hangUp(true)
	w.result.TLS = nil
	return w.ask(ctx, h)
}

func (w *walk) exchange(ctx context.Context, req *request) (*response, error) {
	if w.session == nil && w.link.http2 {
		session, err := w.p.startHTTP2(ctx, &w.link)
		if err != nil {
			return nil, err
		}
		w.session = session
	}
	if w.session != nil {
		return w.session.exchange(ctx, req)
	}
	w.wire = w.p.wires.Get().(*wire)
	return w.wire.exchange(ctx, w.link.conn(), req)
}

// hangUp ends the hop's connection; what was read from it is void then. Politely means that a TLS connection says so.
func (w *walk) hangUp(politely bool) {
	if w.session != nil {
		w.session.close()
	} else if politely && w.link.tls != nil {
		w.link.tls.Close()
	}
	if w.link.raw != nil {
		w.link.raw.Close()
	}
	if w.wire != nil {
		w.wire.awaitSent()
		w.p.release(w.wire)
	}
	w.session, w.link, w.wire = nil, link{}, nil
}

// connect resolves h's host and brings up what its request goes over.
func (w *walk) connect(ctx context.Context, h *hop) error {
	via, dest, err := w.route(ctx, h)
	if err != nil {
		return err
	}
	w.result.HTTP.Hops++
	w.via = via
	// Before connecting: a target that waits for its request while a token is fetched may hang up.
	if w.credentials, err = w.authorize(ctx, h); err != nil {
		return err
	}
	if w.p.http3 && h.url.Scheme == "https" {
		return w.connectHTTP3(ctx, h, dest)
	}
	if h.url.Scheme != "https" || w.confidential(h) {
		return w.bringUp(ctx, h, via, dest, nil)
	}
	err = w.bringUp(ctx, h, via, dest, tlsclient.QuickGroups())
	if w.link.raw != nil && tlsclient.RefusesGroups(err, w.result.TLS) { // without a link it was a proxy that refused
		w.hangUp(false)
		err = w.bringUp(ctx, h, via, dest, nil)
	}
	return err
}

// bringUp connects to dest, and begins TLS by one of groups when h wants it.
func (w *walk) bringUp(ctx context.Context, h *hop, via *url.URL, dest netip.AddrPort, groups []tls.CurveID) error {
	start := time.Now()
	var err error
	if via != nil {
		if err = w.judgeHostname(ctx, h); err == nil {
			w.link, err = w.p.proxy.dial(ctx, w.p, w.req.Guard, via, h.url, dest)
		}
	} else {
		w.link.raw, err = network.Dial(ctx, w.req.Guard, "tcp", h.url.Hostname(), dest, netip.Addr{})
	}
	w.result.Phases.Connect += time.Since(start)
	if err != nil || h.url.Scheme != "https" {
		return err
	}
	return w.secure(ctx, h, groups)
}

// confidential reports whether h's request says what only its host should read: more than what answer is wanted.
func (w *walk) confidential(h *hop) bool {
	if len(h.body) > 0 || h.url.User != nil || w.jar != nil {
		return true
	}
	headers := &w.p.headers
	return h.own && (w.p.auth != nil || w.home.User != nil || headers.cookie != "" || len(headers.files) > 0 ||
		len(headers.fixed) > len(headers.public))
}

// route finds where h's connection goes: the address and port of its host, and the proxy on the way, if any. There
// is no address when the proxy resolves a name.
func (w *walk) route(ctx context.Context, h *hop) (via *url.URL, dest netip.AddrPort, err error) {
	host, port := h.url.Hostname(), urlPort(h.url)
	if via, err = w.p.proxy.choose(h.url); err != nil {
		return nil, dest, err
	}
	addr, _ := netip.ParseAddr(host)
	if via == nil || !w.p.skipResolve {
		if addr, err = w.resolve(ctx, host); err != nil {
			return nil, dest, err
		}
	}
	dest = netip.AddrPortFrom(addr.Unmap(), port)
	if via != nil && addr.IsValid() {
		via, err = w.p.proxy.chooseFor(h.url.Scheme, dest)
	}
	return via, dest, err
}

// resolve turns a hop's host into its address.
func (w *walk) resolve(ctx context.Context, host string) (netip.Addr, error) {
	if host == w.lastHost && w.lastAddr.IsValid() {
		return w.lastAddr, nil
	}
	found, err := w.p.policy.Resolve(ctx, host)
	w.result.Phases.Resolve += found.Duration
	if w.result.HTTP.Hops == 0 {
		w.result.Resolve = &found
	}
	if err != nil {
		return netip.Addr{}, err
	}
	if w.req.Trace != nil {
		w.req.Trace.Step("resolved %s to %s", host, found.Addr)
	}
	w.lastHost, w.lastAddr = host, found.Addr
	return found.Addr, nil
}

// secure begins TLS on the hop's connection.
func (w *walk) secure(ctx context.Context, h *hop, groups []tls.CurveID) error {
	var protocols []string
	if w.p.http2 != nil {
		protocols = []string{"h2", "http/1.1"}
	}
	start := time.Now()
	secured, facts, err := w.p.tls.Handshake(ctx, w.link.raw, w.serverName(h), protocols, groups)
	w.result.Phases.TLS += time.Since(start)
	w.result.TLS = facts
	if err != nil {
		return err
	}
	if w.req.Trace != nil {
		w.req.Trace.Step("TLS with %s: %s", w.serverName(h), tls.VersionName(facts.Version))
	}
	w.link.tls, w.link.http2 = secured, secured.ConnectionState().NegotiatedProtocol == "h2"
	return nil
}

// serverName is what the certificate of h's host must be for.
func (w *walk) serverName(h *hop) string {
	if !h.own {
		return h.url.Hostname()
	}
	if host := w.hostOverride(); host != "" {
		return w.p.tls.ServerName(withoutPort(host))
	}
	return w.p.tls.ServerName(h.url.Hostname())
}

// traceHeader shows an answer's header without cookies, and without what it repeats of the secrets that it was sent.
func traceHeader(t *probe.Trace, header http.Header, secrets []string) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		value := strings.Join(header[name], ", ")
		if name == "Set-Cookie" {
			value = "…"
		}
		t.Step("  %s: %s", name, cut(redact.Text(value, secrets...)))
	}
}

// parsedJSON is how many times its length a JSON text takes once it is parsed.
const parsedJSON = 8

// conclude notes what the last answer says, reads its body and judges it. stop is why a redirect was not followed
// that should have been; there is nothing to judge then.
func (w *walk) conclude(ctx context.Context, resp *response, stop error) error {
	facts := w.result.HTTP
	facts.StatusCode, facts.ContentLength = resp.status, resp.contentLength
	facts.VersionMajor, facts.VersionMinor = resp.major, resp.minor
	facts.TLS = w.result.TLS != nil
	facts.LastModified = lastModified(resp.header)
	if stop != nil {
		return stop
	}
	checks := &w.p.checks
	m := option.Matcher{Ctx: ctx}
	verdict := checks.head(&m, resp, facts)
	sink := bodySink{limit: w.p.limit, keep: verdict == nil && checks.looksAtBody(), memory: w.req.Memory}
	defer func() { w.req.Memory.Give(sink.held) }()
	buffer := w.p.buffers.Get().(*[]byte)
	defer w.p.keepBuffer(buffer)
	err := w.p.readBody(ctx, resp, &sink, *buffer)
	w.result.Phases.Transfer += time.Since(resp.first)
	facts.UncompressedBodyLength = sink.size
	if sink.kept != nil {
		*buffer = sink.kept
	}
	var failure *probe.Failure
	if err != nil && (verdict == nil || !errors.As(err, &failure)) {
		return err
	}
	if verdict == nil && sink.keep && checks.usesCEL() && sink.held > 0 {
		parsed := int64(len(sink.kept)) * parsedJSON
		if err := w.req.Memory.Take(parsed); err != nil {
			return err
		}
		defer w.req.Memory.Give(parsed)
	}
	if verdict == nil && sink.keep {
		verdict = checks.body(&m, sink.kept, facts)
	}
	if verdict == nil {
		verdict = checks.connection(resp, facts.TLS)
	}
	return verdict
}

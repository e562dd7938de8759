package httpprobe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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
	"rollcall/probe/httpprobe/content"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/option"
	"rollcall/redact"
)

// hop is one request of a probe: the first asks the target, each further one follows a redirect.
type hop struct {
	url         *url.URL
	method      string
	body        []byte
	bodyDropped bool // a redirect has taken the body away, and the headers that describe it
	referer     string
	// sameHost: the hop still asks the target's own host, and no hop before it left. Only then do credentials, the
	// module's headers, its server_name and the hostname go along.
	sameHost bool
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

// run is one probe under way. The fields from link on belong to the current hop.
type run struct {
	p      *prober
	req    probe.Request
	result probe.Result

	start    time.Time
	target   *url.URL
	jar      *cookiejar.Jar
	lastHost string // resolved to lastAddr: a name is resolved once, however many hops it takes
	lastAddr netip.Addr

	link    link
	http1   *http1Conn
	session session // of HTTP/2 and HTTP/3
	fields  [12]field

	via         *url.URL // the proxy of the hop, nil: none
	credentials string   // the Authorization of the hop, empty: none, or it is among the module's headers
	http1Only   bool     // the server wants HTTP/1.1 for this request

	sentFields []field  // the header of the last request
	sentBody   []byte   // and its body
	secrets    []string // of the requests before
}

// session is a connection that carries HTTP/2 or HTTP/3.
type session interface {
	exchange(ctx context.Context, req *request) (*response, error)
	taken(n int) // notes that so much of the body was read
	classify(ctx context.Context, stage probe.Stage, err error) error
	close() // waits for its goroutines
}

// finalURL is the hop's URL as it is shown. One that is the target's is that string: the result is kept for each target.
func (r *run) finalURL(h *hop) string {
	shown := weburl.Shown(h.url)
	if shown == r.req.Target {
		return r.req.Target
	}
	return shown
}

// follow follows the target's redirects to the last answer and judges it. The last connection stays open.
func (r *run) follow(ctx context.Context, target *url.URL) error {
	body, err := r.p.body.get()
	if err != nil {
		return err
	}
	r.target = target
	h := hop{url: target, method: r.p.method, body: body, sameHost: true}
	for {
		resp, err := r.ask(ctx, &h)
		if err == nil && resp.status == http.StatusUnauthorized && h.sameHost {
			resp, err = r.askWithNewToken(ctx, &h, resp)
		}
		if err != nil {
			r.result.HTTP.FinalURL = r.finalURL(&h)
			return r.deniedByRedirect(err)
		}
		next, follow, err := r.redirect(&h, resp)
		if r.refusedByProxy(resp) {
			err = probe.Failf(probe.StageProxy, probe.ReasonProxyRefused, "the proxy answers 407: it demands credentials, or refuses those of its URL")
		}
		if !follow {
			err = r.judge(ctx, resp, err)
			r.result.HTTP.FinalURL = r.finalURL(&h)
			return err
		}
		r.hangUp()
		if r.req.Trace != nil {
			r.req.Trace.Step("the answer, %d, redirects to %s", resp.status, redact.URLs(redact.Text(weburl.Shown(next.url), r.secrets...)))
		}
		h = next
	}
}

// refusedByProxy reports whether resp is the proxy's own: a target behind it has no use for 407.
func (r *run) refusedByProxy(resp *response) bool {
	return resp.status == http.StatusProxyAuthRequired && r.link.authority != "" && !slices.Contains(r.p.checks.Codes, resp.status)
}

// deniedByRedirect makes a refusal by the guard the target's failure when it is a redirect that leads there.
func (r *run) deniedByRedirect(err error) error {
	if denied, ok := errors.AsType[*probe.DeniedError](err); ok && r.result.HTTP.Redirects > 0 {
		return probe.Failf(probe.StageRedirect, probe.ReasonDenied, "following a redirect: %w", denied.Err)
	}
	return err
}

// ask makes h's connection, sends its request and reads the answer's header. A request that an HTTP/2 server says it
// has not processed, or wants by HTTP/1.1, is sent once more on a new connection (RFC 9113, section 8.7).
func (r *run) ask(ctx context.Context, h *hop) (*response, error) {
	r.http1Only = false
	resp, err := r.askOnce(ctx, h)
	if err == nil || !errors.Is(err, errNotProcessed) && !errors.Is(err, errHTTP1Required) {
		return resp, err
	}
	r.hangUp()
	r.req.Trace.Step("asking once more on a new connection: %s", redact.Text(err.Error(), r.secrets...))
	r.http1Only = errors.Is(err, errHTTP1Required)
	return r.askOnce(ctx, h)
}

func (r *run) askOnce(ctx context.Context, h *hop) (*response, error) {
	if err := r.connect(ctx, h); err != nil {
		return nil, err
	}
	req, err := r.request(h)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	resp, err := r.exchange(ctx, req)
	if err != nil {
		r.result.Phases.Processing += time.Since(asked)
		return nil, err
	}
	r.result.Phases.Processing += resp.first.Sub(asked)
	if r.req.Trace != nil {
		secrets, method, url := r.redactions(), h.method, h.url
		r.req.Trace.Later(func() []string { return answerLines(method, weburl.Shown(url), resp, secrets) })
	}
	return resp, nil
}

// askWithNewToken is ask for a target that answered 401, if the token may be the cause; otherwise resp is the answer.
func (r *run) askWithNewToken(ctx context.Context, h *hop, resp *response) (*response, error) {
	renewed, err := r.renewCredentials(ctx)
	if err != nil || !renewed {
		return resp, err
	}
	r.hangUp()
	return r.ask(ctx, h)
}

func (r *run) exchange(ctx context.Context, req *request) (*response, error) {
	if r.session == nil && r.link.http2 {
		session, err := r.p.startHTTP2(ctx, &r.link)
		if err != nil {
			return nil, err
		}
		r.session = session
	}
	if r.session != nil {
		return r.session.exchange(ctx, req)
	}
	r.http1 = r.p.http1Conns.Get().(*http1Conn)
	return r.http1.exchange(ctx, r.link.conn(), req)
}

// hangUp makes room for the next request: what this server presented is not about that one's answer.
func (r *run) hangUp() {
	r.redactions()
	r.close(true)
	r.result.TLS = nil
}

// close ends the hop's connection; what was read from it is void then. With notify a TLS connection sends close_notify.
func (r *run) close(notify bool) {
	if r.session != nil {
		r.session.close()
	} else if notify && r.link.tls != nil {
		r.link.tls.Close()
	}
	if r.link.raw != nil {
		r.link.raw.Close()
	}
	if r.http1 != nil {
		r.http1.awaitSent()
		r.p.release(r.http1)
	}
	r.session, r.link, r.http1 = nil, link{}, nil
}

// answerLines shows an answer's status and header, without the credentials that it gives out and without what it repeats of
// the secrets that it was sent.
func answerLines(method, url string, resp *response, secrets []string) []string {
	lines := []string{fmt.Sprintf("%s %s: %d over %s", method, redact.URLs(redact.Text(url, secrets...)), resp.status, resp.proto)}
	for _, name := range slices.Sorted(maps.Keys(resp.header)) {
		value := redact.URLs(strings.Join(resp.header[name], ", "))
		if redact.IsCredential(name) && !strings.HasSuffix(name, "-Authenticate") { // a challenge says what is demanded
			value = "…"
		}
		lines = append(lines, fmt.Sprintf("  %s: %s", name, cut(redact.Text(value, secrets...))))
	}
	return lines
}

// parsedJSON is how many times its length a JSON text takes once it is parsed.
const parsedJSON = 8

// judge notes what the last answer says, reads its body and checks it. stop is why a redirect was not followed that
// should have been; there is nothing to check then.
func (r *run) judge(ctx context.Context, resp *response, stop error) error {
	facts := r.result.HTTP
	facts.StatusCode, facts.ContentLength = resp.status, resp.contentLength
	facts.VersionMajor, facts.VersionMinor = resp.major, resp.minor
	facts.TLS = r.result.TLS != nil
	if value := resp.header.Get("Last-Modified"); value != "" {
		facts.LastModified, _ = http.ParseTime(value) // the zero Time when it is not valid
	}
	if stop != nil {
		return stop
	}
	checks := &r.p.checks
	m := option.Matcher{Ctx: ctx}
	verdict := checks.Head(&m, resp.status, resp.header, facts)
	sink := content.Sink{Limit: r.p.limit, Keep: verdict == nil && checks.LooksAtBody(), Memory: probe.LimitOf(ctx)}
	buffer := r.p.buffers.Get().(*[]byte)
	defer r.p.keepBuffer(buffer)
	err := r.p.readBody(ctx, resp, &sink, *buffer)
	r.result.Phases.Transfer += time.Since(resp.first)
	facts.UncompressedBodyLength = sink.Size
	if sink.Kept != nil {
		*buffer = sink.Kept
	}
	if err != nil && (verdict == nil || !probe.Is[*probe.Failure](err)) {
		return err
	}
	if sink.Keep && checks.UsesCEL() && len(sink.Kept) > bodyBuffer {
		if err := probe.LimitOf(ctx).Hold(int64(len(sink.Kept)) * parsedJSON); err != nil {
			return err
		}
	}
	if sink.Keep {
		verdict = checks.Body(&m, sink.Kept, facts)
	}
	if verdict == nil {
		verdict = checks.Connection(resp.proto, facts.TLS)
	}
	return verdict
}

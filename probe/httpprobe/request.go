package httpprobe

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rollcall/probe"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/option"
	"rollcall/redact"
)

// request is one request of a hop, whatever version of HTTP carries it.
type request struct {
	method string
	url    *url.URL
	host   string // the Host header; of CONNECT, after which the connection stays open, also what it asks for
	// authority, when not empty, stands in the request line, which has the whole URL: the request goes to a proxy.
	authority string
	userAgent string // empty: none
	fields    []field
	upgrade   bool // fields ask for another protocol
	body      []byte
}

// sendsLength reports whether the request announces its body's length, which some methods do also without a body.
func (r *request) sendsLength() bool {
	return len(r.body) > 0 || r.method == http.MethodPost || r.method == http.MethodPut || r.method == http.MethodPatch
}

// requestBody is what a module sends.
type requestBody struct {
	inline []byte
	file   *option.File // nil: inline
}

func (b requestBody) get() ([]byte, error) {
	if b.file == nil {
		return b.inline, nil
	}
	return b.file.Read()
}

// hostOverride is the Host header that replaces the URL's, empty when none does.
func (r *run) hostOverride() string { return cmp.Or(r.req.Hostname, r.p.headers.host) }

// request composes what h sends.
func (r *run) request(h *hop) (*request, error) {
	out := &request{method: h.method, url: h.url, host: weburl.HostHeader(h.url), userAgent: r.p.headers.userAgent, body: h.body}
	var err error
	fields := r.fields[:0]
	if h.sameHost {
		out.host = cmp.Or(r.hostOverride(), out.host)
		out.upgrade = r.p.headers.upgrade
		fields, err = r.p.headers.appendTo(fields)
	} else {
		fields = append(fields, r.p.headers.public...)
	}
	if err != nil {
		return nil, err
	}
	if h.bodyDropped {
		fields = slices.DeleteFunc(fields, func(f field) bool { return strings.HasPrefix(f.name, "Content-") })
	}
	if r.credentials != "" {
		fields = append(fields, field{"Authorization", r.credentials})
	}
	if cookies := r.cookies(h); cookies != "" {
		fields = append(fields, field{"Cookie", cookies})
	}
	if h.referer != "" {
		fields = append(fields, field{"Referer", h.referer})
	}
	out.fields = fields
	r.throughProxy(out)
	r.sentFields, r.sentBody = out.fields, out.body
	return out, nil
}

// throughProxy makes out one to the proxy, where the connection ends at one that wants whole URLs.
func (r *run) throughProxy(out *request) {
	out.authority = r.link.authority
	if out.authority != "" && r.via.User != nil {
		out.fields = append(out.fields, field{"Proxy-Authorization", userinfoCredentials(r.via.User)})
	}
}

// authorize is h's Authorization header: of the module's headers, of the URL, of the module's options, in this
// order. Empty: none, or it is among the module's headers.
func (r *run) authorize(ctx context.Context, h *hop) (string, error) {
	switch {
	case h.sameHost && r.p.headers.authorization:
		return "", nil
	case h.url.User != nil:
		return userinfoCredentials(h.url.User), nil
	case !h.sameHost:
		return "", nil
	case r.target.User != nil:
		return userinfoCredentials(r.target.User), nil
	case r.p.auth != nil:
		return r.p.auth.authorize(ctx, r.req.Guard)
	default:
		return "", nil
	}
}

// renewCredentials reports whether a target that answered 401 is to be asked again, with a new token: one that an
// earlier probe fetched may have been revoked since, and the target is not the cause.
func (r *run) renewCredentials(ctx context.Context) (bool, error) {
	tokens, ok := r.p.auth.(*tokenSource)
	if !ok || slices.Contains(r.p.checks.Codes, http.StatusUnauthorized) {
		return false, nil
	}
	renewed, err := tokens.renew(ctx, r.req.Guard, r.credentials, r.start)
	if err != nil || renewed == r.credentials {
		return false, err
	}
	r.req.Trace.Step("the answer is 401: asking again with a new token")
	return true, nil
}

// redactions are the secrets that the run has sent so far. They are collected only when there is text to be shown, and before
// the next request.
func (r *run) redactions() []string {
	for _, f := range r.sentFields {
		if redact.IsCredential(f.name) || slices.Contains(r.p.headers.secret, f.name) {
			r.secrets = append(r.secrets, redact.CredentialForms(f.value)...)
		}
	}
	if len(r.sentBody) > 0 {
		r.secrets = append(r.secrets, probe.SentSecrets(string(r.sentBody))...)
	}
	r.sentFields, r.sentBody = nil, nil
	if r.via != nil && r.via.User != nil {
		r.secrets = append(r.secrets, redact.CredentialForms(userinfoCredentials(r.via.User))...)
	}
	if proxy := r.p.proxy; proxy != nil {
		for _, f := range proxy.connectHeader {
			r.secrets = append(r.secrets, redact.CredentialForms(f.value)...)
		}
	}
	return r.secrets
}

// appendHead writes the request line and the header. Every value in it was checked: no line break can get in.
func (r *request) appendHead(b []byte) []byte {
	b = append(b, r.method...)
	b = append(b, ' ')
	switch {
	case r.method == http.MethodConnect:
		b = append(b, r.host...)
	case r.authority != "":
		b = append(append(append(b, r.url.Scheme...), "://"...), r.authority...)
		b = append(b, r.url.RequestURI()...)
	default:
		b = append(b, r.url.RequestURI()...)
	}
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", r.host)
	if r.userAgent != "" {
		b = appendField(b, "User-Agent", r.userAgent)
	}
	if r.sendsLength() {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.body)), 10)
		b = append(b, "\r\n"...)
	}
	for _, f := range r.fields {
		b = appendField(b, f.name, f.value)
	}
	switch {
	case r.method == http.MethodConnect:
		return append(b, "\r\n"...)
	case r.upgrade:
		return append(b, "Connection: Upgrade\r\n\r\n"...)
	default:
		return append(b, "Connection: close\r\n\r\n"...)
	}
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

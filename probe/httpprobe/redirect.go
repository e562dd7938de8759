package httpprobe

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"

	"rollcall/probe"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/network"
)

const (
	// maxRedirects are followed; one more ends the probe.
	maxRedirects = 10
	// maxLocation is the longest redirect that is followed.
	maxLocation = 16 << 10
	// maxSetCookies of one redirect are kept, and maxCookieHeader bytes of cookies sent.
	maxSetCookies   = 64
	maxCookieHeader = 16 << 10
)

// redirect reads where an answer leads. Without follow the answer is the last one; an error says why it may not be judged.
func (r *run) redirect(h *hop, resp *response) (next hop, follow bool, err error) {
	switch resp.status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return hop{}, false, nil
	}
	location := resp.header.Get("Location")
	if location == "" {
		return hop{}, false, nil // an answer like any other, as in net/http
	}
	r.result.HTTP.Redirects++
	if !r.p.follow {
		return hop{}, false, nil
	}
	if r.result.HTTP.Redirects > maxRedirects {
		return hop{}, false, probe.Failf(probe.StageRedirect, probe.ReasonTooManyRedirects, "stopped after %d redirects", maxRedirects)
	}
	u, err := parseLocation(h.url, location)
	if err == nil && r.p.http3 && u.Scheme == "http" {
		err = errors.New("the redirect leads to http, and the module asks by HTTP/3 alone")
	}
	if err != nil {
		return hop{}, false, probe.Fail(probe.StageRedirect, probe.ReasonBadRedirect, err)
	}
	next = hop{url: u, method: h.method, body: h.body, bodyDropped: h.bodyDropped, sameHost: r.keepsHost(h, u), referer: r.referer(h, u)}
	if resp.status < http.StatusTemporaryRedirect {
		next.body, next.bodyDropped = nil, h.bodyDropped || len(h.body) > 0
		if next.method != http.MethodHead {
			next.method = http.MethodGet
		}
	}
	r.setCookies(h, resp)
	return next, true, nil
}

// parseLocation resolves a Location header against the URL that it answers.
func parseLocation(from *url.URL, location string) (*url.URL, error) {
	if len(location) > maxLocation {
		return nil, fmt.Errorf("the redirect's Location is %d bytes long", len(location))
	}
	u, err := from.Parse(network.EscapeLocation(location))
	if err != nil {
		return nil, fmt.Errorf("the redirect's Location is not a URL: %w", weburl.Cause(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the redirect leads to the scheme %q; followed: http, https", cut(u.Scheme))
	}
	if err := weburl.Clean(u); err != nil {
		return nil, fmt.Errorf("the redirect leads nowhere: %w", err)
	}
	return u, nil
}

// keepsHost reports whether credentials may go to u: the target's own host by name, not left before, and not in
// clear text after an encrypted hop.
func (r *run) keepsHost(h *hop, u *url.URL) bool {
	return h.sameHost && strings.EqualFold(r.target.Hostname(), u.Hostname()) && !(h.url.Scheme == "https" && u.Scheme == "http")
}

// referer is where the redirect came from, as net/http does: not when leaving an encrypted hop
// for a plain one, and never with userinfo.
func (r *run) referer(h *hop, u *url.URL) string {
	own := r.p.headers.referer
	switch {
	case h.url.Scheme == "https" && u.Scheme == "http":
		return ""
	case own == "":
		return weburl.Shown(h.url)
	case r.keepsHost(h, u):
		return own
	default:
		return ""
	}
}

// setCookies keeps what a redirect sets for the hops to come.
func (r *run) setCookies(h *hop, resp *response) {
	lines := resp.header["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	if r.jar == nil {
		r.jar, _ = cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // its error is always nil
	}
	limited := http.Response{Header: http.Header{"Set-Cookie": lines[:min(len(lines), maxSetCookies)]}}
	r.jar.SetCookies(h.url, limited.Cookies())
}

// cookies is h's Cookie header: the module's own and those that redirects set for h's host.
func (r *run) cookies(h *hop) string {
	own := ""
	if h.sameHost {
		own = r.p.headers.cookie
	}
	if r.jar == nil {
		return own
	}
	var b strings.Builder
	b.WriteString(own)
	for _, c := range r.jar.Cookies(h.url) {
		if b.Len()+len(c.Name)+len(c.Value) > maxCookieHeader {
			break
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		// String quotes and cleans the value: what a server set must not break the next request apart.
		b.WriteString((&http.Cookie{Name: c.Name, Value: c.Value, Quoted: c.Quoted}).String())
	}
	return b.String()
}

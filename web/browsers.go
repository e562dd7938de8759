package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// browsers tells which requests a page of another site made a browser send. Browsers say so in Sec-Fetch-Site, the older
// ones in Origin; other clients send neither and are not affected.
//
// A page that was loaded under its own name, which then resolves to us (DNS rebinding), is of the same origin for the
// browser. Its Host is not ours, so the names by which browsers may change something are known: localhost, addresses, this
// machine's name and the one of --web.external-url.
type browsers struct {
	external string   // the host and port of the external URL; empty: none
	names    []string // ours, in lower case
	rules    http.CrossOriginProtection
}

func newBrowsers(external *url.URL, hostname string) *browsers {
	b := new(browsers)
	if short, _, _ := strings.Cut(hostname, "."); short != "" {
		b.names = append(b.names, strings.ToLower(hostname), strings.ToLower(short))
	}
	if external != nil {
		b.external = external.Host
		b.names = append(b.names, strings.ToLower(external.Hostname()))
	}
	return b
}

// mayChange returns why a request may not change our state; nil: it may.
func (b *browsers) mayChange(r *http.Request) error {
	if err := b.rules.Check(r); err != nil && !b.fromExternal(r) {
		return err
	}
	if isBrowser(r) && !b.ours(r.Host) {
		return fmt.Errorf("a browser asks for the host %.100q, which is not known to be this server; accepted: an address, localhost, this machine's name, or the host of --web.external-url", r.Host)
	}
	return nil
}

// foreign reports whether another site's page may have made the browser send a request. It may be a GET, which
// http.CrossOriginProtection lets pass.
func (b *browsers) foreign(r *http.Request) bool {
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case !isBrowser(r), site == "none": // a person typed the address
		return false
	case site == "", site == "same-origin":
		return b.otherOrigin(r) || !b.ours(r.Host)
	default:
		return true
	}
}

func isBrowser(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != ""
}

func (b *browsers) otherOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || b.fromExternal(r) {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

// fromExternal reports whether a page of the external URL sent r, and a proxy before us changed its Host.
func (b *browsers) fromExternal(r *http.Request) bool {
	u, err := url.Parse(r.Header.Get("Origin"))
	site := r.Header.Get("Sec-Fetch-Site")
	return err == nil && b.external != "" && strings.EqualFold(u.Host, b.external) && (site == "" || site == "same-origin")
}

// ours reports whether host, which may have a port, is a name or an address of this server, or any address: who has
// loaded a page from an address cannot have been sent there by a name.
func (b *browsers) ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	return slices.Contains(b.names, host)
}

// Package weburl reads the URLs of targets, redirects and proxies, and brings them into the one form that is judged, resolved
// and sent. It sends nothing.
package weburl

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/redact"
)

// MaxShown bounds a URL that is kept for people to read.
const MaxShown = 2048

// Parse reads a URL as people write targets: without a scheme it is http, and a scheme is in any case. A port may be
// a service's name. Its errors are *TargetErrors and never quote a password.
func Parse(target string) (*url.URL, error) {
	if target == "" {
		return nil, probe.BadTarget("is empty; accepted: a URL, e.g. https://example.com/path, or host:port")
	}
	if strings.ContainsFunc(target, isControl) {
		return nil, probe.BadTarget("holds a control character")
	}
	scheme, authority, rest := redact.SplitTarget(target)
	switch scheme = strings.ToLower(scheme); scheme {
	case "":
		scheme = "http"
	case "http", "https":
	default:
		return nil, probe.BadTarget(network.SchemeHint(scheme, "http") + "; an http module takes http://, https:// or no scheme")
	}
	u, err := url.Parse(scheme + "://" + numericPort(authority) + network.EscapeURL(rest))
	if err != nil {
		if strings.ContainsAny(authority, ":@") { // the port may be a password before a misspelt @
			return nil, probe.BadTarget("is not a URL: its host or port is not valid (they are not shown, for they may hold a password)")
		}
		return nil, &probe.TargetError{Err: fmt.Errorf("the target is not a URL: %w", Cause(err))}
	}
	if err := Clean(u); err != nil {
		return nil, &probe.TargetError{Err: err}
	}
	return u, nil
}

// numericPort puts a number in the place of an authority's port that is a service's name.
func numericPort(authority string) string {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || colon == len(authority)-1 || strings.Trim(authority[colon+1:], "0123456789") == "" {
		return authority
	}
	if port, err := network.Port(authority[colon+1:]); err == nil {
		return authority[:colon+1] + strconv.Itoa(int(port))
	}
	return authority
}

// Clean refuses what cannot be asked for, and brings u's host into its one form (see network.Host).
func Clean(u *url.URL) error {
	if u.Hostname() == "" {
		return errors.New("the URL has no host")
	}
	host, err := CleanHost(u.Host)
	if err != nil {
		return fmt.Errorf("the URL's %w", err)
	}
	u.Host = host
	return nil
}

// CleanHost brings host or host:port into the one form that is judged, dialled and sent.
func CleanHost(text string) (string, error) {
	u := url.URL{Host: text}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		return "", errors.New("host is empty")
	}
	if strings.HasPrefix(text, "[") {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() {
			return "", errors.New("host is in brackets and not an IPv6 address")
		}
	} else if strings.Contains(host, ":") {
		return "", errors.New("host is an IPv6 address without brackets, e.g. http://[::1]:8080/")
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("port is %q; accepted: 1 to 65535", port)
		}
		port = ":" + port
	}
	clean, err := network.Host(host)
	switch {
	case err != nil:
		return "", fmt.Errorf("host %w", err)
	case clean == host:
		return text, nil
	case strings.Contains(clean, ":"):
		clean = "[" + clean + "]"
	}
	return clean + port, nil
}

// Port is the port that u's connection goes to.
func Port(u *url.URL) uint16 {
	if port := u.Port(); port != "" {
		n, _ := strconv.ParseUint(port, 10, 16) // Clean has seen it
		return uint16(n)
	}
	if u.Scheme == "https" {
		return 443
	}
	return 80
}

// HostHeader is u's host as the Host header has it: without the scheme's own port, and without an IPv6 zone, which means
// something on this machine only.
func HostHeader(u *url.URL) string {
	host, port := u.Hostname(), u.Port()
	ownPort := port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https"
	if !ownPort && !strings.Contains(host, "%") {
		return u.Host
	}
	if host, _, _ = strings.Cut(host, "%"); strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if ownPort || port == "" {
		return host
	}
	return host + ":" + port
}

// Shown is u for people: without userinfo and fragment, and bounded.
func Shown(u *url.URL) string {
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment = nil, "", ""
	s := shown.String()
	if len(s) > MaxShown {
		s = strings.ToValidUTF8(s[:MaxShown], "") + "…"
	}
	return s
}

// Cause is what url.Parse found wrong, without the URL that it quotes.
func Cause(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

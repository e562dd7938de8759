package httpprobe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"

	"github.com/prometheus/common/config"
	"golang.org/x/net/proxy"

	"rollcall/probe"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tlsclient"
)

// proxyClient reaches targets through the proxies that a module names. nil: there are none.
type proxyClient struct {
	rule          func(*http.Request) (*url.URL, error)
	connectHeader []field
	policy        network.Resolver // of the proxies' own names
}

func compileProxy(c *config.ProxyConfig) (*proxyClient, error) {
	var f option.Collector
	named := c.ProxyURL.URL != nil && c.ProxyURL.String() != ""
	switch {
	case c.ProxyFromEnvironment && named:
		f.Addf("proxy_from_environment", "stands beside proxy_url; accepted: one of them")
	case c.ProxyFromEnvironment && c.NoProxy != "":
		f.Addf("no_proxy", "stands beside proxy_from_environment, which reads NO_PROXY; accepted: one of them")
	case c.ProxyURL.URL == nil && c.NoProxy != "":
		f.Addf("no_proxy", "needs proxy_url")
	case !named && !c.ProxyFromEnvironment && len(c.ProxyConnectHeader) > 0:
		f.Addf("proxy_connect_header", "needs proxy_url or proxy_from_environment")
	}
	if named {
		if _, err := cleanProxyURL(c.ProxyURL.URL); err != nil {
			f.Unusablef("proxy_url", "%w", err)
		}
	}
	p := &proxyClient{policy: network.Resolver{Prefer: "ip4", Fallback: true}}
	for _, key := range slices.Sorted(maps.Keys(c.ProxyConnectHeader)) {
		for i, value := range c.ProxyConnectHeader[key] {
			if checkField(&f, option.Index("proxy_connect_header."+key, i), key, string(value)) {
				p.connectHeader = append(p.connectHeader, field{http.CanonicalHeaderKey(key), string(value)})
			}
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	if p.rule = c.Proxy(); p.rule == nil {
		return nil, nil
	}
	if c.ProxyFromEnvironment {
		return p, p.tryEnvironment()
	}
	return p, nil
}

// tryEnvironment finds at load what is wrong with the environment's proxies: it is the exporter's, not the target's.
func (c *proxyClient) tryEnvironment() error {
	for _, scheme := range []string{"http", "https"} {
		if _, err := c.choose(&url.URL{Scheme: scheme, Host: "rollcall.invalid"}); err != nil {
			return option.Unusablef("proxy_from_environment", "the environment's proxy for %s cannot be used: %w", scheme, err)
		}
	}
	return nil
}

// cleanProxyURL returns u with its host in its one form. Its error names no part of the URL that may be a password.
func cleanProxyURL(u *url.URL) (*url.URL, error) {
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return nil, fmt.Errorf("has the scheme %q; accepted: http, https, socks5, socks5h", u.Scheme)
	}
	clean := *u // u is the option's own
	return &clean, weburl.Clean(&clean)
}

// choose returns the proxy for u, nil when it is reached directly.
func (c *proxyClient) choose(u *url.URL) (*url.URL, error) {
	if c == nil {
		return nil, nil
	}
	chosen, err := c.rule(&http.Request{URL: u})
	if err != nil {
		return nil, probe.Failf(probe.StageProxy, probe.ReasonProtocolError, "choosing a proxy: %w", weburl.Cause(err))
	}
	if chosen == nil {
		return nil, nil
	}
	if chosen, err = cleanProxyURL(chosen); err != nil {
		return nil, probe.Failf(probe.StageProxy, probe.ReasonProtocolError, "the proxy's URL: %w", err)
	}
	return chosen, nil
}

// chooseFor is choose for the address that the host of a URL with the proxy via has, if that is known: no_proxy may spare the
// address, too.
func (c *proxyClient) chooseFor(via *url.URL, scheme string, at netip.AddrPort) (*url.URL, error) {
	if via == nil || !at.Addr().IsValid() {
		return via, nil
	}
	return c.choose(&url.URL{Scheme: scheme, Host: at.String()})
}

// dialProxy makes a connection to u through the proxy. The guard judges the target, not the proxy, which the
// configuration names; dest's address is not valid when the proxy is to resolve u's host.
func (r *run) dialProxy(ctx context.Context, u *url.URL, dest netip.AddrPort) (link, error) {
	if err := probe.Allow(r.req.Guard, u.Hostname(), dest); err != nil {
		return link{}, err
	}
	target := dest.String() // what was judged: a name the proxy would resolve again, and perhaps differently
	if !dest.Addr().IsValid() {
		target = net.JoinHostPort(u.Hostname(), fmt.Sprint(dest.Port()))
	}
	l, err := r.reachProxy(ctx)
	if err != nil {
		return link{}, atStage(probe.StageProxy, "reaching the proxy", err)
	}
	switch {
	case isSOCKS(r.via):
		err = r.socks(ctx, l.raw, target)
	case u.Scheme == "https" || r.p.tunnels:
		err = r.tunnel(ctx, l.conn(), target)
	default:
		l.authority = weburl.HostHeader(&url.URL{Scheme: u.Scheme, Host: target})
	}
	if err != nil {
		l.raw.Close()
		return link{}, err
	}
	if l.tls != nil {
		// The target's TLS, or its plain HTTP, goes over the proxy's TLS as over any connection.
		l.raw, l.tls = tunnelled{Conn: l.tls, below: l.raw}, nil
	}
	return l, nil
}

// tunnelled is a TLS connection to a proxy, over which another protocol goes. Closing it never waits for the proxy.
type tunnelled struct {
	net.Conn
	below net.Conn
}

func (t tunnelled) Close() error { return t.below.Close() }

// reachProxy connects to the proxy itself.
func (r *run) reachProxy(ctx context.Context) (link, error) {
	host := r.via.Hostname()
	found, err := r.p.proxy.policy.Resolve(ctx, host)
	if err != nil {
		return link{}, err
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		return network.Dial(ctx, nil, "tcp", host, netip.AddrPortFrom(found.Addr, proxyPort(r.via)), r.p.source)
	}
	raw, err := dial(ctx)
	if err != nil || r.via.Scheme != "https" {
		return link{raw: raw}, err
	}
	secured, err := r.p.tls.Secure(ctx, raw, tlsclient.Hello{ServerName: host, Secret: true}, dial)
	return link{raw: secured.Raw, tls: secured.Conn}, err
}

func isSOCKS(proxy *url.URL) bool { return proxy.Scheme == "socks5" || proxy.Scheme == "socks5h" }

func proxyPort(u *url.URL) uint16 {
	if u.Port() == "" && isSOCKS(u) {
		return 1080
	}
	return weburl.Port(u)
}

// tunnel asks the proxy for a connection to the target.
func (r *run) tunnel(ctx context.Context, conn net.Conn, target string) error {
	c1 := r.p.http1Conns.Get().(*http1Conn)
	defer r.p.release(c1)
	req := &request{
		method: http.MethodConnect, url: r.via, host: target, userAgent: r.p.headers.userAgent,
		fields: slices.Clone(r.p.proxy.connectHeader),
	}
	if r.via.User != nil {
		req.fields = append(req.fields, field{"Proxy-Authorization", userinfoCredentials(r.via.User)})
	}
	resp, err := c1.exchange(ctx, conn, req)
	if err != nil {
		return atStage(probe.StageProxy, "asking the proxy for a tunnel", err)
	}
	if resp.status < 200 || resp.status > 299 {
		return probe.Failf(probe.StageProxy, probe.ReasonProxyRefused, "asking the proxy for a tunnel: it answers %d", resp.status)
	}
	if c1.in.Buffered() > 0 {
		return probe.Failf(probe.StageProxy, probe.ReasonProtocolError, "asking the proxy for a tunnel: bytes come before the tunnel is used")
	}
	return nil
}

// socks asks a SOCKS5 proxy, over conn, for a connection to the target.
func (r *run) socks(ctx context.Context, conn net.Conn, target string) error {
	var auth *proxy.Auth
	if user := r.via.User; user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", r.via.Host, auth, nil)
	if err == nil {
		_, err = dialer.(dialerWithConn).DialWithConn(ctx, conn, "tcp", target)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("asking the SOCKS proxy for a connection: %w", err)
	classified := network.Classify(ctx, probe.StageProxy, err)
	if probe.HasReason(classified, probe.ReasonNetworkError) && !probe.Is[syscall.Errno](err) {
		return probe.Fail(probe.StageProxy, probe.ReasonProxyRefused, err)
	}
	return classified
}

// dialerWithConn is the SOCKS client, whose type is internal, as one that uses the connection that we have made.
type dialerWithConn interface {
	DialWithConn(ctx context.Context, conn net.Conn, network, address string) (net.Addr, error)
}

// atStage moves a failure to another stage: the steps of reaching a proxy are not those of reaching the target.
func atStage(stage probe.Stage, doing string, err error) error {
	if failure, ok := errors.AsType[*probe.Failure](err); ok {
		return probe.Fail(stage, failure.Reason, fmt.Errorf("%s: %w", doing, failure.Err))
	}
	return err
}

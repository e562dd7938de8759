package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// AskHealth asks the rollcall that listens on listenAddress of this machine whether it is alive; nil: it is.
func AskHealth(ctx context.Context, listenAddress, routePrefix string) error {
	host, port, err := net.SplitHostPort(listenAddress)
	if err != nil {
		return fmt.Errorf("--web.listen-address=%s is not an address; accepted: host:port or :port, without scheme and path", listenAddress)
	}
	dial := new(net.Dialer).DialContext
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host, dial = "localhost", dialLoopback
	}
	return askHealth(ctx, dial, net.JoinHostPort(host, port), routePrefix)
}

// dialLoopback connects to the port of address on this machine, by IPv4 or IPv6. It looks nothing up: an image may have no
// /etc/hosts.
func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		if conn6, err6 := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
			return conn6, nil
		}
	}
	return conn, err
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// askHealth gets /-/healthy by HTTPS or, where the server speaks no TLS, by HTTP. In this order, because a server with TLS
// logs every plain request, and one without is silent about TLS. The certificate is not verified: the request does not
// leave the machine. A demand for a password or a client certificate is an answer, too: the server is alive.
func askHealth(ctx context.Context, dial dialFunc, address, routePrefix string) error {
	path := "/-/healthy"
	if prefix := strings.Trim(routePrefix, "/"); prefix != "" {
		path = "/" + prefix + path
	}
	url := "https://" + address + path
	status, err := get(ctx, dial, url)
	if errors.Is(err, http.ErrSchemeMismatch) {
		url = "http://" + address + path
		status, err = get(ctx, dial, url)
	}
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" { // a TLS alert: it demands a client certificate
		return nil
	}
	switch {
	case err != nil:
		return fmt.Errorf("asking %s: %w", url, err)
	case status == http.StatusNotFound:
		return fmt.Errorf("asking %s: %d %s; a server with --web.route-prefix needs the same here", url, status, http.StatusText(status))
	case status != http.StatusOK && status != http.StatusUnauthorized:
		return fmt.Errorf("asking %s: %d %s", url, status, http.StatusText(status))
	}
	return nil
}

func get(ctx context.Context, dial dialFunc, address string) (status int, err error) {
	client := http.Client{Transport: &http.Transport{
		DialContext:       dial,
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the URL, which the caller names
		}
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

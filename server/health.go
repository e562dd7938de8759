package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// AskHealth asks the rollcall that listens on listenAddress of this machine whether it is alive; nil: it is.
func AskHealth(ctx context.Context, listenAddress, routePrefix string) error {
	host, port, err := net.SplitHostPort(listenAddress)
	if err != nil {
		return fmt.Errorf("--web.listen-address=%s: %w; accepted: host:port or :port", listenAddress, err)
	}
	dial := new(net.Dialer).DialContext
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host, dial = "localhost", dialLoopback
	}
	return askHealth(ctx, dial, net.JoinHostPort(host, port), routePrefix)
}

// dialLoopback connects to this machine by whichever protocol the server listens on. Nothing is looked up: an image may
// have no /etc/hosts.
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

// askHealth gets /-/healthy, encrypted or, where the server speaks no TLS, in plain. In this order, because a server that
// wants TLS logs every plain request, and one that does not is silent about TLS. The certificate is not verified: the
// question never leaves the machine. That the server wants to know who asks shows that it is alive, too.
func askHealth(ctx context.Context, dial dialFunc, address, routePrefix string) error {
	path := "/-/healthy"
	if prefix := strings.Trim(routePrefix, "/"); prefix != "" {
		path = "/" + prefix + path
	}
	status, err := get(ctx, dial, "https://"+address+path)
	if errors.Is(err, http.ErrSchemeMismatch) {
		status, err = get(ctx, dial, "http://"+address+path)
	}
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" { // a TLS alert: it demands a client certificate
		return nil
	}
	if err != nil {
		return err
	}
	if status != http.StatusOK && status != http.StatusUnauthorized {
		return fmt.Errorf("%s answered %d %s", path, status, http.StatusText(status))
	}
	return nil
}

func get(ctx context.Context, dial dialFunc, url string) (status int, err error) {
	client := http.Client{Transport: &http.Transport{
		DialContext:       dial,
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

package zoo

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Proxy is an HTTP proxy that tunnels CONNECT and forwards plain requests, to loopback only. It keeps the requests.
type Proxy struct {
	Addr string
	// Lookup, if set, replaces the host of a request, like a proxy with its own DNS does.
	Lookup func(host string) string
	Seen   Seen
}

// NewProxy starts a Proxy.
func NewProxy(t testing.TB) *Proxy { return NewSecureProxy(t, nil) }

// NewSecureProxy starts a Proxy that is reached over TLS; config nil: without.
func NewSecureProxy(t testing.TB, config *tls.Config) *Proxy {
	p := &Proxy{}
	p.Seen.Handler = http.HandlerFunc(p.serve)
	p.Addr = HTTPOn(t, "127.0.0.1", config, &p.Seen)
	return p
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	upstream, err := net.Dial("tcp", p.address(r))
	if err != nil {
		http.Error(w, "cannot reach it", http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	if r.Method != http.MethodConnect {
		p.forward(w, r, upstream)
		return
	}
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	var pumping sync.WaitGroup
	pumping.Go(func() {
		io.Copy(upstream, buffered)
		upstream.(*net.TCPConn).CloseWrite()
	})
	io.Copy(client, upstream)
	client.Close()
	pumping.Wait()
}

// address returns the address to connect to for r. For other addresses than loopback it is a closed port.
func (p *Proxy) address(r *http.Request) string {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
	}
	if p.Lookup != nil {
		host = p.Lookup(host)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "127.0.0.1:1"
	}
	return net.JoinHostPort(host, port)
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, upstream net.Conn) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return upstream, nil },
	}
	reply, err := transport.RoundTrip(out)
	if err != nil {
		http.Error(w, "no answer", http.StatusBadGateway)
		return
	}
	defer reply.Body.Close()
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(reply.StatusCode)
	io.Copy(w, reply.Body)
}

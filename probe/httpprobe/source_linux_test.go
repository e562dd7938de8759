package httpprobe

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// TestConnectionsComeFromTheSource has servers of every kind that a probe connects to: each says where it is asked from.
func TestConnectionsComeFromTheSource(t *testing.T) {
	const source = "source_ip_address: 127.0.0.9\n"
	from := make(chan string, 10)
	note := func(addr string) {
		host, _, _ := net.SplitHostPort(addr)
		from <- host
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r.RemoteAddr)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token": "t", "token_type": "Bearer"}`)
	})
	plain := httptest.NewServer(handler)
	t.Cleanup(plain.Close)
	secured, trusted := serveTLS(t, true, handler)
	quic, quicTrusted := serveHTTP3(t, handler)
	socks := rawServer(t, func(c net.Conn) {
		note(c.RemoteAddr().String())
		serveSOCKS(c, make(chan string, 1))
	})
	unnoted := answersWith(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	for name, c := range map[string]struct{ options, target string }{
		"HTTP":           {"", plain.URL},
		"a name":         {"preferred_ip_protocol: ip6", strings.Replace(plain.URL, "127.0.0.1", "localhost", 1)},
		"HTTPS":          {trusted, secured.URL},
		"HTTP/3":         {quicTrusted, quic},
		"a proxy":        {"proxy_url: " + plain.URL, "http://192.0.2.1/"},
		"SOCKS":          {"proxy_url: socks5://u:p@" + socks, unnoted},
		"a token server": {oauthOptions(plain.URL, "  client_secret: secret"), unnoted},
	} {
		r := probetest.Ask(t, httpModule(t, source+c.options), probe.Request{Target: c.target})
		if !r.Up() {
			t.Errorf("%s: %v", name, r.Failure)
			continue
		}
		if got := <-from; got != "127.0.0.9" {
			t.Errorf("%s: asked from %s", name, got)
		}
	}
}

func TestSourceIsCheckedAtLoad(t *testing.T) {
	for options, want := range map[string]string{
		"source_ip_address: 192.0.2.1": "http.source_ip_address: 192.0.2.1 is no address of this machine",
		"source_ip_address: eth0":      `http.source_ip_address: "eth0" is not an IP address`,
		"source_ip_address: 127.0.0.1\npreferred_ip_protocol: ip6\nip_protocol_fallback: false": "reaches no ip6 address",
	} {
		if _, err := compileHTTP(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", options, err, want)
		}
	}
}

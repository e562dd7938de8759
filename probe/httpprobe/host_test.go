package httpprobe

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// loopbackSpellings are hosts that some resolver or library takes for this machine.
var loopbackSpellings = []string{"127.1", "0x7f.1", "0177.0.0.1", "2130706433", "127.0.0.1.", "[::ffff:127.0.0.1]", "１２７.0.0.1", "127。0。0。1"}

// emptyHosts are hosts of which nothing is left.
var emptyHosts = []string{"%C2%AD", "\u00ad", "%E2%80%8B", "."}

func TestGuardJudgesTheHostThatIsDialled(t *testing.T) {
	var seen recorder
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen.record(r) })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	m := httpModule(t, "")
	m.Guard = denying(t, "127.0.0.0/8", "::1")
	for _, host := range loopbackSpellings {
		_, err := new(probe.Runner).Do(t.Context(), m, probe.Request{Target: "http://" + host + ":" + port + "/"})
		if !probe.Is[*probe.DeniedError](err) && !probe.Is[*probe.TargetError](err) {
			t.Errorf("%s: %v, want it denied", host, err)
		}
	}
	for _, host := range emptyHosts {
		for _, guard := range []probe.Guard{nil, m.Guard} {
			open := *m
			open.Guard = guard
			_, err := new(probe.Runner).Do(t.Context(), &open, probe.Request{Target: "http://" + host + ":" + port + "/"})
			if !probe.Is[*probe.TargetError](err) {
				t.Errorf("%q: %v, want a target error", host, err)
			}
		}
	}
	if got, _ := seen.last(); got != nil {
		t.Errorf("the server was asked by Host %s", got.Host)
	}
}

func TestRedirectsHostIsJudgedInItsOneForm(t *testing.T) {
	for _, host := range append(loopbackSpellings, emptyHosts...) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://"+host+":1/")
			w.WriteHeader(http.StatusFound)
		})
		m := httpModule(t, "")
		m.Guard = denying(t, "127.0.0.1:1", "[::1]:1")
		r := probetest.Ask(t, m, probe.Request{Target: s.URL})
		if r.Up() || r.Failure.Stage != probe.StageRedirect || r.Failure.Reason != probe.ReasonDenied && r.Failure.Reason != probe.ReasonBadRedirect {
			t.Errorf("%q: %v", host, r.Failure)
		}
	}
}

func TestHostsOfOptionsAreCleaned(t *testing.T) {
	for _, options := range []string{
		"headers: {Host: \"\u00ad\"}", "proxy_url: 'http://%C2%AD:1'", "oauth2: {client_id: a, client_secret: b, token_url: 'http://%C2%AD/'}",
	} {
		if _, err := compileHTTP(options); err == nil {
			t.Errorf("%s is accepted", options)
		}
	}
	m := httpModule(t, "oauth2: {client_id: a, client_secret: b, token_url: 'http://2130706433:1/'}")
	m.Guard = denying(t, "127.0.0.1:1")
	probetest.WantDown(t, probetest.Ask(t, m, probe.Request{Target: "http://127.0.0.1:2/"}), probe.StageRequest, probe.ReasonDenied)
}

func TestHostnameIsSentInItsOneForm(t *testing.T) {
	var seen recorder
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen.record(r) })
	for hostname, want := range map[string]string{
		"example.com": "example.com", "bücher.example:81": "xn--bcher-kva.example:81", "2852039166": "169.254.169.254", "::1": "[::1]",
	} {
		probetest.WantUp(t, probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL, Hostname: hostname}))
		if got, _ := seen.last(); got.Host != want {
			t.Errorf("%s: Host is %s, want %s", hostname, got.Host, want)
		}
	}
	for _, hostname := range []string{"\u00ad", "a:x", "a b", "[1.2.3.4]", "a:0"} {
		_, err := new(probe.Runner).Do(t.Context(), httpModule(t, ""), probe.Request{Target: s.URL, Hostname: hostname})
		if !probe.Is[*probe.TargetError](err) {
			t.Errorf("%q: %v, want a target error", hostname, err)
		}
	}
}

// A name that a proxy resolves again may lead elsewhere then.
func TestProxyGetsTheAddressThatWasJudged(t *testing.T) {
	p := startProxy(t, false, 0)
	server := probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message { return probetest.Answering(q, "192.0.2.1") })
	for target, want := range map[string]string{
		"http://name.example/x": "http://192.0.2.1/x", "http://name.example:80/x": "http://192.0.2.1/x", "http://name.example:81/x": "http://192.0.2.1:81/x",
	} {
		m := httpModule(t, "proxy_url: '"+p.URL+"'")
		m.Prober.(*prober).policy.Server = server
		probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: target}))
		if got, _ := p.seen.last(); got.RequestURI != want {
			t.Errorf("%s: asked for %s, want %s", target, got.RequestURI, want)
		}
	}
	m := httpModule(t, "proxy_url: '"+p.URL+"'")
	m.Guard = denying(t, "169.254.169.254")
	for _, hostname := range []string{"2852039166", "0xa9.0xfe.0xa9.0xfe", "[::ffff:169.254.169.254]"} {
		_, err := new(probe.Runner).Do(t.Context(), m, probe.Request{Target: "http://192.0.2.1/", Hostname: hostname})
		if !probe.Is[*probe.DeniedError](err) {
			t.Errorf("%s: %v, want it denied", hostname, err)
		}
	}
}

// The Host header is read by the target, not by the proxy: a raw look at what both get.
func TestProxyGetsTheNameAsHost(t *testing.T) {
	got := make(chan string, 1)
	proxy := rawServer(t, func(c net.Conn) {
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		got <- string(b[:n])
		c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	})
	server := probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message { return probetest.Answering(q, "192.0.2.1") })
	m := httpModule(t, "proxy_url: 'http://"+proxy+"'")
	m.Prober.(*prober).policy.Server = server
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: "http://name.example:81/"}))
	if head := <-got; !strings.HasPrefix(head, "GET http://192.0.2.1:81/ HTTP/1.1\r\nHost: name.example:81\r\n") {
		t.Errorf("the proxy got %q", head)
	}
}

func TestSchemeOfAnotherProberIsNamed(t *testing.T) {
	for target, want := range map[string]string{
		"icmp://192.0.2.1": "the target has the scheme icmp://, which is for a module of the prober icmp; an http module takes http://, https:// or no scheme",
		"tcp://h:25":       "prober tcp;", "gopher://h/": "gopher://, which no prober takes;",
	} {
		if _, err := parseTarget(target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", target, err, want)
		}
	}
}

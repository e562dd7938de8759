package httpprobe

import (
	"bufio"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/probetest"
)

// proxyServer is a forward proxy that notes what it was asked for. A handler for CONNECT may be given.
type proxyServer struct {
	*httptest.Server
	seen recorder
}

func startProxy(t testing.TB, overTLS bool, refuse int) *proxyServer {
	p := &proxyServer{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.seen.record(r)
		if refuse != 0 {
			w.WriteHeader(refuse)
			return
		}
		if r.Method != http.MethodConnect {
			w.Write([]byte("through the proxy"))
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			there.Close()
			return
		}
		io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(here, buffered, there)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	if overTLS {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

// join copies both ways until both ends have closed.
func join(here net.Conn, from io.Reader, there net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(there, from); there.Close() })
	wg.Go(func() { io.Copy(here, there); here.Close() })
	wg.Wait()
}

func TestProxyForPlainHTTP(t *testing.T) {
	p := startProxy(t, false, 0)
	options := "proxy_url: '" + strings.Replace(p.URL, "//", "//u:p@", 1) + "'\npreferred_ip_protocol: ip4\n"
	r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: "http://localhost:81/path?q=1"})
	probetest.WantUp(t, r)
	got, _ := p.seen.last()
	if got.RequestURI != "http://127.0.0.1:81/path?q=1" || got.Header.Get("Proxy-Authorization") == "" {
		t.Errorf("asked for %s at %s, header %v", got.RequestURI, got.Host, got.Header)
	}
	if r.Resolve == nil || !r.Resolve.Addr.IsLoopback() {
		t.Errorf("resolve: %+v", r.Resolve)
	}
	r = probetest.Ask(t, httpModule(t, options+"skip_resolve_phase_with_proxy: true"), probe.Request{Target: "http://no-such-host.invalid/"})
	probetest.WantUp(t, r)
	if r.Resolve != nil || r.Phases.Resolve != 0 {
		t.Errorf("resolved though the proxy does: %+v", r.Resolve)
	}
}

func TestProxyTunnelsTLS(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, overTLS := range []bool{false, true} {
			p := startProxy(t, overTLS, 0)
			s, options := serveTLS(t, h2, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello")) })
			options += "proxy_url: '" + p.URL + "'\nproxy_connect_header: {X-Pass: [canary]}\n"
			r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: s.URL})
			probetest.WantUp(t, r)
			got, _ := p.seen.last()
			if got.Method != http.MethodConnect || got.RequestURI != s.Listener.Addr().String() || got.Header.Get("X-Pass") != "canary" {
				t.Errorf("asked for %s %s, header %v", got.Method, got.RequestURI, got.Header)
			}
			if !r.HTTP.TLS || r.TLS == nil || r.HTTP.UncompressedBodyLength != 5 || (r.HTTP.VersionMajor == 2) != h2 {
				t.Errorf("facts: %+v %+v", r.HTTP, r.TLS)
			}
		}
	}
}

func TestProxyIsAskedForTheNameWhenItResolves(t *testing.T) {
	p := startProxy(t, false, 0)
	s, options := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) {})
	options += "proxy_url: '" + p.URL + "'\nskip_resolve_phase_with_proxy: true\n"
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, options), probe.Request{Target: elsewhere(s)}))
	if got, _ := p.seen.last(); !strings.HasPrefix(got.RequestURI, "localhost:") {
		t.Errorf("asked for %s", got.RequestURI)
	}
}

func TestProxyFailuresAreOfTheProxy(t *testing.T) {
	gone := probetest.ClosedPort(t)
	silent := rawServer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	chatty := rawServer(t, func(c net.Conn) {
		bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nearly")
		io.Copy(io.Discard, c)
	})
	garbage := rawServer(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n"); io.Copy(io.Discard, c) })
	for _, c := range []struct {
		proxy  string
		reason probe.Reason
	}{
		{"http://" + gone.String(), probe.ReasonConnectionRefused},
		{"http://no-such-proxy.invalid:3128", probe.ReasonNoSuchHost},
		{startProxy(t, false, http.StatusForbidden).URL, probe.ReasonProxyRefused},
		{startProxy(t, false, http.StatusProxyAuthRequired).URL, probe.ReasonProxyRefused},
		{startProxy(t, true, 0).URL, probe.ReasonCertificateAuthority},
		{"http://" + silent, probe.ReasonTimeout},
		{"http://" + chatty, probe.ReasonProtocolError},
		{"http://" + garbage, probe.ReasonProtocolError},
		{"socks5://" + garbage, probe.ReasonProxyRefused},
		{"socks5://" + silent, probe.ReasonTimeout},
		{"socks5://" + gone.String(), probe.ReasonConnectionRefused},
	} {
		r := probetest.Ask(t, httpModule(t, "proxy_url: '"+c.proxy+"'"), probe.Request{Target: "https://127.0.0.1:1/", Timeout: 400 * time.Millisecond})
		if r.Up() || r.Failure.Stage != probe.StageProxy || (r.Failure.Reason != c.reason && c.reason != probe.ReasonNoSuchHost) {
			t.Errorf("%s: %+v, want %s", c.proxy, r.Failure, c.reason)
		}
	}
}

func TestNoProxyGoesPast(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	p := startProxy(t, false, http.StatusTeapot)
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, "proxy_url: '"+p.URL+"'\nno_proxy: 127.0.0.1"), probe.Request{Target: s.URL}))
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, "proxy_url: '"+p.URL+"'\nno_proxy: 127.0.0.0/8\npreferred_ip_protocol: ip4"), probe.Request{Target: elsewhere(s)}))
	probetest.WantDown(t, probetest.Ask(t, httpModule(t, "proxy_url: '"+p.URL+"'"), probe.Request{Target: s.URL}), probe.StageCheck, probe.ReasonStatusCode)
}

func TestProxyFromTheEnvironmentSparesLoopback(t *testing.T) {
	p := startProxy(t, false, http.StatusTeapot)
	t.Setenv("http_proxy", p.URL)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	m := httpModule(t, "proxy_from_environment: true\nskip_resolve_phase_with_proxy: true\nip_protocol_fallback: true")
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL}))
	// A name that only the proxy knows, which answers for it.
	r := probetest.Ask(t, m, probe.Request{Target: "http://no-such-host.invalid/"})
	probetest.WantDown(t, r, probe.StageCheck, probe.ReasonStatusCode)
	if r.HTTP.StatusCode != http.StatusTeapot || r.Resolve != nil {
		t.Errorf("facts: %+v, resolve %v", r.HTTP, r.Resolve)
	}
}

func TestProxyDoesNotHideTheTargetFromTheGuard(t *testing.T) {
	p := startProxy(t, false, 0)
	for _, skip := range []string{"true", "false"} {
		m := httpModule(t, "proxy_url: '"+p.URL+"'\nskip_resolve_phase_with_proxy: "+skip)
		m.Guard = denying(t, "192.0.2.0/24")
		_, err := new(probe.Runner).Do(t.Context(), m, probe.Request{Target: "http://192.0.2.1/"})
		if _, ok := err.(*probe.DeniedError); !ok {
			t.Errorf("skip %s: %v", skip, err)
		}
	}
	if got, _ := p.seen.last(); got != nil {
		t.Errorf("the proxy was asked for %s", got.RequestURI)
	}
}

// A proxy connects to the host that the request line names, and that is the hostname, where the request has one.
func TestProxyIsNotSentToADeniedHostname(t *testing.T) {
	p := startProxy(t, false, 0)
	server := probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message { return probetest.Answering(q, "192.0.2.1") })
	for hostname, allowed := range map[string]bool{
		"198.51.100.1": true, "192.0.2.1": false, "192.0.2.1:81": false, "hides.example": false, "denied.example": false,
	} {
		m := httpModule(t, "proxy_url: '"+p.URL+"'")
		m.Prober.(*prober).policy.Server = server
		m.Guard = denying(t, "192.0.2.0/24", "denied.example")
		_, err := new(probe.Runner).Do(t.Context(), m, probe.Request{Target: "http://198.51.100.1/", Hostname: hostname})
		if denied := probe.Is[*probe.DeniedError](err); denied == allowed || allowed && err != nil {
			t.Errorf("%s: %v", hostname, err)
		}
	}
}

func TestSOCKS5(t *testing.T) {
	s, options := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) {})
	asked := make(chan string, 1)
	addr := rawServer(t, func(c net.Conn) { serveSOCKS(c, asked) })
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, options+"proxy_url: 'socks5://u:p@"+addr+"'"), probe.Request{Target: s.URL}))
	if got := <-asked; got != "u:p "+s.Listener.Addr().String() {
		t.Errorf("asked for %s", got)
	}
}

func TestNoProxySparesAnAddressBehindAName(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	server := probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message { return probetest.Answering(q, "127.0.0.1") })
	target := "http://spared.example:" + probetest.PortOf(netip.MustParseAddrPort(s.Listener.Addr().String()))
	for _, noProxy := range []string{"127.0.0.0/8", "spared.example"} {
		m := httpModule(t, "proxy_url: 'http://"+probetest.ClosedPort(t).String()+"'\nno_proxy: "+noProxy)
		m.Prober.(*prober).policy.Server = server
		probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: target}))
	}
}

func TestProxyPorts(t *testing.T) {
	for text, want := range map[string]uint16{
		"http://p": 80, "https://p": 443, "socks5://p": 1080, "socks5h://p": 1080, "socks5://p:9050": 9050, "http://[::1]:3128": 3128,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := proxyPort(u); got != want {
			t.Errorf("%s: port %d, want %d", text, got, want)
		}
	}
}

// serveSOCKS is a SOCKS5 server (RFC 1928, RFC 1929) for one client with a password and an IPv4 destination.
func serveSOCKS(c net.Conn, asked chan<- string) {
	b := make([]byte, 512)
	read := func(n int) []byte { io.ReadFull(c, b[:n]); return b[:n] }
	read(int(read(2)[1])) // the methods
	c.Write([]byte{5, 2})
	user := string(read(int(read(2)[1])))
	password := string(read(int(read(1)[0])))
	c.Write([]byte{1, 0})
	read(4)
	ip := net.IP(read(4)).String()
	dest := net.JoinHostPort(ip, strconv.Itoa(int(binary.BigEndian.Uint16(read(2)))))
	there, err := net.Dial("tcp", dest)
	if err != nil {
		return
	}
	asked <- user + ":" + password + " " + dest
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	join(c, c, there)
}

func TestEnvironmentsProxyIsJudgedAtLoad(t *testing.T) {
	t.Setenv("https_proxy", "gopher://me:canary@proxy.example")
	_, err := compileHTTP("proxy_from_environment: true")
	if err == nil || !strings.Contains(err.Error(), "proxy_from_environment: the environment's proxy for https cannot be used") || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

// rawServer speaks whatever speak writes, to every connection; it returns its address.
func rawServer(t testing.TB, speak func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute)) // a test must not hang on a bug; no probe waits that long
				speak(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func TestGuardIsExplainedForProbesThroughAProxy(t *testing.T) {
	for _, c := range []struct{ name, options, target, want string }{
		{"an address", "", "http://127.0.0.1:8080/", `127.0.0.1:8080 is denied by guard, deny: "127.0.0.0/8" (through the proxy http://proxy.example:3128)`},
		{"a name that rollcall looks up", "", "http://localhost:8080/", `127.0.0.1:8080 ("localhost") is denied by guard, deny: "127.0.0.0/8" (through the proxy http://proxy.example:3128)`},
		{"a name that the proxy looks up", "skip_resolve_phase_with_proxy: true", "https://nowhere.example/",
			`"nowhere.example" at port 443 is allowed: no entry denies it, and all else is allowed (through the proxy http://proxy.example:3128, which looks the name up: the guard judges no address)`},
		{"an address, where the proxy looks names up", "skip_resolve_phase_with_proxy: true", "https://127.0.0.1/",
			`127.0.0.1:443 is denied by guard, deny: "127.0.0.0/8" (through the proxy http://proxy.example:3128)`},
		{"a denied name that the proxy looks up", "skip_resolve_phase_with_proxy: true", "https://secret.example/",
			`"secret.example" at port 443 is denied by guard, deny: "*.example:443" (through the proxy http://proxy.example:3128, which looks the name up: the guard judges no address)`},
		{"a name without the proxy", "no_proxy: localhost", "http://localhost:8080/", `127.0.0.1:8080 ("localhost") is denied by guard, deny: "127.0.0.0/8"`},
		{"an address without the proxy", "no_proxy: 127.0.0.0/8", "http://localhost:8080/", `127.0.0.1:8080 ("localhost") is denied by guard, deny: "127.0.0.0/8"`},
	} {
		m := httpModule(t, "proxy_url: 'http://me:canary@proxy.example:3128'\n"+c.options)
		deny := []string{"127.0.0.0/8"}
		if strings.Contains(c.want, "*.example") {
			deny = append(deny, "*.example:443")
		}
		m.Guard = denying(t, deny...)
		verdicts, err := guard.Explain(t.Context(), m, c.target)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, v := range verdicts {
			if got := v.String(); v.Addr.Addr() != netip.IPv6Loopback() && got != c.want {
				t.Errorf("%s: got %s, want %s", c.name, got, c.want)
			}
		}
	}
}

// denying is a guard that refuses what one of the entries matches.
func denying(t testing.TB, entries ...string) probe.Guard {
	t.Helper()
	g, err := guard.Options{Deny: entries}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

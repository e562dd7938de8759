//go:build unix

package unixprobe

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/probetest"
	"rollcall/probe/tcpprobe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func module(t testing.TB, entries ...tcpprobe.QueryResponse) *probe.Module {
	t.Helper()
	o := new(Options)
	o.SetDefaults()
	o.QueryResponse = entries
	return compile(t, o)
}

func compile(t testing.TB, o *Options) *probe.Module {
	t.Helper()
	p, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return &probe.Module{Name: "test", Kind: "unix", Prober: p}
}

// directory is a short one: a socket's path has little room.
func directory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "unix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// listen serves each connection to a socket with serve until the test ends.
func listen(t testing.TB, path string, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	probetest.Serve(t, l, serve)
	return path
}

func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		c.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, c)
	}
}

func guarded(t *testing.T, m *probe.Module, o guard.Options) *probe.Module {
	t.Helper()
	g, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	m.Guard = g
	return m
}

func TestConnects(t *testing.T) {
	path := listen(t, filepath.Join(directory(t), "s"), says(""))
	t.Chdir(filepath.Dir(path))
	for _, target := range []string{path, "unix://" + path, "s", "./s"} {
		r := probetest.Ask(t, module(t), probe.Request{Target: target})
		probetest.WantUp(t, r)
		if r.TCP == nil || r.Resolve != nil || r.TLS != nil || r.Phases.Connect <= 0 {
			t.Errorf("%s: got %+v", target, r)
		}
	}
}

func TestHoldsAConversation(t *testing.T) {
	ping := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			b := make([]byte, 64)
			if n, _ := c.Read(b); string(b[:n]) == "PING\n" {
				io.WriteString(c, answer)
			}
		}
	}
	pong := tcpprobe.QueryResponse{Expect: probetest.MustRegexp("^PONG (.+)$"), Labels: []tcpprobe.ExpectLabel{{Name: "version", Value: "${1}"}}}
	m := module(t, tcpprobe.QueryResponse{Send: "PING"}, pong)
	up := probetest.Ask(t, m, probe.Request{Target: listen(t, filepath.Join(directory(t), "s"), ping("PONG 7\r\n"))})
	probetest.WantUp(t, up)
	if got := up.TCP.Expects; len(got) != 1 || got[0][0] != (probe.Label{Name: "version", Value: "7"}) {
		t.Errorf("labels %v", got)
	}
	down := probetest.Ask(t, m, probe.Request{Target: listen(t, filepath.Join(directory(t), "s"), ping("ERR\r\n"))})
	probetest.WantDown(t, down, probe.StageConversation, probe.ReasonNoMatch)
	if !down.TCP.FailedRegexp {
		t.Error("the regexp decided")
	}
}

func TestSocketsThatAreNotThere(t *testing.T) {
	dir := directory(t)
	closed := filepath.Join(dir, "closed")
	l, err := net.Listen("unix", closed)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	packets, err := net.ListenPacket("unixgram", filepath.Join(dir, "datagram"))
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	probetest.WriteFile(t, filepath.Join(dir, "file"), "")
	for _, link := range [][2]string{{"nowhere", "dangling"}, {"loop", "loop"}} {
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	for name, reason := range map[string]probe.Reason{
		"missing": probe.ReasonConnectionRefused, "missing/s": probe.ReasonConnectionRefused, "file/s": probe.ReasonConnectionRefused,
		"closed": probe.ReasonConnectionRefused, "datagram": probe.ReasonConnectionRefused, "file": probe.ReasonConnectionRefused,
		"dangling": probe.ReasonConnectionRefused, "loop": probe.ReasonNetworkError,
	} {
		t.Run(name, func(t *testing.T) {
			r := probetest.Ask(t, module(t), probe.Request{Target: filepath.Join(dir, name)})
			probetest.WantDown(t, r, probe.StageConnect, reason)
			if r.TCP != nil {
				t.Error("facts of a connection that there was not")
			}
		})
	}
}

func TestTargetsThatCannotBe(t *testing.T) {
	m := module(t)
	for _, target := range []string{"", "@", "unix://", "tcp://localhost:1", "/run/a\x00b", "/" + strings.Repeat("a", 108)} {
		_, err := m.Prober.Probe(t.Context(), probe.Request{Target: target})
		var bad *probe.TargetError
		// A name that is too long for a file system leads nowhere before it is too long for a socket.
		if !errors.As(err, &bad) && len(target) < 100 {
			t.Errorf("%.20q: got %v, want a TargetError", target, err)
		}
	}
	dir := directory(t)
	long := filepath.Join(dir, strings.Repeat("a", 110))
	probetest.WriteFile(t, long, "")
	_, err := m.Prober.Probe(t.Context(), probe.Request{Target: long})
	var bad *probe.TargetError
	if !errors.As(err, &bad) {
		t.Errorf("a path of %d bytes: got %v, want a TargetError", len(long), err)
	}
}

// TestGuardJudgesTheSocketThatIsOpened: links and dots in the target change nothing.
func TestGuardJudgesTheSocketThatIsOpened(t *testing.T) {
	dir := directory(t)
	for _, sub := range []string{"open", "closed"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		listen(t, filepath.Join(dir, sub, "s"), says(""))
	}
	for _, link := range [][2]string{{"../closed/s", "open/link"}, {"../open", "closed/in"}, {"open", "alias"}} {
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	allowing := guarded(t, module(t), guard.Options{Allow: []string{"10.0.0.0/8", "unix:" + dir + "/open/*"}})
	denying := guarded(t, module(t), guard.Options{Deny: []string{"unix:" + dir + "/closed/"}})
	hostsOnly := guarded(t, module(t), guard.Options{Allow: []string{"10.0.0.0/8"}})
	for target, allowed := range map[string]bool{
		"open/s": true, "open/../open/s": true, "closed/in/s": true, "alias/s": true,
		"closed/s": false, "open/link": false, "open/../closed/s": false,
	} {
		for name, m := range map[string]*probe.Module{"allow": allowing, "deny": denying} {
			_, err := m.Prober.Probe(t.Context(), probe.Request{Target: filepath.Join(dir, "/") + "/" + target, Guard: m.Guard})
			if probe.Is[*probe.DeniedError](err) == allowed || allowed && err != nil {
				t.Errorf("%s by %s: got %v, want it allowed: %t", target, name, err, allowed)
			}
			if err := guard.Check(m, dir+"/"+target); (err == nil) != allowed {
				t.Errorf("%s by %s before probing: %v", target, name, err)
			}
		}
		if _, err := hostsOnly.Prober.Probe(t.Context(), probe.Request{Target: dir + "/" + target, Guard: hostsOnly.Guard}); !probe.Is[*probe.DeniedError](err) {
			t.Errorf("%s: an allow list without it lets it through: %v", target, err)
		}
	}
	// A socket that is gone is down, and one that the guard denies stays denied, whether or not it is there.
	gone := probetest.Ask(t, allowing, probe.Request{Target: dir + "/alias/gone"})
	probetest.WantDown(t, gone, probe.StageConnect, probe.ReasonConnectionRefused)
	if _, err := denying.Prober.Probe(t.Context(), probe.Request{Target: dir + "/closed/gone", Guard: denying.Guard}); !probe.Is[*probe.DeniedError](err) {
		t.Errorf("a denied socket that is gone: %v", err)
	}
}

func TestTLSNeedsAName(t *testing.T) {
	ca := probetest.NewAuthority(t)
	path := listen(t, filepath.Join(directory(t), "s"), probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, probetest.Drain))
	o := new(Options)
	o.TLS, o.TLSConfig.CA = true, ca.PEM
	r := probetest.Ask(t, compile(t, o), probe.Request{Target: path})
	probetest.WantDown(t, r, probe.StageTLS, probe.ReasonCertificateName)
	if r.TLS == nil || r.TLS.Leaf.Subject == "" {
		t.Error("the refused certificate is not shown")
	}
	probetest.WantUp(t, probetest.Ask(t, compile(t, o), probe.Request{Target: path, Hostname: "localhost"}))
	o.TLSConfig.ServerName = "localhost"
	probetest.WantUp(t, probetest.Ask(t, compile(t, o), probe.Request{Target: path}))
}

func TestServerThatTakesNoLargeClientHello(t *testing.T) {
	ca := probetest.NewAuthority(t)
	serve := probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, probetest.Drain)
	path := listen(t, filepath.Join(directory(t), "s"), probetest.ShortHello(serve, probetest.RefuseHello["an alert"]))
	o := new(Options)
	o.TLS, o.TLSConfig.CA, o.TLSConfig.ServerName = true, ca.PEM, "localhost"
	o.QueryResponse = []tcpprobe.QueryResponse{{Send: "secret"}}
	probetest.WantUp(t, probetest.Ask(t, compile(t, o), probe.Request{Target: path}))
}

// crowded is a socket whose queue is full. accept makes room.
func crowded(t *testing.T) (path string, accept func()) {
	t.Helper()
	path = filepath.Join(directory(t), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 64 {
		c, err := (&net.Dialer{Timeout: probetest.Soon}).Dial("unix", path)
		if err != nil {
			return path, func() {
				if accepted, _, err := syscall.Accept(fd); err == nil {
					t.Cleanup(func() { syscall.Close(accepted) })
				}
			}
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue does not fill")
	return "", nil
}

func TestServerWhoseQueueIsFull(t *testing.T) {
	path, accept := crowded(t)
	r := probetest.Ask(t, module(t), probe.Request{Target: path, Timeout: probetest.Soon})
	probetest.WantDown(t, r, probe.StageConnect, probe.ReasonTimeout)
	time.AfterFunc(probetest.Soon, accept)
	probetest.WantUp(t, probetest.Ask(t, module(t), probe.Request{Target: path}))
}

func TestHostilePeers(t *testing.T) {
	flood := func(chunk string) func(net.Conn) {
		return func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, chunk); err != nil {
					return
				}
			}
		}
	}
	never := tcpprobe.QueryResponse{Expect: probetest.MustRegexp("^never$")}
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		entries []tcpprobe.QueryResponse
		timeout time.Duration
		reason  probe.Reason
	}{
		"silence":       {serve: func(c net.Conn) { io.Copy(io.Discard, c) }, entries: []tcpprobe.QueryResponse{never}, timeout: probetest.Soon, reason: probe.ReasonTimeout},
		"no more lines": {serve: says("a\nb\n"), entries: []tcpprobe.QueryResponse{never}, reason: probe.ReasonNoMatch},
		"endless lines": {serve: flood(strings.Repeat("no\n", 1000)), entries: []tcpprobe.QueryResponse{never}, reason: probe.ReasonConversationTooLong},
		"endless line":  {serve: flood(strings.Repeat("x", 4096)), entries: []tcpprobe.QueryResponse{never}, reason: probe.ReasonLineTooLong},
		"never reads": {
			serve:   func(net.Conn) { <-t.Context().Done() },
			entries: []tcpprobe.QueryResponse{{Send: strings.Repeat("x", 8<<20)}}, timeout: probetest.Soon, reason: probe.ReasonTimeout,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := listen(t, filepath.Join(directory(t), "s"), c.serve)
			r := probetest.Ask(t, module(t, c.entries...), probe.Request{Target: path, Timeout: c.timeout})
			probetest.WantDown(t, r, probe.StageConversation, c.reason)
		})
	}
}

package icmpprobe

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"rollcall/e2e/zoo"
	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/probetest"
)

func module(t testing.TB, options string) *probe.Module {
	t.Helper()
	o := new(Options)
	o.SetDefaults()
	if err := yaml.Unmarshal([]byte(options), o); err != nil {
		t.Fatal(err)
	}
	p, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return &probe.Module{Name: "test", Kind: "icmp", Prober: p}
}

// withEachSocket runs test with each kind of socket.
func withEachSocket(t *testing.T, test func(t *testing.T)) {
	for _, kind := range []string{"a raw socket", "a ping socket"} {
		if kind == "a ping socket" {
			zoo.AllowPingSockets(t)
		}
		t.Run(kind, func(t *testing.T) {
			trace := new(probe.Trace)
			probetest.WantUp(t, probetest.Ask(t, module(t, ""), probe.Request{Target: "127.0.0.1", Trace: trace}))
			if steps := trace.Steps(); len(steps) != 1 || !strings.HasSuffix(steps[0].Text, kind) {
				t.Fatalf("steps %v, want %s", steps, kind)
			}
			test(t)
		})
	}
}

func TestOwnAddressesAreUp(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	zoo.Network(t, func([]byte) [][]byte { return nil })
	withEachSocket(t, func(t *testing.T) {
		for _, target := range []string{"127.0.0.1", "127.0.0.77", "::1", "[::1]", "localhost", "127.1", "2130706433", "::ffff:127.0.0.1", zoo.Here4.String(), zoo.Here6.String()} {
			r := probetest.Ask(t, module(t, ""), probe.Request{Target: target})
			probetest.WantUp(t, r)
			if r.ICMP == nil || r.ICMP.HopLimit != 64 || r.Phases.Connect <= 0 || r.Phases.Processing <= 0 || r.Resolve == nil {
				t.Errorf("%s: %+v, facts %+v", target, r, r.ICMP)
			}
		}
	})
}

func TestRequestFollowsOptions(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	seen := make(chan zoo.Packet, 100)
	zoo.Network(t, func(b []byte) [][]byte {
		p, ok := zoo.ParsePacket(b)
		if !ok || !p.IsPing() {
			return nil
		}
		seen <- p
		return [][]byte{p.Reply().Bytes()}
	})
	withEachSocket(t, func(t *testing.T) {
		for _, c := range []struct {
			options string
			want    zoo.Packet
			payload int
		}{
			{options: "", payload: 28, want: zoo.Packet{TTL: 64, DF: true}},
			{options: "ttl: 5", payload: 28, want: zoo.Packet{TTL: 5, DF: true}},
			{options: "ttl: 255", payload: 28, want: zoo.Packet{TTL: 255, DF: true}},
			{options: "payload_size: 1", payload: 1, want: zoo.Packet{TTL: 64, DF: true}},
			{options: "payload_size: 1000", payload: 1000, want: zoo.Packet{TTL: 64}},
			{options: "{payload_size: 1000, dont_fragment: true}", payload: 1000, want: zoo.Packet{TTL: 64, DF: true}},
			{options: "{payload_size: 1472, dont_fragment: true}", payload: 1472, want: zoo.Packet{TTL: 64, DF: true}},
		} {
			for _, to := range []netip.Addr{zoo.Here4.Next(), zoo.Here6.Next()} {
				r := probetest.Ask(t, module(t, c.options), probe.Request{Target: to.String()})
				if to.Is6() && c.payload == 1472 { // the header is larger by 20 bytes
					probetest.WantDown(t, r, probe.StageRequest, probe.ReasonPacketTooBig)
					continue
				}
				probetest.WantUp(t, r)
				got := <-seen
				if to.Is6() {
					got.DF = c.want.DF // has none
				}
				if got.TTL != c.want.TTL || got.DF != c.want.DF || len(got.Message) != 8+c.payload || got.From != here(to) {
					t.Errorf("%s: TTL %d, DF %t, %d bytes from %s", c.options, got.TTL, got.DF, len(got.Message), got.From)
				}
				if r.ICMP.HopLimit != 57 {
					t.Errorf("the reply's hop limit is %d", r.ICMP.HopLimit)
				}
			}
		}
		for source, target := range map[string]string{"127.0.0.9": "127.0.0.1", zoo.Here4.String(): "127.0.0.1", "::1": zoo.Here6.String()} {
			probetest.WantUp(t, probetest.Ask(t, module(t, "source_ip_address: \""+source+"\""), probe.Request{Target: target}))
		}
	})
}

func here(to netip.Addr) netip.Addr {
	if to.Is4() {
		return zoo.Here4
	}
	return zoo.Here6
}

// forgedReplies are packets that must not count as the reply to p.
func forgedReplies(p zoo.Packet) map[string]zoo.Packet {
	edit := func(change func(r *zoo.Packet)) zoo.Packet {
		r := p.Reply()
		change(&r)
		return r
	}
	return map[string]zoo.Packet{
		"another source":     edit(func(r *zoo.Packet) { r.From = r.From.Next() }),
		"another identifier": edit(func(r *zoo.Packet) { r.Message[5]++ }),
		"another sequence":   edit(func(r *zoo.Packet) { r.Message[7]++ }),
		"another nonce":      edit(func(r *zoo.Packet) { r.Message[8]++ }),
		"another filling":    edit(func(r *zoo.Packet) { r.Message[len(r.Message)-1]++ }),
		"a shorter one":      edit(func(r *zoo.Packet) { r.Message = r.Message[:len(r.Message)-1] }),
		"a longer one":       edit(func(r *zoo.Packet) { r.Message = append(r.Message, 0) }),
		"only a header":      edit(func(r *zoo.Packet) { r.Message = r.Message[:8] }),
		"a request":          edit(func(r *zoo.Packet) { r.Message[0] = p.Message[0] }),
		"another code":       edit(func(r *zoo.Packet) { r.Message[1] = 1 }),
	}
}

func TestForgedRepliesAreIgnored(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	var (
		mu      sync.Mutex
		forgery string
		after   bool // the true reply follows, twice
	)
	zoo.Network(t, func(b []byte) [][]byte {
		p, ok := zoo.ParsePacket(b)
		if !ok || !p.IsPing() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		packets := [][]byte{forgedReplies(p)[forgery].Bytes()}
		if after {
			packets = append(packets, p.Reply().Bytes(), p.Reply().Bytes())
		}
		return packets
	})
	withEachSocket(t, func(t *testing.T) {
		for _, to := range []netip.Addr{zoo.Here4.Next(), zoo.Here6.Next()} {
			for name := range forgedReplies(zoo.Packet{From: to, To: to, Message: make([]byte, 36)}) {
				for _, follows := range []bool{false, true} {
					mu.Lock()
					forgery, after = name, follows
					mu.Unlock()
					limit := probetest.Soon
					if follows {
						limit = probetest.Enough
					}
					r := probetest.Ask(t, module(t, ""), probe.Request{Target: to.String(), Timeout: limit})
					if follows != r.Up() {
						t.Errorf("%s, %s, followed by the reply %t: up %t, %v", to, name, follows, r.Up(), r.Failure)
					} else if !follows {
						probetest.WantDown(t, r, probe.StageResponse, probe.ReasonTimeout)
					}
				}
			}
		}
	})
}

func TestLateReplyIsIgnored(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	var late []byte
	zoo.Network(t, func(b []byte) [][]byte {
		p, ok := zoo.ParsePacket(b)
		if !ok || !p.IsPing() {
			return nil
		}
		arrives := [][]byte{late}
		if late == nil {
			arrives = nil
		}
		late = p.Reply().Bytes()
		return arrives
	})
	withEachSocket(t, func(t *testing.T) {
		for range 3 {
			r := probetest.Ask(t, module(t, ""), probe.Request{Target: zoo.Here4.Next().String(), Timeout: probetest.Soon})
			probetest.WantDown(t, r, probe.StageResponse, probe.ReasonTimeout)
		}
	})
}

func TestNoRouteIsAnExporterError(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	withEachSocket(t, func(t *testing.T) {
		for _, target := range []string{"203.0.113.5", "169.254.7.7", "2001:db8:9::5"} {
			_, err := new(probe.Runner).Do(t.Context(), module(t, ""), probe.Request{Target: target})
			probetest.WantExporterError(t, err, probe.FaultRoute)
		}
		probetest.WantDown(t, probetest.Ask(t, module(t, ""), probe.Request{Target: "fe80::1%nowhere"}), probe.StageConnect, probe.ReasonNetworkUnreachable)
	})
}

func TestSocketErrorsAreExporterErrors(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	probeWith := func(options string) error {
		_, err := new(probe.Runner).Do(t.Context(), module(t, options), probe.Request{Target: "127.0.0.1", Timeout: probetest.Enough})
		return err
	}
	withoutCapabilities(t, func() {
		err := probeWith("")
		probetest.WantExporterError(t, err, probe.FaultPermission)
		for _, hint := range []string{"net.ipv4.ping_group_range", "CAP_NET_RAW"} {
			if !strings.Contains(err.Error(), hint) {
				t.Errorf("%q does not name %s", err, hint)
			}
		}
	})
	withEachSocket(t, func(t *testing.T) {
		for source, target := range map[string]string{"203.0.113.77": "127.0.0.1", "fe80::1%nowhere": "::1"} {
			m := module(t, "")
			m.Prober.(*prober).source = netip.MustParseAddr(source) // as if the machine had lost the address since it loaded the module
			_, err := new(probe.Runner).Do(t.Context(), m, probe.Request{Target: target, Timeout: probetest.Enough})
			probetest.WantExporterError(t, err, probe.FaultSourceAddress)
		}
		probetest.WithoutDescriptors(t, func() { probetest.WantExporterError(t, probeWith(""), probe.FaultDescriptors) })
	})
	withoutCapabilities(t, func() {
		if err := probeWith(""); err != nil {
			t.Errorf("with a ping socket no capability is needed: %v", err)
		}
	})
}

// withoutCapabilities calls f on a thread that has none.
func withoutCapabilities(t *testing.T, f func()) {
	t.Helper()
	var thread sync.WaitGroup
	thread.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
			return
		}
		f()
	})
	thread.Wait()
}

func TestSendErrors(t *testing.T) {
	s := &pingSocket{addr: netip.MustParseAddr("192.0.2.2")}
	for errno, fault := range map[syscall.Errno]probe.Fault{
		unix.ENOBUFS: probe.FaultMemory, unix.EAGAIN: probe.FaultMemory, unix.ENOMEM: probe.FaultMemory, unix.EPERM: probe.FaultPermission,
	} {
		probetest.WantExporterError(t, s.classifySend(t.Context(), errno), fault)
	}
	probetest.WantFailure(t, s.classifySend(t.Context(), unix.EMSGSIZE), probe.StageRequest, probe.ReasonPacketTooBig)
	probetest.WantFailure(t, s.classifySend(t.Context(), unix.EHOSTUNREACH), probe.StageRequest, probe.ReasonHostUnreachable)
}

func TestGuardJudgesThePingedAddress(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	g, err := guard.Options{Deny: []string{"127.0.0.0/8", "::1", "192.0.2.0/24:80"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	m := module(t, "preferred_ip_protocol: ip4")
	m.Guard = g
	for _, target := range []string{"127.0.0.1", "::1", "[::1]", "0x7f.1", "::ffff:127.0.0.1", "localhost"} {
		_, err := new(probe.Runner).Do(t.Context(), m, probe.Request{Target: target, Timeout: probetest.Enough})
		if denied := (*probe.DeniedError)(nil); !errors.As(err, &denied) || strings.Contains(err.Error(), ":0 ") {
			t.Errorf("%s: got %v, want a DeniedError without a port", target, err)
		}
	}
	verdicts, err := guard.Explain(t.Context(), m, "127.0.0.9")
	if err != nil || len(verdicts) != 1 || verdicts[0].String() != `127.0.0.9 is denied by guard, deny: "127.0.0.0/8"` {
		t.Errorf("Explain = %v, %v", verdicts, err)
	}
	if err := guard.Check(m, "127.0.0.1:80"); err == nil {
		t.Error("a target with a port passes")
	}
	if denied := (*probe.DeniedError)(nil); !errors.As(guard.Check(m, "::1"), &denied) {
		t.Error("a denied target passes")
	}
	_, err = new(probe.Runner).Do(t.Context(), m, probe.Request{Target: "192.0.2.1"})
	probetest.WantExporterError(t, err, probe.FaultRoute) // there is none, and an entry with a port is not about pings
}

func TestTargetsThatCannotReplyAreRefused(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	zoo.Network(t, func([]byte) [][]byte { return nil })
	withEachSocket(t, func(t *testing.T) {
		for _, target := range []string{
			"", "0.0.0.0", "::", "[::]", "0", "::ffff:0.0.0.0", "224.0.0.1", "::ffff:224.0.0.1", "ff02::1", "ff02::1%lo", "255.255.255.255", "127.255.255.255", "192.0.2.255", "example.com:80", "[::1]:80", "[127.0.0.1]", "icmp://127.0.0.1",
			"http://example.com/", "user:password@host", "host/path", "a b", "a\x00b", "::1::", "127.0.0.1%lo",
		} {
			_, err := new(probe.Runner).Do(t.Context(), module(t, ""), probe.Request{Target: target, Timeout: probetest.Enough})
			if refused := (*probe.TargetError)(nil); !errors.As(err, &refused) || strings.Contains(err.Error(), "password") {
				t.Errorf("%q: got %v, want a TargetError without the target", target, err)
			}
		}
	})
}

func TestProbeEndsAtTheDeadline(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	flood := make(chan bool, 1)
	zoo.Network(t, func(b []byte) [][]byte {
		p, ok := zoo.ParsePacket(b)
		if !ok || !p.IsPing() {
			return nil
		}
		var packets [][]byte
		select {
		case <-flood:
			other := p.Reply()
			other.Message[8]++
			for range 20_000 {
				packets = append(packets, other.Bytes())
			}
		default:
		}
		return packets
	})
	m := module(t, "")
	withEachSocket(t, func(t *testing.T) {
		for _, floods := range []bool{false, true} {
			if floods {
				flood <- true
			}
			start := time.Now()
			probetest.WantDown(t, probetest.Ask(t, m, probe.Request{Target: "203.0.113.5", Timeout: probetest.Soon}), probe.StageResponse, probe.ReasonTimeout)
			if took := time.Since(start); took < probetest.Soon || took > probetest.Soon+10*time.Second {
				t.Errorf("flooded %t: it ended after %v", floods, took)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(20*time.Millisecond, cancel).Stop()
		if _, err := new(probe.Runner).Do(ctx, m, probe.Request{Target: "203.0.113.5", Timeout: time.Minute}); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller canceled: %v", err)
		}
	})
}

func TestOptionsAreCheckedAtLoad(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{PayloadSize: -1}, "payload_size: -1 is out of range; accepted: 1 to 65507 bytes, and 0 for the default of 28"},
		{Options{PayloadSize: 65508}, "payload_size: 65508 is out of range; accepted: 1 to 65507 bytes, and 0 for the default of 28"},
		{Options{TTL: -1}, "ttl: -1 is out of range; accepted: 1 to 255, and 0 for the system's default"},
		{Options{TTL: 256, SourceIPAddress: "localhost"}, "source_ip_address: \"localhost\" is not an IP address\nttl: 256 is out of range; accepted: 1 to 255, and 0 for the system's default"},
		{Options{SourceIPAddress: "::1", IPProtocol: "ip4"}, "source_ip_address: ::1 reaches no ip4 address, and preferred_ip_protocol without ip_protocol_fallback allows no other"},
	} {
		_, err := c.options.Compile()
		if err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v, want %s", c.options, err, c.want)
		}
	}
}

func BenchmarkProbe(b *testing.B) {
	m := module(b, "")
	b.ReportAllocs()
	for b.Loop() {
		probetest.WantUp(b, probetest.Ask(b, m, probe.Request{Target: "127.0.0.1"}))
	}
}

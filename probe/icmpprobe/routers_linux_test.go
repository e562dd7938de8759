package icmpprobe

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"rollcall/e2e/zoo"
	"rollcall/probe"
	"rollcall/probe/probetest"
)

// icmpErrors are the ICMP errors that end a ping, by family.
var icmpErrors = []struct {
	ip6        bool
	kind, code byte
	reason     probe.Reason
	says       string
}{
	{false, 3, 0, probe.ReasonNetworkUnreachable, "network unreachable"},
	{false, 3, 1, probe.ReasonHostUnreachable, "host unreachable"},
	{false, 3, 2, probe.ReasonConnectionRefused, "protocol unreachable"},
	{false, 3, 3, probe.ReasonConnectionRefused, "port unreachable"},
	{false, 3, 9, probe.ReasonNetworkUnreachable, "network administratively prohibited"},
	{false, 3, 13, probe.ReasonHostUnreachable, "administratively prohibited"},
	{false, 11, 0, probe.ReasonTTLExceeded, "time to live exceeded in transit"},
	{false, 12, 0, probe.ReasonNetworkError, "parameter problem"},
	{true, 1, 0, probe.ReasonNetworkUnreachable, "no route to destination"},
	{true, 1, 1, probe.ReasonHostUnreachable, "administratively prohibited"},
	{true, 1, 3, probe.ReasonHostUnreachable, "address unreachable"},
	{true, 1, 4, probe.ReasonConnectionRefused, "port unreachable"},
	{true, 1, 5, probe.ReasonHostUnreachable, "source address failed a policy"},
	{true, 1, 6, probe.ReasonNetworkUnreachable, "reject route to destination"},
	{true, 3, 0, probe.ReasonTTLExceeded, "time to live exceeded in transit"},
	{true, 3, 1, probe.ReasonNetworkError, "fragment reassembly time exceeded"},
	{true, 4, 1, probe.ReasonNetworkError, "parameter problem"},
}

func TestICMPErrorsThatQuoteTheRequestEndTheProbe(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	var (
		mu         sync.Mutex
		kind, code byte
		spoil      func(p *zoo.Packet) // what is quoted; the reply follows. nil: nothing does
		quoted     int
	)
	router := map[bool]netip.Addr{false: netip.MustParseAddr("198.51.100.254"), true: netip.MustParseAddr("2001:db8:7::fe")}
	zoo.Network(t, func(b []byte) [][]byte {
		p, ok := zoo.ParsePacket(b)
		if !ok || !p.IsPing() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		reply := p.Reply()
		if spoil == nil {
			return [][]byte{p.Error(router[p.From.Is6()], kind, code, 0, quoted).Bytes()}
		}
		spoil(&p)
		return [][]byte{p.Error(router[p.From.Is6()], kind, code, 0, quoted).Bytes(), reply.Bytes()}
	})
	target := map[bool]string{false: "203.0.113.5", true: "2001:db8:9::5"}
	say := func(k, c byte, n int, s func(p *zoo.Packet)) {
		mu.Lock()
		defer mu.Unlock()
		kind, code, quoted, spoil = k, c, n, s
	}
	withEachSocket(t, func(t *testing.T) {
		for _, c := range icmpErrors {
			for _, quoted := range []int{8, 1000} {
				say(c.kind, c.code, quoted, nil)
				r := probetest.Ask(t, module(t, ""), probe.Request{Target: target[c.ip6]})
				probetest.WantDown(t, r, probe.StageResponse, c.reason)
				want := fmt.Sprintf("waiting for the reply of %s: pinging %[1]s: %s reports: %s", target[c.ip6], router[c.ip6], c.says)
				if got := r.Failure.Err.Error(); !strings.HasSuffix(want, got) {
					t.Errorf("the cause is %q, want the end of %q", got, want)
				}
			}
			for name, change := range map[string]func(p *zoo.Packet){
				"another sequence":    func(p *zoo.Packet) { p.Message[7]++ },
				"another identifier":  func(p *zoo.Packet) { p.Message[5]++ },
				"another destination": func(p *zoo.Packet) { p.To = p.To.Next() },
				"another nonce":       func(p *zoo.Packet) { p.Message[3]++ }, // which the checksum is over
				"a reply":             func(p *zoo.Packet) { p.Message[0]++ },
			} {
				say(c.kind, c.code, 8, change)
				if r := probetest.Ask(t, module(t, ""), probe.Request{Target: target[c.ip6]}); !r.Up() {
					t.Errorf("an error with %s ended the ping: %v", name, r.Failure)
				}
			}
		}
		say(4, 0, 8, func(*zoo.Packet) {}) // source quench: advice
		probetest.WantUp(t, probetest.Ask(t, module(t, ""), probe.Request{Target: target[false]}))
	})
}

func TestPacketSizes(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	router := map[bool]netip.Addr{false: netip.MustParseAddr("198.51.100.254"), true: netip.MustParseAddr("2001:db8:7::fe")}
	narrow := 1300
	var whole []byte // of what comes in fragments
	zoo.Network(t, func(b []byte) [][]byte {
		p, ok := zoo.ParsePacket(b)
		switch {
		case !ok:
			return nil
		case p.Fragment:
			whole = append(whole[:min(p.Offset, len(whole))], p.Message...)
			if p.Message = whole; len(whole) < 8+1400 || !p.IsPing() {
				return nil
			}
			reply := p.Reply()
			reply.Message = append([]byte(nil), reply.Message...)
			return [][]byte{reply.Bytes()}
		case !p.IsPing():
			return nil
		case len(b) > narrow && p.From.Is6():
			return [][]byte{p.Error(router[true], 2, 0, uint16(narrow), 1000).Bytes()}
		case len(b) > narrow && p.DF:
			return [][]byte{p.Error(router[false], 3, 4, uint16(narrow), 8).Bytes()}
		}
		return [][]byte{p.Reply().Bytes()}
	})
	withEachSocket(t, func(t *testing.T) {
		for i, target := range []string{"203.0.113.", "2001:db8:9::"} {
			host := target + map[bool]string{true: "5", false: "6"}[strings.Contains(t.Name(), "raw")] // the kernel keeps what it learns of a way
			r := probetest.Ask(t, module(t, "{payload_size: 1400, dont_fragment: true}"), probe.Request{Target: host})
			probetest.WantDown(t, r, probe.StageResponse, probe.ReasonPacketTooBig)
			probetest.WantDown(t, probetest.Ask(t, module(t, "{payload_size: 1400, dont_fragment: true}"), probe.Request{Target: host}), probe.StageResponse, probe.ReasonPacketTooBig)
			probetest.WantUp(t, probetest.Ask(t, module(t, "{payload_size: 1200, dont_fragment: true}"), probe.Request{Target: host}))
			probetest.WantUp(t, probetest.Ask(t, module(t, "payload_size: 1400"), probe.Request{Target: host}))
			probetest.WantDown(t, probetest.Ask(t, module(t, "{payload_size: 2000, dont_fragment: true}"), probe.Request{Target: host}), probe.StageRequest, probe.ReasonPacketTooBig)
			if i == 1 { // the first packet to another host goes out whole, and is refused; then come fragments
				probetest.WantUp(t, probetest.Ask(t, module(t, "payload_size: 1400"), probe.Request{Target: host + "7"}))
			}
		}
		for _, target := range []string{"127.0.0.1", "::1"} {
			probetest.WantUp(t, probetest.Ask(t, module(t, fmt.Sprintf("payload_size: %d", maxPayload)), probe.Request{Target: target}))
		}
	})
}

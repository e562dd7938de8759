//go:build linux

package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"rollcall/collector"
	"rollcall/config"
	"rollcall/e2e/zoo"
	"rollcall/probe"
)

var (
	router4 = netip.MustParseAddr("192.0.2.254")
	router6 = netip.MustParseAddr("2001:db8::fe")
)

const narrow, hops = 1300, 7

// answerPing returns the answers of the hosts in the test network.
func answerPing(b []byte) [][]byte {
	p, ok := zoo.ParsePacket(b)
	if !ok || p.Fragment || !p.IsPing() {
		return nil
	}
	answer := p.Reply()
	switch p.To.String() {
	case nobodyHome:
		return nil
	case hostUnreachable:
		answer = p.Error(router4, 3, 1, 0, 8)
	case netUnreachable:
		answer = p.Error(router4, 3, 0, 0, 8)
	case refusesPings:
		answer = p.Error(p.To, 3, 3, 0, 8)
	case complaining:
		answer = p.Error(router4, 12, 0, 0, 8)
	case noRoute6:
		answer = p.Error(router6, 1, 0, 0, 8)
	case behindNarrow:
		if p.DF && len(b) > narrow {
			answer = p.Error(router4, 3, 4, narrow, 8)
		}
	case behindNarrow6:
		if len(b) > narrow {
			answer = p.Error(router6, 2, 0, narrow, 8)
		}
	case farAway:
		if p.TTL < hops {
			answer = p.Error(router4, 11, 0, 0, 8)
		}
	case farAway6:
		if p.TTL < hops {
			answer = p.Error(router6, 3, 0, 0, 8)
		}
	}
	return [][]byte{answer.Bytes()}
}

// TestGoldenICMP is TestGolden in a separate network namespace.
func TestGoldenICMP(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	zoo.Network(t, answerPing)
	zoo.AllowPingSockets(t)
	all := pingVisits()
	loaded, err := config.Parse("golden.yml", []byte(modulesFile(nil, all)))
	if err != nil {
		t.Fatal(err)
	}
	runner, replies := new(probe.Runner), new(collector.Replies)
	for _, v := range all {
		t.Run(v.name, func(t *testing.T) {
			module, err := loaded.Module(v.name)
			if err != nil {
				t.Fatal(err)
			}
			record, err := runner.Do(t.Context(), module, probe.Request{Target: v.target})
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, v.name, string(replies.AppendText(nil, record)))
		})
	}
}

// pingDifferences are the rows of the table of differences that TestParityICMP covers.
var pingDifferences = []difference{
	{what: "why a target is down", in: `^icmp_`, diff: `^probe_failure_info only in rollcall`},
	{what: "a target that cannot be", in: `target`, diff: `^status 200, rollcall: 400`},
	{what: "no permission to ping", in: `^without permission$`, diff: `^status 200, rollcall: 500`},
	{what: "`dont_fragment` for IPv6", in: `^icmp_dont_fragment_too_big_ipv6$`, diff: `.`},
	{what: "families that are newer than 0.23", in: `.`, diff: `^probe_timeout_seconds only in rollcall`},
	{what: "the content type names an escaping", in: `.`, diff: `^content type .*; escaping=underscores"$`},
}

// TestParityICMP is TestParity for pings, in a separate network namespace: without sockets, with raw sockets and with ping sockets.
func TestParityICMP(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	zoo.Network(t, answerPing)
	all := pingVisits()
	text := modulesFile(nil, all)
	theirs, ours := startExporter(t, peer(t), text, nil), startExporter(t, rollcall, text, nil)
	judge := &judge{rules: pingDifferences, seen: make(map[string]bool)}

	// Without capabilities, and without ping sockets (sysctl).
	unable := []string{find(t, "setpriv", "util-linux"), "--bounding-set=-net_raw"}
	theirsUnable, oursUnable := startExporter(t, peer(t), text, nil, unable...), startExporter(t, rollcall, text, nil, unable...)
	them, us := replies(t, theirsUnable, oursUnable, "/probe?module=icmp_up_loopback&target=127.0.0.1")
	judge.check(t, "without permission", compareReplies(them, us))
	if !strings.Contains(us.Body, "net.ipv4.ping_group_range") {
		t.Errorf("the reply has no advice: %s", us.Body)
	}

	for _, allowed := range []bool{false, true} {
		if allowed {
			zoo.AllowPingSockets(t)
		}
		for _, v := range all {
			them, us := replies(t, theirs, ours, v.query(nil))
			judge.check(t, v.name, compareProbes(t, them, us))
		}
	}
	for _, target := range []string{"127.0.0.1:80", "[::1]", "0.0.0.0", "::", "http://127.0.0.1/", "224.0.0.1", "255.255.255.255", "127.255.255.255"} {
		them, us := replies(t, theirs, ours, "/probe?module=icmp_timeout&target="+target)
		judge.check(t, "target "+target, compareReplies(them, us))
	}
	judge.close(t)
}

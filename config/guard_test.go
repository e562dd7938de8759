package config

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/guard"
)

// spellings are ways to write a loopback address whose last number is n; some are no address for anything here.
func spellings(n int) []string {
	full := func(s string) string { // digits and points as East Asian keyboards have them
		return strings.Map(func(r rune) rune {
			if r == '.' {
				return '。'
			}
			return r - '0' + '０'
		}, s)
	}
	dotted := fmt.Sprintf("127.0.0.%d", n)
	percent := ""
	for _, b := range []byte(dotted) {
		percent += fmt.Sprintf("%%%02x", b)
	}
	return []string{
		dotted, dotted + ".", fmt.Sprintf("127.%d", n), fmt.Sprintf("127.0.%d", n), fmt.Sprintf("0x7f.%d", n), fmt.Sprintf("0x7F00000%d", n),
		fmt.Sprintf("0177.0.0.0%d", n), fmt.Sprint(0x7f000000 + n), fmt.Sprintf("017700000%03o", n), full(dotted), percent,
		"%C2%AD" + dotted, dotted + "%00", dotted + "%20", "\u200b" + dotted, "127.0..0." + fmt.Sprint(n), "." + dotted,
		fmt.Sprintf("[::ffff:127.0.0.%d]", n), fmt.Sprintf("[::ffff:7f00:%x]", n), fmt.Sprintf("[0:0:0:0:0:FFFF:7F00:%X]", n), fmt.Sprintf("[::127.0.0.%d]", n),
		fmt.Sprintf("[::ffff:0:127.0.0.%d]", n), fmt.Sprintf("[64:ff9b::7f00:%x]", n), fmt.Sprintf("[64:ff9b:1::7f00:%x]", n),
		fmt.Sprintf("[2002:7f00:%x::]", n), fmt.Sprintf("[::ffff:127.0.0.%d%%25lo]", n),
	}
}

// TestGuardCommandSaysWhatAProbeDoes: what `rollcall guard` says of a target is what a probe of it comes to, in every spelling.
func TestGuardCommandSaysWhatAProbeDoes(t *testing.T) {
	// What is a name is looked up on a port that refuses.
	c := load(t, `modules:
  http: {prober: http, resolver: 127.0.0.1:9}
  tcp: {prober: tcp, resolver: 127.0.0.1:9}
  dns: {prober: dns, resolver: 127.0.0.1:9, dns: {query_name: example.com, transport_protocol: tcp}}
  icmp: {prober: icmp, resolver: 127.0.0.1:9}
  grpc: {prober: grpc, resolver: 127.0.0.1:9}
  websocket: {prober: websocket, resolver: 127.0.0.1:9}
guard: {allow: [127.0.0.3], deny: [127.0.0.2]}
`)
	targets := map[string][]string{
		"http": {"http://%s:9/", "https://%s:9/", "%s:9", "http://user:pw@%s:9/"}, "tcp": {"%s:9"}, "dns": {"%s:9"}, "icmp": {"%s"}, "grpc": {"%s:9"},
		"websocket": {"ws://%s:9/", "wss://%s:9/"},
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := map[string]int{}
	for name, forms := range targets {
		m, err := c.Module(name)
		if err != nil {
			t.Fatal(err)
		}
		for n := 2; n <= 3; n++ {
			for _, host := range spellings(n) {
				for _, form := range forms {
					target := fmt.Sprintf(form, host)
					said := whatGuardSays(ctx, m, target)
					_, err := new(probe.Runner).Do(ctx, m, probe.Request{Target: target, Timeout: 5 * time.Second})
					done := "allowed"
					switch {
					case probe.Is[*probe.DeniedError](err):
						done = "denied"
					case probe.Is[*probe.TargetError](err):
						done = "no target"
					}
					seen[done]++
					if said != done {
						t.Errorf("%s: %q: the command says %s, a probe was %s (%v)", name, target, said, done, err)
					}
				}
			}
		}
	}
	for _, kind := range []string{"allowed", "denied", "no target"} {
		if seen[kind] < 20 {
			t.Errorf("%d targets were %s: the spellings test nothing", seen[kind], kind)
		}
	}
}

// whatGuardSays is what `rollcall guard` says. A name that leads nowhere has no verdict, and a probe of it is not denied.
func whatGuardSays(ctx context.Context, m *probe.Module, target string) string {
	verdicts, err := guard.Explain(ctx, m, target)
	switch {
	case probe.Is[*probe.TargetError](err):
		return "no target"
	case err != nil:
		return "allowed"
	}
	for _, v := range verdicts {
		if !v.Allowed {
			return "denied"
		}
	}
	return "allowed"
}

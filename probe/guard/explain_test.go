package guard_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/httpprobe"
	"rollcall/probe/probetest"
	"rollcall/probe/tcpprobe"
	"rollcall/probe/unixprobe"
)

func TestModuleExplainsWhatItsGuardSays(t *testing.T) {
	g, err := guard.Options{Allow: []string{"127.0.0.0/8:443"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	http, err := new(httpprobe.Options).Compile()
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := new(tcpprobe.Options).Compile()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]*probe.Module{"http": {Prober: http, Guard: g}, "tcp": {Prober: tcp, Guard: g}}
	for _, c := range []struct{ kind, target, want string }{
		{"http", "https://127.0.0.1/x", `127.0.0.1:443 is allowed by guard, allow: "127.0.0.0/8:443"`},
		{"http", "127.0.0.1:443", `127.0.0.1:443 is allowed by guard, allow: "127.0.0.0/8:443"`},
		{"http", "127.0.0.1", "127.0.0.1:80 is denied by guard: no entry of allow matches"},
		{"http", "http://[::1]/", "[::1]:80 is denied by guard: no entry of allow matches"},
		{"tcp", "127.0.0.1:443", `127.0.0.1:443 is allowed by guard, allow: "127.0.0.0/8:443"`},
		{"tcp", "tcp://[::ffff:1.2.3.4]:5", "1.2.3.4:5 is denied by guard: no entry of allow matches"},
	} {
		verdicts, err := guard.Explain(t.Context(), modules[c.kind], c.target)
		if err != nil || len(verdicts) != 1 {
			t.Errorf("%s: %v, %v", c.target, verdicts, err)
		} else if got := verdicts[0].String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.target, got, c.want)
		}
	}
	socket, err := new(unixprobe.Options).Compile()
	if err != nil {
		t.Fatal(err)
	}
	for g, want := range map[*guard.Guard]string{
		g:   `the socket "/nowhere/s" is denied by guard: no entry of allow matches`,
		nil: `the socket "/nowhere/s" is allowed: no entry denies it, and all else is allowed`,
	} {
		verdicts, err := guard.Explain(t.Context(), &probe.Module{Prober: socket, Guard: g}, "/nowhere/../nowhere/s")
		if err != nil || len(verdicts) != 1 || verdicts[0].String() != want {
			t.Errorf("got %v, %v, want %s", verdicts, err, want)
		}
	}
	for _, c := range []struct{ kind, target string }{
		{"http", ""}, {"http", "http://"}, {"http", "example.com:0"}, {"http", "example.com:x"}, {"http", "http://u:secret%zz@x"},
		{"http", "file:///etc/passwd"}, {"http", "tcp://127.0.0.1:443"}, {"tcp", "127.0.0.1"}, {"tcp", "https://127.0.0.1/"},
	} {
		_, err := guard.Explain(t.Context(), modules[c.kind], c.target)
		var bad *probe.TargetError
		if !errors.As(err, &bad) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s %q: got %v, want a TargetError", c.kind, c.target, err)
		}
	}
	free := &probe.Module{Prober: tcp}
	if v, err := guard.Explain(t.Context(), free, "127.0.0.1:1"); err != nil || !v[0].Allowed {
		t.Errorf("without a guard: %v, %v", v, err)
	}
}

// TestModulesNameServerIsAskedForTheAddresses: a guard is explained for the addresses that a probe would find.
func TestModulesNameServerIsAskedForTheAddresses(t *testing.T) {
	tcp, err := new(tcpprobe.Options).Compile()
	if err != nil {
		t.Fatal(err)
	}
	server := probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message { return probetest.Answering(q, "192.0.2.7") })
	verdicts, err := guard.Explain(t.Context(), &probe.Module{Prober: tcp, NameServer: server}, "inside.rollcall.test:25")
	if err != nil || len(verdicts) != 1 || verdicts[0].Addr.String() != "192.0.2.7:25" {
		t.Errorf("%v, %v", verdicts, err)
	}
}

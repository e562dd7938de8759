package tcpprobe

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"rollcall/probe"
)

func TestTCPTargets(t *testing.T) {
	for target, want := range map[string]struct {
		host string
		port uint16
	}{
		"example.com:25":               {"example.com", 25},
		"tcp://example.com:25":         {"example.com", 25},
		"TCP://example.com:65535":      {"example.com", 65535},
		"192.0.2.1:1":                  {"192.0.2.1", 1},
		"[2001:db8::1]:443":            {"2001:db8::1", 443},
		"[::1%lo]:80":                  {"::1%lo", 80},
		"[::ffff:127.0.0.1]:80":        {"::ffff:127.0.0.1", 80},
		"127.1:80":                     {"127.0.0.1", 80},
		"0x7f.1:80":                    {"127.0.0.1", 80},
		"2130706433:80":                {"127.0.0.1", 80},
		"0177.0.0.01:80":               {"127.0.0.1", 80},
		"１２７.0.0.1:80":                 {"127.0.0.1", 80},
		"bücher.example:pop3":          {"xn--bcher-kva.example", 110},
		"example.com:http":             {"example.com", 80},
		"[example.com]:80":             {"example.com", 80},
		"_service._tcp.example.com:80": {"_service._tcp.example.com", 80},
	} {
		host, port, err := targets.Split(target)
		if err != nil || host != want.host || port != want.port {
			t.Errorf("%q: got %q, %d, %v, want %v", target, host, port, err, want)
		}
	}
}

func TestTCPTargetsThatCannotBeAskedFor(t *testing.T) {
	for target, want := range map[string]string{
		"":                           "has no port",
		"example.com":                "has no port",
		"example.com:":               "a port that is not between 1 and 65535",
		"example.com:0":              "a port that is not between 1 and 65535",
		"example.com:65536":          "a port that is not between 1 and 65535",
		"example.com:-1":             "a port that is not between 1 and 65535",
		"example.com:+80":            "a port that is not between 1 and 65535",
		"example.com:nonsense":       "nor the name of a service",
		":80":                        "names no host",
		"::1":                        "in brackets before it, e.g. [2001:db8::1]:443",
		"[::1]":                      "has no port",
		"2001:db8::1:443x":           "several colons",
		"[127.0.0.1]:80":             "IPv4 address in brackets",
		"[::zz]:80":                  "neither a name nor an IP address",
		"http://example.com:80":      "the scheme http://, which is for a module of the prober http",
		"icmp://192.0.2.1":           "a module of the prober icmp",
		"file:///etc/passwd":         "has the scheme file://, which no prober takes; a tcp module takes",
		"user:secret://example.com":  "has a scheme; a tcp module takes",
		"://example.com":             "has a scheme; a tcp module takes",
		"tcp://example.com:80/":      "has a path",
		"user:secret@example.com:80": "has a path or a user name",
		"exam ple.com:80":            "a character that no host name has",
		"exam\nple.com:80":           "a character that no host name has",
		"exam%20ple.com:80":          "a character that no host name has",
		"\u00ad:80":                  "a host that is empty",
		"..:80":                      "a host that is empty",
		"ａ／ｂ:80":                     "a character that no host name has",
		"1.2.3.400:80":               "a number that is no IPv4 address",
	} {
		_, _, err := targets.Split(target)
		var bad *probe.TargetError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want a TargetError with %q", target, err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v tells the password", target, err)
		}
	}
}

func FuzzTCPTarget(f *testing.F) {
	for _, seed := range []string{"example.com:25", "tcp://[::1%lo]:80", "0x7f.1:80", "::ffff:127.0.0.1", "a:65536", "a@b:1", "[::]:0", "\x00:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		host, port, err := targets.Split(target)
		if err != nil {
			var bad *probe.TargetError
			if !errors.As(err, &bad) {
				t.Fatalf("%q: %T", target, err)
			}
			return
		}
		again := net.JoinHostPort(host, strconv.Itoa(int(port)))
		host2, port2, err := targets.Split(again)
		if err != nil || host2 != host || port2 != port {
			t.Errorf("%q is read as %q, and that as %q, %d, %v", target, again, host2, port2, err)
		}
		if port == 0 || host == "" || strings.ContainsAny(host, "/@ \n\x00") {
			t.Errorf("%q: host %q, port %d", target, host, port)
		}
	})
}

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
		"127.1:80":                     {"127.1", 80},
		"[example.com]:80":             {"example.com", 80},
		"_service._tcp.example.com:80": {"_service._tcp.example.com", 80},
	} {
		host, port, err := parseTarget(target)
		if err != nil || host != want.host || port != want.port {
			t.Errorf("%q: got %q, %d, %v, want %v", target, host, port, err, want)
		}
	}
}

func TestTCPTargetsThatCannotBeAskedFor(t *testing.T) {
	for target, want := range map[string]string{
		"":                           "has no port",
		"example.com":                "has no port",
		"example.com:":               "no port between 1 and 65535",
		"example.com:0":              "no port between 1 and 65535",
		"example.com:65536":          "no port between 1 and 65535",
		"example.com:-1":             "no port between 1 and 65535",
		"example.com:+80":            "no port between 1 and 65535",
		"example.com:http":           "no port between 1 and 65535",
		":80":                        "names no host",
		"::1":                        "in brackets, as [2001:db8::1]:443",
		"[::1]":                      "has no port",
		"2001:db8::1:443x":           "several colons",
		"[127.0.0.1]:80":             "IPv4 address in brackets",
		"[::zz]:80":                  "neither a name nor an IP address",
		"http://example.com:80":      "scheme that is not tcp://",
		"file:///etc/passwd":         "scheme that is not tcp://",
		"tcp://example.com:80/":      "has a path",
		"user:secret@example.com:80": "has a path or a user name",
		"exam ple.com:80":            "a blank or a control character",
		"exam\nple.com:80":           "a blank or a control character",
		"exam%20ple.com:80":          "neither a name nor an IP address",
	} {
		_, _, err := parseTarget(target)
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
		host, port, err := parseTarget(target)
		if err != nil {
			var bad *probe.TargetError
			if !errors.As(err, &bad) {
				t.Fatalf("%q: %T", target, err)
			}
			return
		}
		again := net.JoinHostPort(host, strconv.Itoa(int(port)))
		host2, port2, err := parseTarget(again)
		if err != nil || host2 != host || port2 != port {
			t.Errorf("%q is read as %q, and that as %q, %d, %v", target, again, host2, port2, err)
		}
		if port == 0 || host == "" || strings.ContainsAny(host, "/@ \n\x00") {
			t.Errorf("%q: host %q, port %d", target, host, port)
		}
	})
}

package network

import (
	"net/netip"
	"strings"
	"testing"
)

// TestSchemeHints: a target for another prober is answered with the one that takes it, and what may be a password is not
// repeated.
func TestSchemeHints(t *testing.T) {
	for scheme, want := range map[string]string{
		"icmp": "has the scheme icmp://, which is for a module of the prober icmp", "PING": "has the scheme ping://, which is for a module of the prober icmp",
		"wss": "prober websocket", "grpcs": "prober grpc", "dns": "prober dns", "unix": "prober unix", "tcp": "prober tcp",
		"http": "has the scheme http://, which is left out", "ssh": "has the scheme ssh://, which no prober takes",
		"user:secret": "has a scheme", "": "has a scheme", strings.Repeat("s", 21): "has a scheme",
	} {
		if got := SchemeHint(scheme, "http"); !strings.HasSuffix(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%s: %q, want %q", scheme, got, want)
		}
	}
}

func TestHostHasOneForm(t *testing.T) {
	for host, want := range map[string]string{
		"example.com":       "example.com",
		"Example.COM.":      "Example.COM.",
		"_dmarc.example":    "_dmarc.example",
		"bücher.example":    "xn--bcher-kva.example",
		"BÜCHER.example":    "xn--bcher-kva.example",
		"example\u00ad.com": "example.com",
		"example。com":       "example.com",
		"web.1":             "web.1",
		"192.0.2.1":         "192.0.2.1",
		"::ffff:127.0.0.1":  "::ffff:127.0.0.1",
		"2001:DB8:0::1":     "2001:db8::1",
		"fe80::1%eth0":      "fe80::1%eth0",
		"2852039166":        "169.254.169.254",
		"0xa9fea9fe":        "169.254.169.254",
		"0251.0376.43518":   "169.254.169.254",
		"127.1":             "127.0.0.1",
		"0x7f.1":            "127.0.0.1",
		"１２７.１":             "127.0.0.1",
		"0":                 "0.0.0.0",
		"127.0.0.1.":        "127.0.0.1",
	} {
		if got, err := Host(host); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", host, got, err, want)
		}
	}
	for host, want := range map[string]string{
		"":                     "is empty",
		"\u00ad":               "is empty",
		".":                    "is empty",
		"..":                   "is empty",
		".example":             "empty label",
		"a..example":           "empty label",
		"127.0.0.1..":          "empty label",
		"example。.":            "empty label",
		"a b":                  "character",
		"a%2eb":                "character",
		"a\x00b":               "character",
		"ａ＠ｂ":                  "character",
		"a:80":                 "neither a name nor an IP address",
		"[::1]":                "neither a name nor an IP address",
		"256.1.1.1":            "no IPv4 address",
		"1.2.3.4.5":            "no IPv4 address",
		"4294967296":           "no IPv4 address",
		"99999999999999999999": "no IPv4 address",
		"\u202ea.example":      "international name",
	} {
		if got, err := Host(host); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want an error with %q", host, got, err, want)
		}
	}
}

// FuzzHost holds that the form is final: it is read as itself, and holds nothing that moves it elsewhere in a URL.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"example.com", "\u00ad", "0x7f.1", "１２７.１", "::1%lo", "bücher.example", "xn--", "ａ／ｂ", "1.2.3.4.5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host, err := Host(text)
		if err != nil {
			return
		}
		if again, err := Host(host); err != nil || again != host {
			t.Errorf("%q becomes %q, and that %q, %v", text, host, again, err)
		}
		if _, err := netip.ParseAddr(host); err != nil && (host == "" || strings.ContainsAny(host, ":/@?#[]% ")) {
			t.Errorf("%q becomes %q", text, host)
		}
	})
}

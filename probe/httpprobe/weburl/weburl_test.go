package weburl

import (
	"net/url"
	"strings"
	"testing"
)

func TestHTTPTargetIsReadAsPeopleWriteIt(t *testing.T) {
	for target, want := range map[string]string{
		"example.com":                         "http://example.com",
		"example.com:8080/a?b=c":              "http://example.com:8080/a?b=c",
		"HTTPS://example.com":                 "https://example.com",
		"example.com/?u=http://x":             "http://example.com/?u=http://x",
		"[::1]:80":                            "http://[::1]:80",
		"http://bücher.example:81/":           "http://xn--bcher-kva.example:81/",
		"http://example.com/a+b%2Fc?q=a+b%25": "http://example.com/a+b%2Fc?q=a+b%25",
		"http://user:pw@example.com/":         "http://example.com/",
	} {
		u, err := Parse(target)
		if err != nil {
			t.Errorf("%s: %v", target, err)
		} else if got := Shown(u); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	for _, target := range []string{
		"", "ftp://example.com", "file:///etc/passwd", "http://", "//example.com", "http://a b/", "http://a:0/", "http://a:65536/",
		"http://a:x/", "http://[::1", "http://[1.2.3.4]/", "http://::1/", "http://a\nb/", "http://a\x00/", "http://[fe80::zz]/", "http://<x>/",
		"http://u:canary@a:b/", "http://u:can#ary@host/",
	} {
		u, err := Parse(target)
		if err == nil {
			t.Errorf("%q is accepted as %s", target, u)
		} else if strings.Contains(err.Error(), "can") && strings.Contains(err.Error(), "ary") {
			t.Errorf("%q: the error shows a password: %v", target, err)
		}
	}
}

func TestShownURLIsBounded(t *testing.T) {
	u, err := url.Parse("http://u:p@example.com/" + strings.Repeat("ü", 5000) + "#secret")
	if err != nil {
		t.Fatal(err)
	}
	if s := Shown(u); len(s) > MaxShown+len("…") || strings.Contains(s, "u:p") {
		t.Errorf("%d bytes: %.80s", len(s), s)
	}
}

func TestHostHasNoDefaultPort(t *testing.T) {
	for target, want := range map[string]string{
		"http://h:80/": "h", "http://h:8080/": "h:8080", "https://h:443/": "h", "https://h:80/": "h:80", "http://[::1]:80": "[::1]",
		"http://[fe80::1%25lo]:80": "[fe80::1]", "http://[fe80::1%25lo]:81": "[fe80::1]:81", "h:http": "h",
	} {
		u, err := Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := HostHeader(u); got != want {
			t.Errorf("%s: Host is %s, want %s", target, got, want)
		}
	}
}

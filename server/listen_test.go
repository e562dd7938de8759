package server

import (
	"net"
	"strings"
	"testing"
)

func TestExternalURL(t *testing.T) {
	tcp := &net.TCPAddr{IP: net.IPv4zero, Port: 9115}
	for _, c := range []struct {
		name, flag, prefix string
		listener           net.Addr
		want               string
	}{
		{"no flag", "", "", tcp, "http://host:9115/"},
		{"a prefix is part of it", "", "probes/", tcp, "http://host:9115/probes"},
		{"a Unix socket has no port", "", "", &net.UnixAddr{Name: "/run/rollcall", Net: "unix"}, "http://host/"},
		{"the flag decides", "https://status.example.com/roll/", "", tcp, "https://status.example.com/roll"},
		{"a proxy may remove the prefix", "https://status.example.com/roll/", "/", tcp, "https://status.example.com/roll"},
		{"no server", "status.example.com", "", tcp, "error: --web.external-url=status.example.com is not a URL of a server"},
		{"another scheme", "ftp://status.example.com", "", tcp, "error: --web.external-url=ftp://status.example.com is not a URL"},
		{"nonsense", "http://a b/", "", tcp, "error: --web.external-url: parse"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := externalURL(c.flag, c.prefix, c.listener, "host")
			switch wanted, fails := strings.CutPrefix(c.want, "error: "); {
			case fails && (err == nil || !strings.HasPrefix(err.Error(), wanted)):
				t.Errorf("got %v, %v; want %s", u, err, c.want)
			case !fails && (err != nil || u.String() != c.want):
				t.Errorf("got %v, %v; want %s", u, err, c.want)
			}
		})
	}
}

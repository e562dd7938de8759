//go:build unix

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// nameVisits are the visits whose target is a name in the zone zoo.test. The exporter must use the zoo's name server, so it
// runs with its own resolv.conf. 12345 stands for any port; it need not be open.
func nameVisits() []visit {
	return []visit{
		{name: "name_up", module: `{prober: tcp}`, target: "up.zoo.test:<silent port>"},
		{name: "name_up_http", module: `{prober: http}`, target: "http://up.zoo.test:<site port>/want/host?is=up.zoo.test"},
		{name: "name_up_https", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://good.zoo.test:<secure port>/"},
		{name: "name_redirect_to_itself_keeps_credentials", module: `{prober: http, http: {basic_auth: {username: alice, password: secret}}}`, target: "http://up.zoo.test:<site port>/redirect?to=http://up.zoo.test:<site port>/want/basic"},
		{name: "name_redirect_elsewhere_drops_credentials", module: `{prober: http, http: {basic_auth: {username: alice, password: secret}}}`, target: "http://up.zoo.test:<site port>/redirect?to=http://down.zoo.test:<site port>/want/basic"},
		{name: "name_up_dns", module: dnsModule("www", "preferred_ip_protocol: ip4, "), target: "up.zoo.test:<names port>"},
		{name: "name_unknown_dns", module: dnsModule("www", ""), target: "absent.zoo.test"},
		{name: "name_unknown", module: `{prober: tcp}`, target: "absent.zoo.test:12345"},
		{name: "name_unknown_http", module: `{prober: http}`, target: "http://absent.zoo.test/"},
		{name: "name_server_fails", module: `{prober: tcp}`, target: "servfail.zoo.test:12345"},
		{name: "name_server_refuses", module: `{prober: tcp}`, target: "refused.zoo.test:12345"},
		{name: "name_server_talks_nonsense", module: `{prober: tcp, timeout: 1s}`, target: "nonsense.zoo.test:12345"},
		{name: "name_server_is_silent", module: `{prober: tcp, timeout: 1s}`, target: "silent.zoo.test:12345"},
		{name: "name_server_is_silent_http", module: `{prober: http, timeout: 1s}`, target: "http://silent.zoo.test/"},
		{name: "name_without_address", module: `{prober: tcp}`, target: "empty.zoo.test:12345"},
		{name: "name_that_is_its_own_alias", module: `{prober: tcp}`, target: "loop.zoo.test:12345"},
		{name: "name_with_4000_addresses", module: `{prober: tcp}`, target: "many.zoo.test:<silent port>"},
		{name: "name_with_the_other_family_only", module: `{prober: tcp, tcp: {preferred_ip_protocol: ip4, ip_protocol_fallback: false}}`, target: "v6.zoo.test:12345"},
		{name: "name_that_is_blocked", module: `{prober: tcp}`, target: "sinkhole.zoo.test:<silent port>"},
		{name: "name_source_address_decides_the_family", module: `{prober: tcp, tcp: {source_ip_address: 127.0.0.3}}`, target: "dual.zoo.test:<silent port>"},
		{name: "name_prefers_ipv6", module: `{prober: tcp}`, target: "dual.zoo.test:<site6 port>"},
		{name: "name_prefers_ipv4", module: `{prober: tcp, tcp: {preferred_ip_protocol: ip4}}`, target: "dual.zoo.test:<silent port>"},
		{name: "name_ipv6_first_and_blackholed", module: `{prober: tcp, timeout: 1s}`, target: "dual.zoo.test:<blackhole6 port>"},
		{name: "name_of_an_odd_number", module: `{prober: tcp, timeout: 2s}`, target: "0x7f.1:12345"},
	}
}

// withNameServer returns a command prefix that runs an exporter with the zoo's name server only.
func withNameServer(t *testing.T) []string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test gives the exporter its own /etc/resolv.conf, which needs root (or: go test -skip Names)")
	}
	// A separate address of 127.0.0.0/8, because port 53 may be in use on the others.
	dns := zoo.NewDNS(t, fmt.Sprintf("127.53.%d.%d:53", os.Getpid()>>8&0xff, os.Getpid()&0xff))
	host, _, err := net.SplitHostPort(dns.Addr)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver "+host+"\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `mount --bind "$0" /etc/resolv.conf && exec "$@"`
	if out, err := exec.Command("unshare", "--mount", "sh", "-c", script, file, "true").CombinedOutput(); err != nil {
		t.Fatalf("giving a process its own /etc/resolv.conf: %v: %s", err, out)
	}
	return []string{"unshare", "--mount", "sh", "-c", script, file}
}

// TestGoldenNames is TestGolden for targets with names.
func TestGoldenNames(t *testing.T) {
	p := newPark(t)
	all := nameVisits()
	e := startExporter(t, rollcall, modulesFile(p, all), nil, withNameServer(t)...)
	for _, v := range all {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			reply, err := e.get(t.Context(), v.query(p))
			if err != nil {
				t.Fatal(err)
			}
			if reply.Status != 200 {
				t.Fatalf("status %d: %s", reply.Status, reply.Body)
			}
			compareGolden(t, v.name, reply.Body)
		})
	}
}

// portOf returns the port of an address.
func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

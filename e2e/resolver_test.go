//go:build unix

package e2e

import (
	"net"
	"net/url"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// TestModuleHasItsOwnResolver probes names that only the module's name server knows, by every prober that looks names up.
func TestModuleHasItsOwnResolver(t *testing.T) {
	p := newPark(t)
	server := zoo.NewDNS(t, "127.0.0.1:0")
	config := "modules:\n  system: {prober: tcp}\n"
	targets := map[string]string{
		"http": "http://up.zoo.test:<site port>/", "tcp": "up.zoo.test:<silent port>", "icmp": "up.zoo.test", "dns": "up.zoo.test:<names port>",
		"grpc": "up.zoo.test:<health port>", "websocket": "ws://up.zoo.test:<websocket port>/",
	}
	for prober := range targets {
		config += "  " + prober + ": {prober: " + prober + ", resolver: \"" + server.Addr + "\", dns: {query_name: www.zoo.test, query_type: A}}\n"
	}
	config += "  proxy: {prober: http, resolver: \"" + server.Addr + "\", http: {proxy_url: \"http://up.zoo.test:<proxy port>\"}}\n"
	targets["proxy"] = "http://up.zoo.test:<site port>/"
	e := startExporter(t, rollcall, p.fill(config), nil)
	for module, target := range targets {
		t.Run(module, func(t *testing.T) {
			before := server.Queries.Load()
			reply := get(t, e.URL+"/probe?module="+module+"&target="+url.QueryEscape(p.fill(target)))
			families, err := parseExposition(reply)
			if err != nil || families.verdict() != "up" || server.Queries.Load() == before {
				t.Errorf("%s (%v), %d queries", families.verdict(), err, server.Queries.Load()-before)
			}
		})
	}
	_, port, err := net.SplitHostPort(p.at("silent"))
	if err != nil {
		t.Fatal(err)
	}
	before := server.Queries.Load()
	reply := get(t, e.URL+"/probe?module=system&target=up.zoo.test:"+port)
	if !strings.Contains(reply, "\nprobe_success 0\n") || !strings.Contains(reply, `stage="resolve"`) || server.Queries.Load() != before {
		t.Errorf("a module without a resolver asked the other one's:\n%s", reply)
	}
}

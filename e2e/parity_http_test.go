//go:build unix

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// apiRequests are sent to both exporters in addition to the visits. Their paths name servers of the park.
var apiRequests = []struct {
	name, method, path string
	header             []string
}{
	{name: "landing page", path: "/"},
	{name: "health", path: "/-/healthy"},
	{name: "configuration", path: "/config"},
	{name: "own metrics", path: "/metrics"},
	{name: "unknown path", path: "/nowhere"},
	{name: "profiles", path: "/debug/pprof/"},
	{name: "reload by GET", path: "/-/reload"},
	{name: "reload by POST", method: "POST", path: "/-/reload"},
	{name: "reload by PUT", method: "PUT", path: "/-/reload"},
	{name: "probe by POST", method: "POST", path: "/probe?module=http_up&target=<site>"},
	{name: "probe without target", path: "/probe?module=http_up"},
	{name: "probe without module", path: "/probe?target=<site>"},
	{name: "probe of unknown module without target", path: "/probe?module=absent"},
	{name: "probe of a repeated module", path: "/probe?module=http_up&module=absent&target=<site>"},
	{name: "probe of a repeated target", path: "/probe?module=http_up&target=<site>&target=%zz"},
	{name: "probe of unknown module", path: "/probe?module=absent&target=<site>"},
	{name: "probe with debug", path: "/probe?module=http_up&debug=true&target=<site>"},
	{name: "probe in OpenMetrics", path: "/probe?module=http_up&target=<site>", header: []string{"Accept", "application/openmetrics-text;version=1.0.0"}},
	{name: "probe in protobuf", path: "/probe?module=http_up&target=<site>", header: []string{"Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"}},
	{name: "probe for a client that takes gzip", path: "/probe?module=http_up&target=<site>", header: []string{"Accept-Encoding", "gzip"}},
	{name: "probe with scrape timeout", path: "/probe?module=http_up&target=<site>", header: []string{"X-Prometheus-Scrape-Timeout-Seconds", "5"}},
	{name: "probe with scrape timeout of the offset", path: "/probe?module=http_up&target=<site>", header: []string{"X-Prometheus-Scrape-Timeout-Seconds", "0.5"}},
	{name: "probe with scrape timeout abc", path: "/probe?module=http_up&target=<site>", header: []string{"X-Prometheus-Scrape-Timeout-Seconds", "abc"}},
	{name: "probe with scrape timeout NaN", path: "/probe?module=http_up&target=<site>", header: []string{"X-Prometheus-Scrape-Timeout-Seconds", "NaN"}},
	{name: "target that was encoded once", path: "/probe?module=http_up&target=http%3A%2F%2F<site>%2Fwant%2Fbody%3Fis%3D%2525"},
	{name: "http target of another scheme", path: "/probe?module=http_up&target=gopher://<site>/"},
	{name: "tcp target without port", path: "/probe?module=tcp_up&target=127.0.0.1"},
	{name: "tcp target with port 65536", path: "/probe?module=tcp_up&target=127.0.0.1:65536"},
	{name: "logs without id", path: "/logs"},
	{name: "logs of unknown id", path: "/logs?id=999999"},
}

// configFiles are accepted or refused by both exporters, or listed as a difference.
var configFiles = []struct{ name, text string }{
	{"an empty file", ""},
	{"no modules", "modules:\n"},
	{"an unknown key", "modules: {a: {prober: http, htp: {}}}\n"},
	{"a duplicate key", "modules:\n  a: {prober: http}\n  a: {prober: tcp}\n"},
	{"a duration without unit", "modules: {a: {prober: http, timeout: 5}}\n"},
	{"a timeout of zero", "modules: {a: {prober: http, timeout: 0}}\n"},
	{"a size without unit", "modules: {a: {prober: http, http: {body_size_limit: 10}}}\n"},
	{"a size of zero", "modules: {a: {prober: http, http: {body_size_limit: 0}}}\n"},
	{"a size in KB", "modules: {a: {prober: http, http: {body_size_limit: 10KB}}}\n"},
	{"yes for true", "modules: {a: {prober: http, http: {fail_if_ssl: yes}}}\n"},
	{"a regexp that does not compile", "modules: {a: {prober: http, http: {fail_if_body_matches_regexp: ['(']}}}\n"},
	{"a missing prober", "modules: {a: {timeout: 5s}}\n"},
	{"an unknown prober", "modules: {a: {prober: carrier_pigeon}}\n"},
	{"a payload that is negative", "modules: {a: {prober: icmp, icmp: {payload_size: -1}}}\n"},
	{"a payload that no packet holds", "modules: {a: {prober: icmp, icmp: {payload_size: 65508}}}\n"},
	{"a ttl of 255", "modules: {a: {prober: icmp, icmp: {ttl: 255}}}\n"},
	{"a ttl of 256", "modules: {a: {prober: icmp, icmp: {ttl: 256}}}\n"},
	{"a negative ttl", "modules: {a: {prober: icmp, icmp: {ttl: -1}}}\n"},
	{"another prober", "modules: {a: {prober: grpc, timeout: 5s, grpc: {preferred_ip_protocol: ip4}}}\n"},
	{"a missing query_name", "modules: {a: {prober: dns}}\n"},
	{"an empty query_name", "modules: {a: {prober: dns, dns: {query_name: ''}}}\n"},
	{"a query type that does not exist", "modules: {a: {prober: dns, dns: {query_name: a, query_type: X}}}\n"},
	{"a query type in small letters", "modules: {a: {prober: dns, dns: {query_name: a, query_type: mx}}}\n"},
	{"a query class that does not exist", "modules: {a: {prober: dns, dns: {query_name: a, query_class: X}}}\n"},
	{"an unknown transport of dns", "modules: {a: {prober: dns, dns: {query_name: a, transport_protocol: quic}}}\n"},
	{"an unknown response code", "modules: {a: {prober: dns, dns: {query_name: a, valid_rcodes: [OK]}}}\n"},
	{"dns over TLS without TCP", "modules: {a: {prober: dns, dns: {query_name: a, dns_over_tls: true}}}\n"},
	{"an unknown ip protocol", "modules: {a: {prober: tcp, tcp: {preferred_ip_protocol: ip5}}}\n"},
	{"an unknown compression", "modules: {a: {prober: http, http: {compression: zip}}}\n"},
	{"a compression that is not accepted", "modules: {a: {prober: http, http: {compression: gzip, headers: {Accept-Encoding: br}}}}\n"},
	{"a CA file that is not there", "modules: {a: {prober: http, http: {tls_config: {ca_file: /nonexistent/ca.pem}}}}\n"},
	{"basic_auth beside authorization", "modules: {a: {prober: http, http: {basic_auth: {username: a}, authorization: {credentials: b}}}}\n"},
	{"starttls inside tls", "modules: {a: {prober: tcp, tcp: {tls: true, query_response: [{starttls: true}]}}}\n"},
	{"a day as timeout", "modules: {a: {prober: http, timeout: 1d}}\n"},
	{"deprecated no_follow_redirects", "modules: {a: {prober: http, http: {no_follow_redirects: true}}}\n"},
	{"deprecated bearer_token", "modules: {a: {prober: http, http: {bearer_token: secret}}}\n"},
	{"an anchor", "modules:\n  a: &a {prober: http, timeout: 5s}\n  b: *a\n"},
	{"no YAML", "modules: [\n"},
}

var flagName = regexp.MustCompile(`--(?:\[no-\])?([a-z][a-z.-]+[a-z])`)

// compareCommandLines compares the flags and which configuration files --config.check accepts.
func compareCommandLines(t *testing.T, p *park, judge *judge) {
	flagsOf := func(bin string) []string {
		out, _ := exec.Command(bin, "--help").CombinedOutput() // the exit status differs between versions of kingpin
		var names []string
		for _, m := range flagName.FindAllSubmatch(out, -1) {
			names = append(names, string(m[1]))
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	ours := append(flagsOf(rollcall), "help-long") // which kingpin hides
	for _, flag := range flagsOf(peer(t)) {
		if !slices.Contains(ours, flag) {
			judge.check(t, "flags", []string{"--" + flag + " only in blackbox_exporter"})
		}
	}
	accepts := func(bin, file string) string {
		if exec.Command(bin, "--config.check", "--config.file="+file).Run() != nil {
			return "refused"
		}
		return "accepted"
	}
	for _, c := range configFiles {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "blackbox.yml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if a, b := accepts(peer(t), file), accepts(rollcall, file); a != b {
				judge.check(t, c.name, []string{fmt.Sprintf("config %s, rollcall: %s", a, b)})
			}
		})
	}
}

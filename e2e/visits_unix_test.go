//go:build unix

package e2e

import "strings"

// unixVisits are those of the unix prober.
func unixVisits() []visit {
	const trusting = `tls_config: {ca_file: "<ca>", server_name: localhost}`
	visits := []visit{
		{name: "unix_up", module: `{prober: unix}`, target: "<unixsilent>"},
		{name: "unix_up_with_scheme", module: `{prober: unix}`, target: "unix://<unixsilent>"},
		{name: "unix_expect_dialogue", module: `{prober: unix, unix: {query_response: [{send: PING}, {expect: "^PONG (.+)$", labels: [{name: version, value: "${1}"}]}]}}`, target: "<unixping>"},
		{name: "unix_expect_bytes", module: `{prober: unix, unix: {query_response: [{expect_bytes: "SSH-2.0"}]}}`, target: "<unixssh>"},
		{name: "unix_expect_bytes_mismatch", module: `{prober: unix, unix: {query_response: [{expect_bytes: "SSH-1.9"}]}}`, target: "<unixssh>"},
		{name: "unix_expect_never_matches", module: `{prober: unix, unix: {query_response: [{expect: "^POP3"}]}}`, target: "<unixcloses>"},
		{name: "unix_expect_from_silence", module: `{prober: unix, timeout: 500ms, unix: {query_response: [{expect: "^SSH"}]}}`, target: "<unixsilent>"},
		{name: "unix_expect_endless_lines", module: `{prober: unix, unix: {query_response: [{expect: "^SSH"}]}}`, target: "<unixlines>"},
		{name: "unix_connect_not_there", module: `{prober: unix}`, target: "<absent>"},
		{name: "unix_connect_no_socket", module: `{prober: unix}`, target: "<body>"},
		{name: "unix_tls_up", module: `{prober: unix, unix: {tls: true, ` + trusting + `}}`, target: "<unixsecure>"},
		{name: "unix_tls_name_by_hostname_parameter", module: `{prober: unix, unix: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<unixsecure>", hostname: "localhost"},
		{name: "unix_tls_without_a_name", module: `{prober: unix, unix: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<unixsecure>"},
		{name: "unix_tls_expired", module: `{prober: unix, unix: {tls: true, ` + trusting + `}}`, target: "<unixexpired>"},
		{name: "unix_tls_plain_peer", module: `{prober: unix, unix: {tls: true, ` + trusting + `}}`, target: "<unixssh>"},
		{name: "unix_starttls_up", module: strings.NewReplacer("prober: tcp, tcp:", "prober: unix, unix:", `ca_file: "<ca>"`, `ca_file: "<ca>", server_name: localhost`).Replace(starttlsModule), target: "<unixmail>"},
	}
	for i := range visits {
		visits[i].alone = noProber
	}
	return visits
}

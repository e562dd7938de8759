package e2e

// differences is the README's table: what is meant to differ from blackbox_exporter, each with its reason. The
// parity test fails for a difference that is not here and for a row that no visit shows. Rows about releases newer
// than Debian's 0.23 cannot be seen there; they name the test that holds rollcall's side.
var differences = []difference{
	{
		what: "`probe_failure_info{stage,reason} 1` accompanies `probe_success 0`",
		why:  "a rule, a dashboard and a mail can say why without a log",
		in:   `^(http|https|tcp|name)_`, diff: `^probe_failure_info only in rollcall`,
	},
	{
		what: "certificate metrics are there also when the handshake failed",
		why:  "the expiry is wanted most when the certificate has expired",
		in:   `^(https|tcp)_`, diff: `^probe_(ssl_earliest_cert_expiry|ssl_last_chain_info|ssl_last_chain_expiry_timestamp_seconds|tls_version_info) only in rollcall`,
	},
	{
		what: "no `probe_ssl_last_chain_expiry_timestamp_seconds` with `insecure_skip_verify`",
		why:  "no chain was verified; blackbox_exporter says −62135596800",
		in:   `not_verified$`, diff: `^probe_ssl_last_chain_expiry_timestamp_seconds only in blackbox_exporter`,
	},
	{
		what: "STARTTLS fails when the peer sent more in clear behind its go-ahead",
		why:  "an attacker in the middle can put words there",
		in:   `^tcp_starttls_injected$`, diff: `.`,
	},
	{
		what: "a target's scheme may be in capitals",
		why:  "RFC 3986 says so",
		in:   `^http_up_scheme_in_capitals$`, diff: `.`,
	},
	{
		what: "an impossible target (no port for tcp, port 65536, `gopher://`) is a 400",
		why:  "it is the asker's mistake and says nothing about a target",
		in:   `target`, diff: `^status 200, rollcall: 400`,
	},
	{
		what: "a target is decoded once",
		why:  "blackbox_exporter 0.28 decodes twice and damages `+`, `%20`, `%25` and `%2F`",
		held: "e2e/hostile_requests_test.go: decodedOnce",
	},
	{
		what: "a scrape timeout that is no positive number is a 400",
		why:  "blackbox_exporter answers 500, or fails the probe at once (NaN)",
		in:   `scrape timeout`, diff: `^status (500|200), rollcall: 400`,
	},
	{
		what: "a body over 10 MB is down unless `body_size_limit` says otherwise",
		why:  "a target must not fill the exporter's memory; 0 still means no limit",
		held: "e2e/visits_test.go: http_body_endless",
	},
	{
		what: "a conversation is bounded: 1 MB in all, 64 KB in a line, each with a reason",
		why:  "an endless banner costs blackbox_exporter hundreds of megabytes of log",
		held: "e2e/visits_test.go: tcp_expect_endless_lines",
	},
	{
		what: "`expect_bytes` waits until as many bytes have arrived, and loses none to an `expect` before it",
		why:  "a banner may come in pieces",
		held: "e2e/visits_test.go: tcp_expect_bytes_byte_by_byte",
	},
	{
		what: "captured bytes that are no UTF-8 become a valid, short label",
		why:  "blackbox_exporter's handler panics and the scrape is lost",
		held: "e2e/visits_test.go: tcp_expect_labels_not_utf8",
	},
	{
		what: "a body regexp and a CEL option both see the body",
		why:  "in blackbox_exporter the regexp consumes it and CEL always fails",
		held: "e2e/visits_test.go: http_check_cel_beside_regexp",
	},
	{
		what: "`deflate` accepts zlib as well as raw data",
		why:  "zlib is what RFC 9110 means and what servers send",
		in:   `^http_body_deflate_zlib$`, diff: `.`,
	},
	{
		what: "a body that is longer than its Content-Length, or has one beside chunks, is down",
		why:  "RFC 9112 calls it an attack",
		in:   `^http_(body_longer_than_content_length|response_length_beside_chunks)$`, diff: `.`,
	},
	{
		what: "a status code of 000 is no HTTP answer",
		why:  "RFC 9112: the first digit is 1 to 5, and 000 cannot be told from no answer",
		in:   `^http_check_status_000$`, diff: `.`,
	},
	{
		what: "a redirect that cannot be followed leaves the facts of the answer that sent it",
		why:  "the target did answer",
		in:   `^http_redirect_(broken_location|to_another_scheme)$`, diff: `^probe_http_`,
	},
	{
		what: "to another host a redirect takes neither credentials, nor cookies, nor the module's headers; to the same name it keeps them",
		why:  "secrets stay with the host they are for",
		in:   `^name_redirect_elsewhere_drops_credentials$`, diff: `.`,
	},
	{
		what: "the body of a redirect that is not followed is matched",
		why:  "in blackbox_exporter it is already closed",
		in:   `^http_redirect_not_followed_body_is_matched$`, diff: `.`,
	},
	{
		what: "a port in `hostname` is not part of the TLS name",
		why:  "no certificate has one",
		in:   `^https_up_name_with_port_by_hostname_parameter$`, diff: `.`,
	},
	{
		what: "a 307 or 308 is followed with a `body_file`, too",
		why:  "as with a `body`",
		held: "e2e/visits_test.go: http_redirect_307_keeps_body_file",
	},
	{
		what: "fetching an OAuth 2.0 token counts against the probe's deadline",
		why:  "a token server that hangs must not hold up a scrape",
		held: "e2e/visits_test.go: http_request_token_never_comes",
	},
	{
		what: "what cannot work in a module is found at load: files that are not there, unknown probers, protocols and encodings, STARTTLS inside TLS",
		why:  "blackbox_exporter finds out at each probe, or panics",
		in:   `^(a CA file|a missing prober|an unknown|starttls)`, diff: `^config accepted, rollcall: refused`,
	},
	{
		what: "`timeout: 1d` is accepted",
		why:  "its documentation says so",
		in:   `^a day as timeout$`, diff: `^config refused, rollcall: accepted`,
	},
	{
		what: "modules of `icmp`, `dns`, `grpc` and `unix` load; a probe of one is a 501",
		why:  "they are not built in, and the rest of the file still works",
		in:   `^probe of a prober that is not built in$`, diff: `rollcall: 501`,
	},
	{
		what: "over `--probe.max-in-flight` probes at once are answered with 503",
		why:  "a target is never called down because the exporter is busy",
		held: "e2e/hostile_requests_test.go: tenThousand",
	},
	{
		what: "what rollcall itself fails at (no descriptors, a vanished key file) is a 5xx",
		why:  "so is this",
		held: "e2e/hostile_ourselves_test.go: noDescriptors",
	},
	{
		what: "the cloud metadata addresses are denied unless `guard:` says otherwise",
		why:  "they give credentials to whoever can connect",
		held: "probe/guard_test.go: 169.254.169.254",
	},
	{
		what: "replies of `/probe` are not compressed",
		why:  "compressing two kilobytes costs more than the probe",
		in:   `^probe for a client that takes gzip$`, diff: `^content encoding "gzip", rollcall: ""`,
	},
	{
		what: "the exporter's own metrics begin with `rollcall_`",
		why:  "they are about rollcall; `blackbox_exporter_config_last_reload_successful` is `rollcall_config_last_reload_successful`, and so on",
		in:   `^own metrics$`, diff: `^(blackbox|rollcall)_`,
	},
	{
		what: "unknown paths are a 404, and `/debug/pprof` is there with `--web.enable-pprof` only",
		why:  "a typing error should be seen, and profiles are not for everybody",
		in:   `^(unknown path|profiles)$`, diff: `^status 200, rollcall: 404`,
	},
	{
		what: "`/logs` without an id is a 400",
		why:  "it is the asker's mistake",
		in:   `^logs without id$`, diff: `^status 500, rollcall: 400`,
	},
	{
		what: "pages name their character set",
		why:  "a browser need not guess",
		in:   `.`, diff: `^content type "(text/plain|text/html|)", rollcall: "text/(plain|html); charset=utf-8"`,
	},
}

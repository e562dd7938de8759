//go:build unix

package e2e

// differences is the README's table: what is meant to differ from blackbox_exporter. The parity test fails for a
// difference that is not here and for a row that no visit shows. What Debian's 0.23 cannot show, because it is about
// later releases or about more than one reply, names the test that holds rollcall's side.
var differences = []difference{
	{
		what: "why a target is down", peer: "in the log", ours: "also `probe_failure_info{stage,reason}`", because: "an alert can say it",
		in: `^(http|https|tcp|dns|name)_`, diff: `^probe_failure_info only in rollcall`,
	},
	{
		what: "certificate metrics when the handshake fails", peer: "none", ours: "there", because: "the expiry is needed most when it is over",
		in: `^(https|tcp)_`, diff: `^probe_(ssl_earliest_cert_expiry|ssl_last_chain_info|ssl_last_chain_expiry_timestamp_seconds|tls_version_info) only in rollcall`,
	},
	{
		what: "verified-chain expiry with `insecure_skip_verify`", peer: "−62135596800", ours: "absent", because: "no chain was verified",
		in: `not_verified$`, diff: `^probe_ssl_last_chain_expiry_timestamp_seconds only in blackbox_exporter`,
	},
	{
		what: "no descriptors, no memory, too many probes", peer: "`probe_success` 0 for every target", ours: "5xx and a counter", because: "a verdict is about the target",
		held: "e2e/hostile_ourselves_test.go: func noDescriptors",
	},
	{
		what: "a target that cannot be: no port for tcp, port 65536, `gopher://`", peer: "`probe_success` 0", ours: "400", because: "it is the asker's mistake",
		in: `target`, diff: `^status 200, rollcall: 400`,
	},
	{
		what: "a target's scheme in capitals", peer: "down", ours: "as in small letters", because: "RFC 3986",
		in: `^http_up_scheme_in_capitals$`, diff: `.`,
	},
	{
		what: "cloud metadata addresses", peer: "probed", ours: "refused, see [guard](docs/reference.md#the-file-and-a-module)", because: "they hand out credentials",
		held: "probe/guard_test.go: 169.254.169.254",
	},
	{
		what: "body without `body_size_limit`", peer: "unbounded", ours: "10 MB after decoding, then `body_too_large`; `0` is unbounded", because: "a reply of gigabytes must not end the exporter",
		held: `e2e/visits_test.go: "http_body_endless"`,
	},
	{
		what: "credentials and module headers at a redirect to another host", peer: "sent along", ours: "left behind", because: "they are secrets, often",
		in: `^name_redirect_elsewhere_drops_credentials$`, diff: `.`,
	},
	{
		what: "an absolute redirect to the same name", peer: "loses credentials", ours: "keeps them", because: "it is the same host",
		held: `e2e/names_test.go: "name_redirect_to_itself_keeps_credentials"`,
	},
	{
		what: "307 and 308 with `body_file`", peer: "not followed", ours: "followed", because: "the body is at hand",
		held: `e2e/visits_test.go: "http_redirect_307_keeps_body_file"`,
	},
	{
		what: "the body of a redirect that is not followed", peer: "closed before it is matched", ours: "matched", because: "an option asks for it",
		in: `^http_redirect_not_followed_body_is_matched$`, diff: `.`,
	},
	{
		what: "a redirect that cannot be followed", peer: "no status", ours: "the status of the answer that sent it", because: "the target did answer",
		in: `^http_redirect_(broken_location|to_another_scheme)$`, diff: `^probe_http_`,
	},
	{
		what: "a body longer than its Content-Length, or with one beside chunks", peer: "up", ours: "`protocol_error`", because: "RFC 9112 calls it an attack",
		in: `^http_(body_longer_than_content_length|response_length_beside_chunks)$`, diff: `.`,
	},
	{
		what: "a status code of 000", peer: "looks like no answer", ours: "`protocol_error`", because: "no code begins with 0",
		in: `^http_check_status_000$`, diff: `.`,
	},
	{
		what: "certificate metrics of DNS over TLS", peer: "none", ours: "there", because: "it has certificates that expire",
		in: `^dns_(up_)?tls_?`, diff: `^probe_(ssl_earliest_cert_expiry|ssl_last_chain_info|ssl_last_chain_expiry_timestamp_seconds|tls_version_info) only in rollcall`,
	},
	{
		what: "a DNS answer of more than 512 bytes over UDP", peer: "down", ours: "up, to 4 KB", because: "the server did answer",
		in: `^dns_up_over_512_bytes$`, diff: `.`,
	},
	{
		what: "a DNS answer to another question", peer: "up", ours: "passed over, and `protocol_error` when no other comes", because: "it may be forged",
		in: `^dns_response_to_another_question$`, diff: `.`,
	},
	{
		what: "a DNS answer with fewer records than it says", peer: "up", ours: "`protocol_error`, unless it says that it is truncated", because: "nobody knows what is missing",
		in: `^dns_response_fewer_records_than_it_says$`, diff: `.`,
	},
	{
		what: "`probe_dns_serial` without an SOA record", peer: "0", ours: "absent", because: "0 is a serial number, too",
		in: `^dns_up_serial_of_no_zone$`, diff: `^probe_dns_serial only in blackbox_exporter`,
	},
	{
		what: "`+`, `%20`, `%25`, `%2F` in a target's query", peer: "decoded twice", ours: "decoded once", because: "the target is what was asked for",
		held: "e2e/hostile_requests_test.go: func decodedOnce",
	},
	{
		what: "a scrape timeout that is NaN, negative or no number", peer: "500, or fails at once", ours: "400", because: "it is the asker's mistake",
		in: `scrape timeout (abc|NaN)`, diff: `^status (500|200), rollcall: 400`,
	},
	{
		what: "a scrape timeout not above `--timeout-offset`", peer: "a timeout of 0", ours: "the module's timeout", because: "the probe can still be made",
		held: "e2e/hostile_requests_test.go: func nonsenseTimeouts",
	},
	{
		what: "repeated or reserved labels, labels that are not UTF-8", peer: "the scrape breaks off", ours: "a configuration error, or a cleaned label", because: "one banner must not hide the verdict",
		held: `e2e/visits_test.go: "tcp_expect_labels_not_utf8"`,
	},
	{
		what: "`starttls` after `tls: true`", peer: "the scrape breaks off", ours: "a configuration error", because: "it cannot work",
		in: `^starttls inside tls$`, diff: `^config accepted, rollcall: refused`,
	},
	{
		what: "bytes in clear behind the go-ahead for STARTTLS", peer: "accepted", ours: "`data_before_tls`", because: "an attacker in the middle can put words there",
		in: `^tcp_starttls_injected$`, diff: `.`,
	},
	{
		what: "a body regexp beside a CEL expression", peer: "CEL always fails", ours: "both see the body", because: "both were asked for",
		held: `e2e/visits_test.go: "http_check_cel_beside_regexp"`,
	},
	{
		what: "a regular expression that takes seconds", peer: "works on after the deadline", ours: "ends with it: 500", because: "the target has answered",
		held: "probe/match_test.go: func TestExpressionThatTakesTooLongIsNotTheTargetsFault",
	},
	{
		what: "a body that cannot be read", peer: "counts as a regexp failure", ours: "a reason of its own", because: "no regexp has decided",
		in: `^http_body_cut_short_before_a_regexp$`, diff: `^probe_failed_due_to_regex `,
	},
	{
		what: "`expect_bytes` over several reads, or after `expect`", peer: "down, bytes lost", ours: "up", because: "the network splits as it likes",
		held: `e2e/visits_test.go: "tcp_expect_bytes_byte_by_byte"`,
	},
	{
		what: "a line over 64 KiB", peer: "a scanner error", ours: "accepted to 128 KiB, then `line_too_long`", because: "the reason is told",
		held: `e2e/visits_test.go: "tcp_expect_endless_line"`,
	},
	{
		what: "lines without an end", peer: "read and logged until the deadline", ours: "`conversation_too_long`", because: "they cost it hundreds of megabytes",
		held: `e2e/visits_test.go: "tcp_expect_endless_lines"`,
	},
	{
		what: "`compression: deflate`", peer: "raw only", ours: "with and without zlib's wrapping", because: "both are sent",
		in: `^http_body_deflate_zlib$`, diff: `.`,
	},
	{
		what: "OAuth 2.0 tokens", peer: "fetched for each probe, without a deadline", ours: "kept until they expire or are refused, fetched within the probe's", because: "a token server must not hold up a scrape",
		held: `e2e/visits_test.go: "http_request_token_never_comes"`,
	},
	{
		what: "a `hostname` with a port", peer: "the port ends up in the TLS name", ours: "it does not", because: "no certificate has one",
		in: `^https_up_name_with_port_by_hostname_parameter$`, diff: `.`,
	},
	{
		what: "misspelt probers, ip protocols, compressions and DNS response codes, a missing `query_name`, files that are not there", peer: "found by a probe", ours: "a configuration error", because: "with file and line, all at once",
		in: `^(a CA file|a missing|an unknown|dns over TLS without TCP)`, diff: `^config accepted, rollcall: refused`,
	},
	{
		what: "a secret's file that is empty, also for a moment", peer: "an empty password is sent", ours: "the last content for a minute, then 500; at load a configuration error", because: "a file that is being written says nothing about the target",
		held: "probe/file_test.go: func TestEmptySecretFileIsNeverSent",
	},
	{
		what: "a pipe or a device as `password_file`, `body_file` and their like", peer: "waited for", ours: "a configuration error", because: "nothing may hold up a probe",
		held: "probe/file_unix_test.go: func TestOnlyRegularFilesAreRead",
	},
	{
		what: "the text of `/config`", peer: "cannot be loaded again", ours: "can, secrets aside", because: "it shows what is in force",
		held: "config/blackbox_test.go: func TestShownConfigurationLoadsAgain",
	},
	{
		what: "`timeout: 1d`", peer: "refused", ours: "accepted", because: "it is documented",
		in: `^a day as timeout$`, diff: `^config refused, rollcall: accepted`,
	},
	{
		what: "a probe by `grpc`", peer: "made", ours: "501", because: "it is not built in",
		in: `^probe of a prober that is not built in$`, diff: `rollcall: 501`,
	},
	{
		what: "a ping that a router answers with an ICMP error", peer: "down at the timeout", ours: "down at once, with the reason", because: "the error tells why",
		held: "probe/icmp_linux_test.go: func TestICMPErrorsThatQuoteThePingEndIt",
	},
	{
		what: "no permission to ping", peer: "`probe_success` 0 for every target", ours: "500, and what to do", because: "a verdict is about the target",
		held: `e2e/icmp_test.go: what: "no permission to ping"`,
	},
	{
		what: "`dont_fragment`", peer: "needs a raw socket, and does nothing for IPv6", ours: "with a ping socket as well, and for IPv6", because: "it asks whether the way carries the size",
		held: "probe/icmp_linux_test.go: func TestICMPSizes",
	},
	{
		what: "`payload_size` that is negative or over 65507", peer: "found by a probe", ours: "a configuration error", because: "no packet has room for it",
		in: `^a payload that`, diff: `^config accepted, rollcall: refused`,
	},
	{
		what: "replies of `/probe` for a client that takes gzip", peer: "compressed", ours: "plain", because: "compressing two kilobytes costs more than the probe",
		in: `^probe for a client that takes gzip$`, diff: `^content encoding "gzip", rollcall: ""`,
	},
	{
		what: "unknown paths", peer: "200 and the landing page", ours: "404", because: "a slip should be seen",
		in: `^unknown path$`, diff: `^status 200, rollcall: 404`,
	},
	{
		what: "`/debug/pprof`", peer: "open", ours: "with `--web.enable-pprof`", because: "it is not for everybody",
		in: `^profiles$`, diff: `^status 200, rollcall: 404`,
	},
	{
		what: "`/logs?target=`", peer: "the oldest result", ours: "the newest", because: "that is the one in question",
		held: "web/pages_test.go: func TestLogsFindAResult",
	},
	{
		what: "`/logs` without an id", peer: "500", ours: "400", because: "it is the asker's mistake",
		in: `^logs without id$`, diff: `^status 500, rollcall: 400`,
	},
	{
		what: "`Content-Type` of pages and messages", peer: "without a character set, or none", ours: "UTF-8", because: "a browser need not guess",
		in: `.`, diff: `^content type "(text/plain|text/html|)", rollcall: "text/(plain|html); charset=utf-8"`,
	},
	{
		what: "`--log.prober`", peer: "`info`", ours: "`warn`", because: "a line for every target that is down floods the log when a platform is",
		held: "serve.go: log.prober",
	},
	{
		what: "User-Agent", peer: "`Blackbox-Exporter/…`", ours: "`rollcall/…`", because: "it is who asks",
		in: `^http_request_user_agent$`, diff: `.`,
	},
}

//go:build unix

package e2e

// differences is the table in docs/from-blackbox-exporter.md: the intended differences from blackbox_exporter. The parity
// test fails for a difference that is not listed and for a row that no visit shows. A row that Debian's 0.23 cannot show,
// because it concerns later releases or more than one reply, names the test that checks rollcall's side.
var differences = []difference{
	{
		what: "why a target is down", peer: "in the log", ours: "also `probe_failure_info{stage,reason}`", because: "alerts can include the reason",
		in: `^(http|https|tcp|dns|grpc|name)_`, diff: `^probe_failure_info only in rollcall`,
	},
	{
		what: "certificate metrics when the handshake fails", peer: "none", ours: "present", because: "the expiry is needed most after it has passed",
		in: `^(https|tcp|grpc)_`, diff: `^probe_(ssl_earliest_cert_expiry|ssl_last_chain_info|ssl_last_chain_expiry_timestamp_seconds|tls_version_info) only in rollcall`,
	},
	{
		what: "verified-chain expiry with `insecure_skip_verify`", peer: "−62135596800", ours: "absent", because: "no chain was verified",
		in: `not_verified$`, diff: `^probe_ssl_last_chain_expiry_timestamp_seconds only in blackbox_exporter`,
	},
	{
		what: "the start of a certificate's validity, the expiry of the module's own, and the earliest expiry over all redirects", peer: "not shown", ours: "`probe_ssl_earliest_cert_not_before_timestamp_seconds`, `probe_ssl_client_cert_expiry_timestamp_seconds`, `probe_http_hops_earliest_cert_expiry_timestamp_seconds`", because: "each of them can take a service down",
		in: `^(https?|tcp|grpc|dns|websocket|name|unix)_`, diff: `^probe_(ssl_earliest_cert_not_before|ssl_client_cert_expiry|http_hops_earliest_cert_expiry)_timestamp_seconds only in rollcall`,
	},
	{
		what: "no descriptors, no memory, too many probes", peer: "`probe_success` 0 for every target", ours: "5xx and a counter", because: "a down verdict must be about the target",
		held: "e2e/hostile_ourselves_test.go: func noDescriptors",
	},
	{
		what: "an impossible target: no port for tcp, port 65536, `gopher://`", peer: "`probe_success` 0", ours: "400", because: "it is a client error",
		in: `target`, diff: `^status 200, rollcall: 400`,
	},
	{
		what: "a scheme or port in words: `tcp://host:25` for tcp, `http://host:http`, a websocket target without `ws://`", peer: "down", ours: "read as it is meant", because: "targets are written so elsewhere",
		in: `^tcp_up_target_with_scheme$`, diff: `.`,
	},
	{
		what: "a target `tcp://host:port` without `module`", peer: "probed by `http_2xx`, so down", ours: "probed by `tcp_connect`", because: "the scheme says what it is",
		held: `web/probe_test.go: func TestModuleByTarget`,
	},
	{
		what: "`hostname` for grpc, unix and websocket", peer: "ignored", ours: "the Host and the name in TLS, as for http and tcp", because: "virtual hosts are the same problem there",
		held: `e2e/visits_grpc_test.go: "grpc_up_tls_name_by_hostname_parameter"`,
	},
	{
		what: "a target or hostname over 8 KiB or 512 bytes, with control characters, or not UTF-8", peer: "probed", ours: "400", because: "it would reach logs and headers",
		held: `e2e/hostile_requests_test.go: func missingTarget`,
	},
	{
		what: "what a URL may not hold as it is, e.g. a blank in a query", peer: "sent as it is, so down", ours: "percent-encoded", because: "curl and browsers do",
		in: `^http_up_blank_in_query$`, diff: `.`,
	},
	{
		what: "a target's scheme in capitals", peer: "down", ours: "same as lower case", because: "RFC 3986",
		in: `^http_up_scheme_in_capitals$`, diff: `.`,
	},
	{
		what: "a number as a host, e.g. `127.1`, `0x7f.1`, `2130706433`", peer: "a name that does not exist", ours: "the IPv4 address that it spells", because: "proxies and other programs read it so, and the guard must judge the same address",
		in: `^name_of_an_odd_number$`, diff: `.`,
	},
	{
		what: "an international name in a tcp, icmp, dns or grpc target", peer: "looked up in UTF-8", ours: "looked up in its ASCII form", because: "only that form is registered",
		held: `probe/network/hostport_test.go: "xn--bcher-kva.example"`,
	},
	{
		what: "a name whose address is 0.0.0.0 or `::`", peer: "this machine is probed", ours: "`no_address`", because: "name servers block names so",
		in: `^name_that_is_blocked$`, diff: `.`,
	},
	{
		what: "a name server that drops the query for one of the two families", peer: "down", ours: "the address that is there is used", because: "the target can be reached",
		held: `probe/network/resolve_test.go: half.test`,
	},
	{
		what: "a `source_ip_address` of one family, and a name with addresses of both", peer: "down when the other family is preferred", ours: "the family of the source", because: "the other cannot be reached from it",
		in: `^name_source_address_decides_the_family$`, diff: `.`,
	},
	{
		what: "cloud metadata addresses", peer: "probed", ours: "refused, see [guard](reference.md#the-file-and-a-module)", because: "they hand out credentials",
		held: "probe/guard/guard_test.go: 169.254.169.254",
	},
	{
		what: "body without `body_size_limit`", peer: "unbounded", ours: "10 MB after decoding, then `body_too_large`; `0` is unbounded", because: "a reply of gigabytes must not kill the exporter",
		held: `e2e/visits_test.go: "http_body_endless"`,
	},
	{
		what: "credentials and module headers after a redirect to another host", peer: "sent", ours: "not sent, except User-Agent, Accept, Accept-Encoding, Accept-Language and Content-Type", because: "they often are secrets",
		in: `^name_redirect_elsewhere_drops_credentials$`, diff: `.`,
	},
	{
		what: "credentials at an absolute redirect to the same name", peer: "lost", ours: "kept", because: "it is the same host",
		held: `e2e/names_test.go: "name_redirect_to_itself_keeps_credentials"`,
	},
	{
		what: "a configured Host header or `hostname` at such a redirect", peer: "lost", ours: "kept", because: "it is the same virtual host",
		in: `^http_redirect_absolute_keeps_host$`, diff: `.`,
	},
	{
		what: "the default port of a URL in the Host header, e.g. `http://host:80/`", peer: "sent", ours: "left out", because: "RFC 9110 and browsers leave it out",
		held: `probe/httpprobe/weburl/weburl_test.go: "http://h:80/": "h"`,
	},
	{
		what: "an eleventh redirect whose 3xx is in `valid_status_codes`", peer: "up", ours: "`too_many_redirects`", because: "the redirects did not end",
		in: `^http_redirect_eleventh_is_not_the_answer$`, diff: `.`,
	},
	{
		what: "307 and 308 with `body_file`", peer: "not followed", ours: "followed", because: "the body can be sent again",
		held: `e2e/visits_test.go: "http_redirect_307_keeps_body_file"`,
	},
	{
		what: "the body of a redirect that is not followed", peer: "closed before it is matched", ours: "matched", because: "the option requires it",
		in: `^http_redirect_not_followed_body_is_matched$`, diff: `.`,
	},
	{
		what: "a redirect that cannot be followed", peer: "no status", ours: "the status of the redirect response", because: "the target did answer",
		in: `^http_redirect_(broken_location|to_another_scheme)$`, diff: `^probe_http_`,
	},
	{
		what: "a chunked body with a Content-Length", peer: "up", ours: "`protocol_error`", because: "RFC 9112 treats it as an error or an attack",
		in: `^http_response_length_beside_chunks$`, diff: `.`,
	},
	{
		what: "a status code of 000", peer: "looks like no answer", ours: "`protocol_error`", because: "no valid code begins with 0",
		in: `^http_check_status_000$`, diff: `.`,
	},
	{
		what: "a 407 by the proxy of a plain request", peer: "a status code", ours: "`proxy_refused`", because: "the target was not asked",
		in: `^http_proxy_demands_credentials$`, diff: `^status|.`,
	},
	{
		what: "an `https` proxy before an `http` target", peer: "`probe_http_ssl` 1 and the proxy's certificate", ours: "as without a proxy", because: "the metrics are about the target",
		in: `^http_proxy_over_tls$`, diff: `^probe_(http_ssl|ssl_|tls_)`,
	},
	{
		what: "a server that cannot take a large ClientHello", peer: "down", ours: "asked once more without the post-quantum key share", because: "it works with other clients",
		held: `probe/httpprobe/verdict_test.go: func TestServerThatTakesNoLargeClientHello`,
	},
	{
		what: "certificate metrics of DNS over TLS", peer: "none", ours: "present", because: "its certificates expire, too",
		in: `^dns_(up_)?tls_?`, diff: `^probe_(ssl_earliest_cert_expiry|ssl_last_chain_info|ssl_last_chain_expiry_timestamp_seconds|tls_version_info) only in rollcall`,
	},
	{
		what: "a DNS answer of more than 512 bytes over UDP", peer: "down", ours: "up, to 4 KB", because: "the server did answer",
		in: `^dns_up_over_512_bytes$`, diff: `.`,
	},
	{
		what: "a DNS answer to another question", peer: "up", ours: "`protocol_error`; over UDP, only when no other arrives", because: "it may be forged",
		in: `^dns_response_to_another_question(_tcp)?$`, diff: `.`,
	},
	{
		what: "a DNS answer with fewer records than its header says", peer: "up", ours: "`protocol_error`, unless it is marked as truncated", because: "the missing records are unknown",
		in: `^dns_response_fewer_records_than_it_says$`, diff: `.`,
	},
	{
		what: "`probe_dns_serial` without an SOA record", peer: "0", ours: "absent", because: "0 is a valid serial number",
		in: `^dns_up_serial_of_no_zone$`, diff: `^probe_dns_serial only in blackbox_exporter`,
	},
	{
		what: "a truncated DNS answer", peer: "not shown", ours: "`probe_dns_truncated` 1", because: "records are missing",
		in: `^(dns_|name_.*_dns$)`, diff: `^probe_dns_truncated only in rollcall`,
	},
	{
		what: "a DNS record without data, e.g. an address of no bytes", peer: "up", ours: "`protocol_error`", because: "only dynamic updates have such records",
		in: `^dns_response_address_of_no_bytes$`, diff: `.`,
	},
	{
		what: "a `query_name` in Unicode", peer: "sent in UTF-8", ours: "sent in its ASCII form", because: "only that form is registered",
		in: `^dns_up_query_name_in_unicode$`, diff: `.`,
	},
	{
		what: "`BADVERS` in `valid_rcodes`", peer: "unknown", ours: "accepted", because: "it is the usual name of code 16 in answers",
		held: `probe/dnsprobe/probe_test.go: "BADVERS"`,
	},
	{
		what: "what is percent-encoded in a target, e.g. `+`, `%20`, `%25`, `%2F` in its path or query", peer: "decoded twice, the whole target", ours: "decoded once", because: "the target is probed as it was given",
		held: `e2e/hostile_requests_test.go: func decodedOnce`,
	},
	{
		what: "a scrape timeout that is NaN, negative or not a number", peer: "500, or fails at once", ours: "400", because: "it is a client error",
		in: `scrape timeout (abc|NaN)`, diff: `^status (500|200), rollcall: 400`,
	},
	{
		what: "a scrape timeout of at most `--timeout-offset`", peer: "a timeout of 0", ours: "the module's timeout", because: "the probe can still be made",
		held: "e2e/hostile_requests_test.go: func nonsenseTimeouts",
	},
	{
		what: "repeated or reserved labels, labels that are not UTF-8", peer: "the scrape fails", ours: "the module cannot be used, or a cleaned label", because: "a banner must not hide the verdict",
		held: `e2e/visits_test.go: "tcp_expect_labels_not_utf8"`,
	},
	{
		what: "`starttls` after `tls: true`", peer: "the scrape fails", ours: "the module cannot be used", because: "it cannot work",
		in: `^starttls inside tls$`, diff: `^config accepted, rollcall: refused`,
	},
	{
		what: "plain-text bytes after the server agreed to STARTTLS", peer: "accepted", ours: "`data_before_tls`", because: "an attacker on the path can inject them",
		in: `^tcp_starttls_injected$`, diff: `.`,
	},
	{
		what: "a body regexp together with a CEL expression", peer: "CEL always fails", ours: "both see the body", because: "both are configured",
		held: `e2e/visits_test.go: "http_check_cel_beside_regexp"`,
	},
	{
		what: "a regular expression that takes seconds", peer: "continues after the deadline", ours: "stops at the deadline with 500", because: "the target has answered",
		held: "probe/httpprobe/match_test.go: func TestExpressionThatTakesTooLongIsNotTheTargetsFault",
	},
	{
		what: "a body that cannot be read", peer: "counts as a failed regexp or CEL expression", ours: "a reason of its own; `probe_failed_due_to_regex` and `probe_failed_due_to_cel` 0", because: "nothing was evaluated",
		in: `^http_body_cut_short_before_a_regexp$`, diff: `^probe_failed_due_to_regex `,
	},
	{
		what: "`probe_failed_due_to_cel` then", peer: "1", ours: "0", because: "as above",
		held: `e2e/visits_test.go: "http_body_cut_short_before_cel"`,
	},
	{
		what: "checks of a body in a coding that was not asked for", peer: "the compressed bytes are matched", ours: "`content_encoding`", because: "no expression can match them",
		in: `^http_body_gzip_not_asked_for_and_matched$`, diff: `.`,
	},
	{
		what: "`expect_bytes` over several reads, or after `expect`", peer: "down, bytes lost", ours: "up", because: "the network may split data anywhere",
		held: `e2e/visits_test.go: "tcp_expect_bytes_byte_by_byte"`,
	},
	{
		what: "a line over 64 KiB", peer: "a scanner error", ours: "accepted to 128 KiB, then `line_too_long`", because: "the failure gets its own reason",
		held: `e2e/visits_test.go: "tcp_expect_endless_line"`,
	},
	{
		what: "endless lines", peer: "read and logged until the deadline", ours: "`conversation_too_long`", because: "they use hundreds of megabytes",
		held: `e2e/visits_test.go: "tcp_expect_endless_lines"`,
	},
	{
		what: "`compression: deflate`", peer: "raw only", ours: "raw and with a zlib header", because: "servers send both",
		in: `^http_body_deflate_zlib$`, diff: `.`,
	},
	{
		what: "`compression` without a header Accept-Encoding", peer: "the coding is not asked for", ours: "asked for by Accept-Encoding", because: "servers compress only then",
		in: `^http_body_gzip_asked_for$`, diff: `.`,
	},
	{
		what: "`compression` and an answer without a body, e.g. 204 or to HEAD", peer: "down", ours: "up", because: "there is nothing to decode",
		in: `^http_body_gzip_of_no_body$`, diff: `.`,
	},
	{
		what: "`HTTP/2` in `valid_http_versions`", peer: "never matches", ours: "means `HTTP/2.0`", because: "blackbox_exporter's own examples have it",
		in: `^https_up_http2_by_its_short_name$`, diff: `.`,
	},
	{
		what: "`enable_http3` without `enable_http2: false`", peer: "refused", ours: "accepted", because: "it can only mean one thing",
		held: `e2e/visits_test.go: "https_up_http3"`,
	},
	{
		what: "OAuth 2.0 tokens", peer: "fetched for each probe, without a deadline", ours: "cached until they expire or are refused; fetched within the probe's deadline", because: "a slow token server must not block a scrape",
		held: `e2e/visits_test.go: "http_request_token_never_comes"`,
	},
	{
		what: "a `hostname` with a port", peer: "the port ends up in the TLS name", ours: "the port is removed", because: "certificates have no ports",
		in: `^https_up_name_with_port_by_hostname_parameter$`, diff: `.`,
	},
	{
		what: "a module that cannot work: a file that is missing or unusable, an undefined `${NAME}`, a `source_ip_address` that is not ours, an unknown `compression`, `transport_protocol` or DNS response code, `dns_over_tls` over UDP, a dns module without section, a DNS regexp that does not compile, a method, header or query name that cannot be sent, HTTP/3 by proxy, TLS versions that exclude each other", peer: "starts; each probe is down", ours: "starts; the module is logged, counted in `rollcall_config_modules_unusable`, shown on `/probes` and answered with 5xx; `--config.check` fails", because: "it says nothing about the target",
		in: `^(a CA file|a missing query_name|an unknown|dns over TLS without TCP)`, diff: `^config accepted, rollcall: refused`,
	},
	{
		what: "a `preferred_ip_protocol` that is neither `ip4` nor `ip6`", peer: "read as `ip4`", ours: "the same, with a warning", because: "it is a typing error",
		held: `config/testdata/blackbox/06-ip-protocol-words.remarks: is read as ip4`,
	},
	{
		what: "a secret's file that is empty, even briefly", peer: "an empty password is sent", ours: "the previous content for a minute, then 500; at load the module cannot be used", because: "a file that is being rewritten says nothing about the target",
		held: "probe/option/file_test.go: func TestEmptySecretFileIsNeverSent",
	},
	{
		what: "a pipe or device as `password_file`, `body_file` etc.", peer: "blocks the probe", ours: "the module cannot be used", because: "a file must not block a probe",
		held: `probe/httpprobe/files_unix_test.go: func TestOnlyRegularFilesAreRead`,
	},
	{
		what: "the text of `/config`", peer: "cannot be loaded again", ours: "can, except for secrets", because: "it shows the active configuration",
		held: "config/blackbox_test.go: func TestShownConfigurationLoadsAgain",
	},
	{
		what: "TLS metrics of a grpc call that is not answered with a state", peer: "`probe_grpc_ssl` 0", ours: "as of one that is", because: "the connection was encrypted all the same",
		in: `^grpc_`, diff: `^probe_grpc_ssl `,
	},
	{
		what: "verified-chain expiry of grpc", peer: "none", ours: "there", because: "as for https",
		in: `^grpc_`, diff: `^probe_ssl_last_chain_expiry_timestamp_seconds only in rollcall`,
	},
	{
		what: "a grpc call that is never answered", peer: "ends long after the time limit", ours: "ends with it", because: "the reply must reach the scrape",
		held: `e2e/visits_grpc_test.go: "grpc_response_timeout"`,
	},
	{
		what: "`guard`, `resolver` and `send_bytes`, and the sections beside `modules`", peer: "refused as unknown keys", ours: "options of Rollcall, see the [reference](reference.md#the-configuration-file)", because: "they are new",
		held: "config/blackbox_test.go: func TestBlackboxFileUsesEveryOption",
	},
	{
		what: "`timeout: 1d`", peer: "refused", ours: "accepted", because: "Prometheus durations have days",
		in: `^a day as timeout$`, diff: `^config refused, rollcall: accepted`,
	},
	{
		what: "a ping that a router answers with an ICMP error", peer: "down at the timeout", ours: "down at once, with the reason", because: "the error names the cause",
		held: "probe/icmpprobe/routers_linux_test.go: func TestICMPErrorsThatQuoteTheRequestEndTheProbe",
	},
	{
		what: "a ping to an unspecified, multicast or broadcast address, e.g. `0.0.0.0`", peer: "pings itself, or is down", ours: "400", because: "it is not the address of one host",
		held: `probe/icmpprobe/ping_linux_test.go: "::ffff:0.0.0.0"`,
	},
	{
		what: "no permission to ping", peer: "`probe_success` 0 for every target", ours: "500 with advice", because: "a down verdict must be about the target",
		held: `e2e/icmp_test.go: what: "no permission to ping"`,
	},
	{
		what: "`dont_fragment`", peer: "needs a raw socket, and does nothing for IPv6", ours: "with a ping socket as well, and for IPv6", because: "it tests whether the path carries the size",
		held: "probe/icmpprobe/routers_linux_test.go: func TestPacketSizes",
	},
	{
		what: "`payload_size` that is negative or over 65507", peer: "each probe is down", ours: "the module cannot be used", because: "no packet can hold it",
		in: `^a payload that`, diff: `^config accepted, rollcall: refused`,
	},
	{
		what: "replies of `/probe` for a client that takes gzip", peer: "compressed", ours: "plain", because: "compressing 2 KB costs more than the probe",
		in: `^probe for a client that takes gzip$`, diff: `^content encoding "gzip", rollcall: ""`,
	},
	{
		what: "unknown paths", peer: "200 and the landing page", ours: "404", because: "a typo should be visible",
		in: `^unknown path$`, diff: `^status 200, rollcall: 404`,
	},
	{
		what: "`/debug/pprof`", peer: "open", ours: "with `--web.enable-pprof`", because: "profiles should not be public",
		in: `^profiles$`, diff: `^status 200, rollcall: 404`,
	},
	{
		what: "`/logs?target=`", peer: "the oldest result", ours: "the newest", because: "the newest result is the relevant one",
		held: "web/pages_test.go: func TestLogsFindAResult",
	},
	{
		what: "the text of `debug=true` and `/logs`", peer: "log lines, metrics, module", ours: "verdict with stage, reason and cause, phases, steps, metrics, module", because: "a person reads it",
		held: `web/probe_test.go: func TestDebugReport`,
	},
	{
		what: "`debug` with another value than `true`", peer: "no effect", ours: "no effect, which a comment in the reply says", because: "a person meant something by it",
		held: `web/params_test.go: func TestOtherDebugValuesAreExplained`,
	},
	{
		what: "`/-/reload` by PUT", peer: "405", ours: "reloads", because: "Prometheus takes both",
		in: `^reload by PUT$`, diff: `^status 405, rollcall: 200`,
	},
	{
		what: "started without a configuration file", peer: "ends", ours: "has built-in modules, those of blackbox_exporter's own file", because: "it can be tried at once",
		held: `config/config_test.go: func TestDefaultHasThePeersModules`,
	},
	{
		what: "its modules `pop3s_banner` and `postgresql`", peer: "match no POP3 server; make PostgreSQL log an error", ours: "match; send no newline, by `send_bytes`", because: "they are built in to be used",
		held: `e2e/visits_test.go: "tcp_send_bytes_starttls"`,
	},
	{
		what: "`Content-Type` of pages and messages", peer: "no character set, or no type", ours: "UTF-8", because: "browsers need not guess",
		in: `.`, diff: `^content type "(text/plain|text/html|)", rollcall: "text/(plain|html); charset=utf-8"`,
	},
	{
		what: "`--log.prober`", peer: "`info`", ours: "`warn`", because: "one log line per down target floods the log in an outage",
		held: "cli/serve.go: log.prober",
	},
	{
		what: "User-Agent", peer: "`Blackbox-Exporter/…`", ours: "`rollcall/…`", because: "it names the client",
		in: `^http_request_user_agent$`, diff: `.`,
	},
}

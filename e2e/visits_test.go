//go:build unix

package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A visit is one probe of a server in the park. Golden tests compare its complete reply with the file of the visit's name;
// the parity test compares it with blackbox_exporter's reply.
type visit struct {
	name     string // the behaviour, and the name of the golden file
	module   string // one module in YAML's flow style
	target   string
	hostname string
	// alone says why blackbox_exporter 0.23 is not compared; empty: it is.
	alone string
}

// Reasons why blackbox_exporter 0.23 is not compared.
const (
	noProber = "0.23 has no such prober"
	newer    = "the option is newer than 0.23"
	endless  = "0.23 reads until its deadline, which the hostile suite shows"
	named    = "0.23 refuses the file or the request with an HTTP error"
	ours     = "blackbox_exporter has no such option"
)

// visits returns all visits: every stage at which an http, tcp, dns, unix, grpc or websocket probe can succeed or fail. Angle brackets name servers
// of the park.
func visits() []visit {
	return slices.Concat(webVisits(), webBreakages(), tlsVisits(), tcpVisits(), dnsVisits(), unixVisits(), grpcVisits(), websocketVisits())
}

// modulesFile returns a configuration file with a module for every visit.
func modulesFile(p *park, all []visit) string {
	var b strings.Builder
	b.WriteString("modules:\n")
	for _, v := range all {
		fmt.Fprintf(&b, "  %s: %s\n", v.name, p.fill(v.module))
	}
	return b.String()
}

// query returns the request's query for the visit.
func (v visit) query(p *park) string {
	q := url.Values{"module": {v.name}, "target": {p.fill(v.target)}}
	if v.hostname != "" {
		q.Set("hostname", v.hostname)
	}
	return "/probe?" + q.Encode()
}

func webVisits() []visit {
	return []visit{
		// Successful probes.
		{name: "http_up", module: `{prober: http}`, target: "http://<site>/"},
		{name: "http_up_target_without_scheme", module: `{prober: http}`, target: "<site>"},
		{name: "http_up_scheme_in_capitals", module: `{prober: http}`, target: "HTTP://<site>/"},
		{name: "http_up_ipv6_literal", module: `{prober: http}`, target: "http://<site6>/"},
		{name: "http_up_content_length_unknown", module: `{prober: http}`, target: "http://<site>/unsized"},
		{name: "http_up_last_modified", module: `{prober: http}`, target: "http://<site>/modified"},
		{name: "http_up_http10", module: `{prober: http}`, target: "http://<http10>/"},
		{name: "http_up_blank_in_query", module: `{prober: http}`, target: "http://<site>/?a b"},
		{name: "http_up_one_interim_response", module: `{prober: http}`, target: "http://<oneinterim>/"},

		// Requests.
		{name: "http_request_post_body", module: `{prober: http, http: {method: POST, body: "ping"}}`, target: "http://<site>/want/body?is=ping"},
		{name: "http_request_head", module: `{prober: http, http: {method: HEAD}}`, target: "http://<site>/bytes/1000"},
		{name: "http_request_headers", module: `{prober: http, http: {headers: {X-Animal: lion, User-Agent: zoo}}}`, target: "http://<site>/want/header?X-Animal=lion&User-Agent=zoo"},
		{name: "http_request_host_header", module: `{prober: http, http: {headers: {Host: good.zoo.test}}}`, target: "http://<site>/want/host?is=good.zoo.test"},
		{name: "http_request_hostname_parameter", module: `{prober: http}`, target: "http://<site>/want/host?is=good.zoo.test", hostname: "good.zoo.test"},
		{name: "http_request_closes_and_accepts_nothing", module: `{prober: http}`, target: "http://<site>/want/close"},
		{name: "http_request_user_agent", module: `{prober: http}`, target: "http://<site>/want/agent?is=rollcall"},
		{name: "http_request_basic_auth", module: `{prober: http, http: {basic_auth: {username: alice, password: secret}}}`, target: "http://<site>/want/basic"},
		{name: "http_request_basic_auth_wrong", module: `{prober: http, http: {basic_auth: {username: alice, password: guess}}}`, target: "http://<site>/want/basic"},
		{name: "http_request_userinfo_in_target", module: `{prober: http}`, target: "http://alice:secret@<site>/want/basic"},
		{name: "http_request_bearer", module: `{prober: http, http: {authorization: {credentials: secret}}}`, target: "http://<site>/want/bearer"},
		{name: "http_request_oauth2", module: `{prober: http, http: {oauth2: {client_id: rollcall, client_secret: secret, token_url: "http://<token>/"}}}`, target: "http://<site>/want/bearer"},
		{name: "http_request_token_refused", module: `{prober: http, http: {oauth2: {client_id: rollcall, client_secret: guess, token_url: "http://<token>/"}}}`, target: "http://<site>/want/bearer"},

		// Redirects.
		{name: "http_redirect_relative", module: `{prober: http}`, target: "http://<site>/hops/2"},
		{name: "http_redirect_absolute", module: `{prober: http}`, target: "http://<site>/redirect?to=http://<site>/"},
		{name: "http_redirect_other_host", module: `{prober: http}`, target: "http://<site>/redirect?to=http://<othersite>/"},
		{name: "http_redirect_to_https", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "http://<site>/redirect?to=https://<secure>/"},
		{name: "http_redirect_with_cookie", module: `{prober: http}`, target: "http://<site>/cookie"},
		{name: "http_redirect_ten_are_followed", module: `{prober: http}`, target: "http://<site>/hops/10"},
		{name: "http_redirect_eleventh_stops", module: `{prober: http}`, target: "http://<site>/hops/11"},
		{name: "http_redirect_eleventh_is_not_the_answer", module: `{prober: http, http: {valid_status_codes: [200, 302]}}`, target: "http://<site>/hops/11"},
		{name: "http_redirect_absolute_keeps_host", module: `{prober: http, http: {headers: {Host: good.zoo.test}}}`, target: "http://<site>/redirect?to=http://<site>/want/host?is=good.zoo.test"},
		{name: "http_redirect_loop", module: `{prober: http}`, target: "http://<site>/loop"},
		{name: "http_redirect_not_followed", module: `{prober: http, http: {follow_redirects: false}}`, target: "http://<site>/hops/1"},
		{name: "http_redirect_not_followed_and_valid", module: `{prober: http, http: {follow_redirects: false, valid_status_codes: [302]}}`, target: "http://<site>/hops/1"},
		{name: "http_redirect_not_followed_body_is_matched", module: `{prober: http, http: {follow_redirects: false, valid_status_codes: [302], fail_if_body_not_matches_regexp: [elsewhere]}}`, target: "http://<site>/redirect?to=/"},
		{name: "http_redirect_without_location", module: `{prober: http}`, target: "http://<site>/redirect"},
		{name: "http_redirect_broken_location", module: `{prober: http}`, target: "http://<site>/redirect?to=http%3A%2F%2F%5B%3A%3A1"},
		{name: "http_redirect_to_another_scheme", module: `{prober: http}`, target: "http://<site>/redirect?to=ftp://127.0.0.1/"},
		{name: "http_redirect_to_refusing_port", module: `{prober: http}`, target: "http://<site>/redirect?to=http://<refused>/"},
		{name: "http_redirect_post_becomes_get", module: `{prober: http, http: {method: POST, body: "ping"}}`, target: "http://<site>/redirect?code=303&to=/want/method?is=GET"},
		{name: "http_redirect_307_keeps_post", module: `{prober: http, http: {method: POST, body: "ping"}}`, target: "http://<site>/redirect?code=307&to=/want/body?is=ping"},
		{name: "http_redirect_307_keeps_body_file", module: `{prober: http, http: {method: POST, body_file: "<body>"}}`, target: "http://<site>/redirect?code=307&to=/want/body?is=ping", alone: newer},
		{name: "http_redirect_denied", module: `{prober: http, guard: {deny: [127.0.0.2]}}`, target: "http://<site>/redirect?to=http://<othersite>/", alone: named},

		// Checks of options.
		{name: "http_check_404", module: `{prober: http}`, target: "http://<site>/status/404"},
		{name: "http_check_404_is_valid", module: `{prober: http, http: {valid_status_codes: [404]}}`, target: "http://<site>/status/404"},
		{name: "http_check_204", module: `{prober: http}`, target: "http://<site>/status/204"},
		{name: "http_check_status_000", module: `{prober: http}`, target: "http://<status000>/"},
		{name: "http_check_status_999", module: `{prober: http}`, target: "http://<status999>/"},
		{name: "http_check_version_valid", module: `{prober: http, http: {valid_http_versions: [HTTP/1.1]}}`, target: "http://<site>/"},
		{name: "http_check_version_invalid", module: `{prober: http, http: {valid_http_versions: [HTTP/2.0]}}`, target: "http://<site>/"},
		{name: "http_check_tls_absent", module: `{prober: http, http: {fail_if_not_ssl: true}}`, target: "http://<site>/"},
		{name: "http_check_tls_present", module: `{prober: http, http: {fail_if_ssl: true, tls_config: {ca_file: "<ca>"}}}`, target: "https://<secure>/"},
		{name: "http_check_body_matches", module: `{prober: http, http: {fail_if_body_matches_regexp: [hel+o]}}`, target: "http://<site>/"},
		{name: "http_check_body_does_not_match", module: `{prober: http, http: {fail_if_body_not_matches_regexp: [goodbye]}}`, target: "http://<site>/"},
		{name: "http_check_body_as_wanted", module: `{prober: http, http: {fail_if_body_matches_regexp: [goodbye], fail_if_body_not_matches_regexp: [hel+o]}}`, target: "http://<site>/"},
		{name: "http_check_body_not_looked_at_after_404", module: `{prober: http, http: {fail_if_body_matches_regexp: [Found]}}`, target: "http://<site>/status/404"},
		{name: "http_check_header_matches", module: `{prober: http, http: {fail_if_header_matches: [{header: X-Animal, regexp: li.n}]}}`, target: "http://<site>/header?X-Animal=lion"},
		{name: "http_check_header_does_not_match", module: `{prober: http, http: {fail_if_header_not_matches: [{header: X-Animal, regexp: ti.er}]}}`, target: "http://<site>/header?X-Animal=lion"},
		{name: "http_check_header_missing", module: `{prober: http, http: {fail_if_header_not_matches: [{header: X-Animal, regexp: ti.er}]}}`, target: "http://<site>/"},
		{name: "http_check_header_may_be_missing", module: `{prober: http, http: {fail_if_header_not_matches: [{header: X-Animal, regexp: ti.er, allow_missing: true}]}}`, target: "http://<site>/"},
		{name: "http_check_header_must_be_missing", module: `{prober: http, http: {fail_if_header_matches: [{header: X-Animal, regexp: lion}]}}`, target: "http://<site>/"},
		{name: "http_check_cel_true", module: `{prober: http, http: {fail_if_body_json_matches_cel: "body.count > 2"}}`, target: "http://<site>/json", alone: newer},
		{name: "http_check_cel_as_wanted", module: `{prober: http, http: {fail_if_body_json_not_matches_cel: "body.status == 'ok'"}}`, target: "http://<site>/json", alone: newer},
		{name: "http_check_cel_of_no_json", module: `{prober: http, http: {fail_if_body_json_not_matches_cel: "body.status == 'ok'"}}`, target: "http://<site>/", alone: newer},
		{name: "http_check_cel_beside_regexp", module: `{prober: http, http: {fail_if_body_not_matches_regexp: [ok], fail_if_body_json_not_matches_cel: "body.status == 'ok'"}}`, target: "http://<site>/json", alone: newer},

		// Bodies.
		{name: "http_body_within_limit", module: `{prober: http, http: {body_size_limit: 1KB}}`, target: "http://<site>/bytes/1024"},
		{name: "http_body_over_limit", module: `{prober: http, http: {body_size_limit: 1KB}}`, target: "http://<site>/bytes/1025"},
		{name: "http_body_gzip", module: `{prober: http, http: {compression: gzip, fail_if_body_not_matches_regexp: [hello]}}`, target: "http://<site>/encoded/gzip"},
		{name: "http_body_br", module: `{prober: http, http: {compression: br, fail_if_body_not_matches_regexp: [hello]}}`, target: "http://<site>/encoded/br"},
		{name: "http_body_deflate_raw", module: `{prober: http, http: {compression: deflate, fail_if_body_not_matches_regexp: [hello]}}`, target: "http://<site>/encoded/raw-deflate"},
		{name: "http_body_deflate_zlib", module: `{prober: http, http: {compression: deflate, fail_if_body_not_matches_regexp: [hello]}}`, target: "http://<site>/encoded/deflate"},
		{name: "http_body_identity", module: `{prober: http, http: {compression: identity}}`, target: "http://<site>/"},
		{name: "http_body_gzip_not_asked_for", module: `{prober: http}`, target: "http://<site>/encoded/gzip"},
		{name: "http_body_gzip_not_asked_for_and_matched", module: `{prober: http, http: {fail_if_body_not_matches_regexp: [hello]}}`, target: "http://<site>/encoded/gzip"},
		{name: "http_body_gzip_asked_for", module: `{prober: http, http: {compression: gzip, valid_status_codes: [204]}}`, target: "http://<site>/want/coding?is=gzip"},
		{name: "http_body_gzip_of_no_body", module: `{prober: http, http: {compression: gzip}}`, target: "http://<site>/status/204"},
		{name: "http_body_broken_gzip", module: `{prober: http, http: {compression: gzip}}`, target: "http://<badgzip>/"},

		// Addresses and proxies.
		{name: "http_address_other_family_by_fallback", module: `{prober: http, http: {preferred_ip_protocol: ip6}}`, target: "http://<site>/"},
		{name: "http_address_other_family_refused", module: `{prober: http, http: {preferred_ip_protocol: ip6, ip_protocol_fallback: false}}`, target: "http://<site>/"},
		{name: "http_proxy_plain", module: `{prober: http, http: {proxy_url: "http://<proxy>"}}`, target: "http://<site>/"},
		{name: "http_proxy_tunnel", module: `{prober: http, http: {proxy_url: "http://<proxy>", tls_config: {ca_file: "<ca>"}}}`, target: "https://<secure>/"},
		{name: "http_proxy_over_tls", module: `{prober: http, http: {proxy_url: "https://<secureproxy>", enable_http2: false, tls_config: {ca_file: "<ca>"}}}`, target: "http://<site>/"},
		{name: "http_proxy_demands_credentials", module: `{prober: http, http: {proxy_url: "http://<site>"}}`, target: "http://<othersite>/status/407"},
		{name: "http_proxy_resolves", module: `{prober: http, http: {proxy_url: "http://<proxy>", skip_resolve_phase_with_proxy: true}}`, target: "http://<site>/"},
		{name: "http_proxy_refuses_tunnel", module: `{prober: http, http: {proxy_url: "http://<refuser>"}}`, target: "https://<secure>/"},
		{name: "http_proxy_is_not_there", module: `{prober: http, http: {proxy_url: "http://<refused>"}}`, target: "http://<site>/"},
		{name: "http_proxy_is_silent", module: `{prober: http, timeout: 500ms, http: {proxy_url: "http://<silent>"}}`, target: "https://<secure>/"},
		{name: "http_proxy_speaks_no_http", module: `{prober: http, http: {proxy_url: "http://<ssh>"}}`, target: "https://<secure>/"},
		{name: "http_proxy_hangs_up", module: `{prober: http, http: {proxy_url: "http://<readsandcloses>"}}`, target: "https://<secure>/"},
	}
}

func webBreakages() []visit {
	return []visit{
		{name: "http_connect_refused", module: `{prober: http}`, target: "http://<refused>/"},
		{name: "http_connect_timeout", module: `{prober: http, timeout: 500ms}`, target: "http://<blackhole>/"},
		{name: "http_request_token_server_denied", module: `{prober: http, guard: {deny: [127.0.0.2]}, http: {oauth2: {client_id: rollcall, client_secret: secret, token_url: "http://<othersite>/"}}}`, target: "http://<site>/", alone: named},
		{name: "http_request_token_never_comes", module: `{prober: http, timeout: 500ms, http: {oauth2: {client_id: rollcall, client_secret: secret, token_url: "http://<slowhead>/"}}}`, target: "http://<site>/", alone: endless},
		{name: "http_response_timeout", module: `{prober: http, timeout: 500ms}`, target: "http://<slowhead>/"},
		{name: "http_response_hangup", module: `{prober: http}`, target: "http://<hangup>/"},
		{name: "http_response_reset", module: `{prober: http}`, target: "http://<resetreply>/"},
		{name: "http_response_another_protocol", module: `{prober: http}`, target: "http://<nothttp>/"},
		{name: "http_response_broken_status_line", module: `{prober: http}`, target: "http://<badstatus>/"},
		{name: "http_response_http09", module: `{prober: http}`, target: "http://<http09>/"},
		{name: "http_response_two_content_lengths", module: `{prober: http}`, target: "http://<twolengths>/"},
		{name: "http_response_length_beside_chunks", module: `{prober: http}`, target: "http://<lengthchunked>/"},
		{name: "http_response_header_flood", module: `{prober: http}`, target: "http://<headerflood>/"},
		{name: "http_response_long_header", module: `{prober: http}`, target: "http://<longerheader>/"},
		{name: "http_response_endless_interim", module: `{prober: http}`, target: "http://<interim>/"},
		{name: "http_body_timeout", module: `{prober: http, timeout: 500ms}`, target: "http://<slowbody>/"},
		{name: "http_body_longer_than_content_length", module: `{prober: http}`, target: "http://<longbody>/"},
		{name: "http_body_cut_short", module: `{prober: http}`, target: "http://<shortbody>/"},
		{name: "http_body_cut_short_before_a_regexp", module: `{prober: http, http: {fail_if_body_not_matches_regexp: [hello]}}`, target: "http://<shortbody>/"},
		{name: "http_body_cut_short_before_cel", module: `{prober: http, http: {fail_if_body_json_not_matches_cel: "body.status == 'ok'"}}`, target: "http://<shortbody>/", alone: newer},
		{name: "http_body_reset", module: `{prober: http}`, target: "http://<resetbody>/"},
		{name: "http_body_broken_chunk", module: `{prober: http}`, target: "http://<badchunk>/"},
		{name: "http_body_cut_chunk", module: `{prober: http}`, target: "http://<cutchunk>/"},
		{name: "http_body_endless_trailer", module: `{prober: http}`, target: "http://<longtrailer>/", alone: endless},
		{name: "http_body_endless", module: `{prober: http}`, target: "http://<endlessbody>/", alone: endless},
	}
}

func tlsVisits() []visit {
	return []visit{
		{name: "https_up", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<secure>/"},
		{name: "https_up_http2", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<secureh2>/"},
		{name: "https_up_http2_by_its_short_name", module: `{prober: http, http: {valid_http_versions: [HTTP/2], tls_config: {ca_file: "<ca>"}}}`, target: "https://<secureh2>/"},
		{name: "https_up_http2_switched_off", module: `{prober: http, http: {enable_http2: false, tls_config: {ca_file: "<ca>"}}}`, target: "https://<secureh2>/"},
		{name: "https_up_tls13", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<secure13>/"},
		{name: "https_up_chain", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<chained>/"},
		{name: "https_up_not_verified", module: `{prober: http, http: {tls_config: {insecure_skip_verify: true}}}`, target: "https://<secure>/"},
		{name: "https_up_expired_and_not_verified", module: `{prober: http, http: {tls_config: {insecure_skip_verify: true}}}`, target: "https://<expired>/"},
		{name: "https_up_configured_name", module: `{prober: http, http: {tls_config: {ca_file: "<ca>", server_name: elsewhere.zoo.test}}}`, target: "https://<wrongname>/"},
		{name: "https_up_name_by_hostname_parameter", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<wrongname>/", hostname: "elsewhere.zoo.test"},
		{name: "https_up_name_with_port_by_hostname_parameter", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<wrongname>/", hostname: "elsewhere.zoo.test:4444"},
		{name: "https_up_client_certificate", module: `{prober: http, http: {tls_config: {ca_file: "<ca>", cert_file: "<cert>", key_file: "<key>"}}}`, target: "https://<wantsclient>/"},
		{name: "https_expired", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<expired>/"},
		{name: "https_not_yet_valid", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<notyetvalid>/"},
		{name: "https_wrong_name", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<wrongname>/"},
		{name: "https_wrong_usage", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<wrongusage>/"},
		{name: "https_unknown_authority", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<stranger>/"},
		{name: "https_malformed_certificate", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<malformed>/"},
		{name: "https_client_certificate_demanded", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<wantsclient>/"},
		{name: "https_plain_http_server", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<site>/"},
		{name: "http_on_a_tls_port", module: `{prober: http}`, target: "http://<secure>/"},
		{name: "https_tls_version_too_old", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<tls10>/"},
		{name: "https_tls_version_too_new", module: `{prober: http, http: {tls_config: {ca_file: "<ca>", min_version: TLS13}}}`, target: "https://<tls12>/"},
		{name: "https_handshake_refused", module: `{prober: http}`, target: "https://<refusestls>/"},
		{name: "https_handshake_timeout", module: `{prober: http, timeout: 500ms}`, target: "https://<silent>/"},
		{name: "https_handshake_closed", module: `{prober: http}`, target: "https://<readsandcloses>/"},
		{name: "https_handshake_reset", module: `{prober: http}`, target: "https://<resetafterread>/"},
		{name: "https_up_http3", module: `{prober: http, http: {enable_http3: true, tls_config: {ca_file: "<ca>"}}}`, target: "https://<secureh3>/", alone: newer},
		{name: "https_http3_expired", module: `{prober: http, http: {enable_http3: true, tls_config: {ca_file: "<ca>"}}}`, target: "https://<expiredh3>/", alone: newer},
		{name: "https_http3_is_silent", module: `{prober: http, timeout: 500ms, http: {enable_http3: true}}`, target: "https://<silentudp>/", alone: newer},
		{name: "https_http2_goaway", module: `{prober: http, timeout: 2s, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<goaway>/"},
		{name: "https_http2_stream_reset", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`, target: "https://<resetstream>/"},
	}
}

func tcpVisits() []visit {
	return []visit{
		{name: "tcp_up", module: `{prober: tcp}`, target: "<silent>"},
		{name: "tcp_up_source_address", module: `{prober: tcp, tcp: {source_ip_address: 127.0.0.3}}`, target: "<silent>"},
		{name: "tcp_up_target_with_scheme", module: `{prober: tcp}`, target: "tcp://<silent>"},
		{name: "tcp_up_reset_after_accept", module: `{prober: tcp}`, target: "<reset>", alone: "0.23 sometimes takes the RST for a failed connect"},
		{name: "tcp_up_ipv6", module: `{prober: tcp}`, target: "<site6>"},
		{name: "tcp_up_other_family_by_fallback", module: `{prober: tcp, tcp: {preferred_ip_protocol: ip6}}`, target: "<silent>"},
		{name: "tcp_resolve_other_family_refused", module: `{prober: tcp, tcp: {preferred_ip_protocol: ip6, ip_protocol_fallback: false}}`, target: "<silent>"},
		{name: "tcp_connect_refused", module: `{prober: tcp}`, target: "<refused>"},
		{name: "tcp_connect_timeout", module: `{prober: tcp, timeout: 500ms}`, target: "<blackhole>"},
		{name: "tcp_connect_link_local_without_zone", module: `{prober: tcp}`, target: "[fe80::1]:80"},
		{name: "tcp_expect_banner", module: `{prober: tcp, tcp: {query_response: [{expect: "^SSH-2.0-"}]}}`, target: "<ssh>"},
		{name: "tcp_expect_banner_byte_by_byte", module: `{prober: tcp, tcp: {query_response: [{expect: "^SSH-2.0-"}]}}`, target: "<dripssh>"},
		{name: "tcp_expect_labels", module: `{prober: tcp, tcp: {query_response: [{expect: "^SSH-2.0-([^ -]+)(?: (.*))?$", labels: [{name: ssh_version, value: "${1}"}, {name: ssh_comments, value: "${2}"}]}]}}`, target: "<ssh>", alone: newer},
		{name: "tcp_expect_empty_labels", module: `{prober: tcp, tcp: {query_response: [{expect: "^SSH", labels: []}]}}`, target: "<ssh>", alone: newer},
		{name: "tcp_expect_labels_not_utf8", module: `{prober: tcp, tcp: {query_response: [{expect: "^SSH-2.0-(.*)$", labels: [{name: version, value: "${1}"}]}]}}`, target: "<notutf8>", alone: newer},
		{name: "tcp_expect_send_dialogue", module: `{prober: tcp, tcp: {query_response: [{send: "NICK prober"}, {send: "USER prober prober prober :prober"}, {expect: "PING :([^ ]+)", send: "PONG ${1}"}, {expect: "^:[^ ]+ 001"}]}}`, target: "<irc>"},
		{name: "tcp_expect_never_matches", module: `{prober: tcp, tcp: {query_response: [{expect: "^POP3"}]}}`, target: "<sshclosing>"},
		{name: "tcp_expect_waits_past_deadline", module: `{prober: tcp, timeout: 500ms, tcp: {query_response: [{expect: "^POP3"}]}}`, target: "<ssh>"},
		{name: "tcp_expect_from_silence", module: `{prober: tcp, timeout: 500ms, tcp: {query_response: [{expect: "^SSH"}]}}`, target: "<silent>"},
		{name: "tcp_expect_closed_at_once", module: `{prober: tcp, tcp: {query_response: [{expect: "^SSH"}]}}`, target: "<closes>"},
		{name: "tcp_expect_reset", module: `{prober: tcp, tcp: {query_response: [{send: "hello"}, {expect: "^SSH"}]}}`, target: "<resetafterread>"},
		{name: "tcp_expect_endless_line", module: `{prober: tcp, tcp: {query_response: [{expect: "^SSH"}]}}`, target: "<line>"},
		{name: "tcp_expect_endless_lines", module: `{prober: tcp, timeout: 2s, tcp: {query_response: [{expect: "^SSH"}]}}`, target: "<lines>", alone: endless},
		{name: "tcp_expect_bytes", module: `{prober: tcp, tcp: {query_response: [{expect_bytes: "SSH-2.0"}]}}`, target: "<ssh>", alone: newer},
		{name: "tcp_expect_bytes_byte_by_byte", module: `{prober: tcp, tcp: {query_response: [{expect_bytes: "SSH-2.0"}]}}`, target: "<dripssh>", alone: newer},
		{name: "tcp_expect_bytes_mismatch", module: `{prober: tcp, tcp: {query_response: [{expect_bytes: "SSH-1.9"}]}}`, target: "<ssh>", alone: newer},
		{name: "tcp_send_bytes", module: `{prober: tcp, tcp: {query_response: [{send_bytes: "\x00\x01ping"}, {expect_bytes: "\x00\x01ping"}]}}`, target: "<echo>", alone: ours},
		{name: "tcp_send_bytes_starttls", module: `{prober: tcp, tcp: {tls_config: {ca_file: "<ca>"}, query_response: [{send_bytes: !!binary AAAACATSFi8=}, {expect_bytes: S}, {starttls: true}]}}`, target: "<postgresql>", alone: ours},
		{name: "tcp_tls_up", module: `{prober: tcp, tcp: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<securessh>"},
		{name: "tcp_tls_expect", module: `{prober: tcp, tcp: {tls: true, tls_config: {ca_file: "<ca>"}, query_response: [{expect: "^SSH"}]}}`, target: "<securessh>"},
		{name: "tcp_tls_not_verified", module: `{prober: tcp, tcp: {tls: true, tls_config: {insecure_skip_verify: true}}}`, target: "<securessh>"},
		{name: "tcp_tls_name_by_hostname_parameter", module: `{prober: tcp, tcp: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<wrongname>", hostname: "elsewhere.zoo.test"},
		{name: "tcp_tls_expired", module: `{prober: tcp, tcp: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<expired>"},
		{name: "tcp_tls_not_yet_valid", module: `{prober: tcp, tcp: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<notyetvalid>"},
		{name: "tcp_tls_wrong_name", module: `{prober: tcp, tcp: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<wrongname>"},
		{name: "tcp_tls_unknown_authority", module: `{prober: tcp, tcp: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<stranger>"},
		{name: "tcp_tls_plain_peer", module: `{prober: tcp, tcp: {tls: true, tls_config: {ca_file: "<ca>"}}}`, target: "<ssh>"},
		{name: "tcp_tls_handshake_timeout", module: `{prober: tcp, timeout: 500ms, tcp: {tls: true}}`, target: "<silent>"},
		{name: "tcp_starttls_up", module: starttlsModule, target: "<mail>"},
		{name: "tcp_starttls_expired", module: starttlsModule, target: "<expiredmail>"},
		{name: "tcp_starttls_injected", module: starttlsModule, target: "<injecting>"},
		{name: "tcp_starttls_refused", module: impatient(starttlsModule), target: "<ssh>"},
	}
}

// impatient returns a module with a timeout of half a second.
func impatient(module string) string { return strings.Replace(module, "{", "{timeout: 500ms, ", 1) }

const starttlsModule = `{prober: tcp, tcp: {tls_config: {ca_file: "<ca>"}, query_response: [` +
	`{expect: "^220 ([^ ]+) ESMTP"}, {send: "EHLO prober"}, {expect: "^250 STARTTLS"}, {send: "STARTTLS"}, ` +
	`{expect: "^220"}, {starttls: true}, {send: "EHLO prober"}, {expect: "^250 "}, {send: "QUIT"}]}}`

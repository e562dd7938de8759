//go:build unix

package e2e

import (
	"fmt"
	"strings"
)

// dnsVisits are the visits of the dns prober. The target is a name server; the queried name selects its behaviour.
func dnsVisits() []visit {
	asking := func(name, behaviour, options string) visit {
		return visit{name: name, module: dnsModule(behaviour, options), target: "<names>"}
	}
	overTCP := func(name, behaviour, options string) visit {
		return asking(name, behaviour, "transport_protocol: tcp, "+options)
	}
	overTLS := func(name, target, options string) visit {
		return visit{name: name, module: dnsModule("www", `transport_protocol: tcp, dns_over_tls: true, `+options), target: target}
	}
	const trusting = `tls_config: {ca_file: "<ca>"}, `
	return []visit{
		asking("dns_up", "www", ""),
		asking("dns_up_without_records", "empty", ""),
		asking("dns_up_any_type_by_default", "www", `query_type: "", `),
		asking("dns_up_class_and_no_recursion", "www", "query_class: CH, recursion_desired: false, "),
		asking("dns_up_source_address", "www", "source_ip_address: 127.0.0.3, "),
		asking("dns_up_truncated", "truncated", ""),
		asking("dns_up_query_name_in_unicode", "www.bücher", `validate_answer_rrs: {fail_if_not_matches_regexp: ["^www\\.xn--bcher-kva\\."]}, `),
		asking("dns_up_after_other_ids", "late", ""),
		asking("dns_up_over_512_bytes", "large", ""),
		asking("dns_up_code_that_is_valid", "absent", "valid_rcodes: [NXDOMAIN], "),
		asking("dns_up_serial", "zone", "query_type: SOA, "),
		asking("dns_up_serial_of_no_zone", "absent", "query_type: SOA, valid_rcodes: [NXDOMAIN], "),
		overTCP("dns_up_tcp", "www", ""),
		overTLS("dns_up_tls", "<securenames>", trusting),
		overTLS("dns_up_tls_not_verified", "<securenames>", "tls_config: {insecure_skip_verify: true}, "),
		{name: "dns_up_other_family_by_fallback", module: dnsModule("www", "preferred_ip_protocol: ip6, "), target: "<names>"},
		{name: "dns_resolve_other_family_refused", module: dnsModule("www", "preferred_ip_protocol: ip6, ip_protocol_fallback: false, "), target: "<names>"},

		// Checks of options.
		asking("dns_check_name_that_does_not_exist", "absent", ""),
		asking("dns_check_refused", "refused", ""),
		asking("dns_check_code_that_is_not_valid", "www", "valid_rcodes: [NXDOMAIN, SERVFAIL], "),
		asking("dns_check_matches", "www", `validate_answer_rrs: {fail_if_matches_regexp: ["\\.2$"]}, `),
		asking("dns_check_matches_nothing", "www", `validate_answer_rrs: {fail_if_matches_regexp: ["\\.3$"]}, `),
		asking("dns_check_not_all_match_not", "www", `validate_answer_rrs: {fail_if_not_matches_regexp: ["\\.1$"]}, `),
		asking("dns_check_all_match_not", "www", `validate_answer_rrs: {fail_if_not_matches_regexp: ["^www.records.test.\t300\tIN\tA\t192.0.2.[12]$"]}, `),
		asking("dns_check_match_not_without_records", "empty", `validate_answer_rrs: {fail_if_not_matches_regexp: ["."]}, `),
		asking("dns_check_all_match", "www", `validate_answer_rrs: {fail_if_all_match_regexp: ["192"]}, `),
		asking("dns_check_not_all_match", "www", `validate_answer_rrs: {fail_if_all_match_regexp: ["\\.1$"]}, `),
		asking("dns_check_all_match_without_records", "empty", `validate_answer_rrs: {fail_if_all_match_regexp: ["192"]}, `),
		asking("dns_check_none_matches", "www", `validate_answer_rrs: {fail_if_none_matches_regexp: ["10\\.", "172\\."]}, `),
		asking("dns_check_one_matches", "www", `validate_answer_rrs: {fail_if_none_matches_regexp: ["10\\.", "\\.2$"]}, `),
		asking("dns_check_none_matches_without_records", "empty", `validate_answer_rrs: {fail_if_none_matches_regexp: ["."]}, `),
		asking("dns_check_authority", "www", `validate_authority_rrs: {fail_if_matches_regexp: ["NS\tns.records.test.$"]}, `),
		asking("dns_check_additional", "www", `validate_additional_rrs: {fail_if_not_matches_regexp: ["AAAA\t2001:db8::54"]}, `),
		asking("dns_check_mailbox_with_a_dot", "zone", `query_type: SOA, validate_answer_rrs: {fail_if_not_matches_regexp: ["first\\\\.last.records.test. 2026112201 7200 3600 1209600 300$"]}, `),

		// Broken answers.
		{name: "dns_connect_refused", module: dnsModule("www", ""), target: "<refused>"},
		{name: "dns_connect_refused_tcp", module: dnsModule("www", "transport_protocol: tcp, "), target: "<refused>"},
		{name: "dns_connect_timeout_tcp", module: timed(dnsModule("www", "transport_protocol: tcp, ")), target: "<blackhole>"},
		timeLimited(asking("dns_response_timeout", "silent", "")),
		timeLimited(overTCP("dns_response_timeout_tcp", "silent", "")),
		timeLimited(asking("dns_response_to_another_question", "stranger", "")),
		timeLimited(asking("dns_response_nonsense", "nonsense", "")),
		overTCP("dns_response_nonsense_tcp", "nonsense", ""),
		overTCP("dns_response_to_another_question_tcp", "stranger", ""),
		asking("dns_response_fewer_records_than_it_says", "claims", ""),
		asking("dns_response_name_that_points_to_itself", "loop", ""),
		asking("dns_response_address_of_three_bytes", "short", ""),
		asking("dns_response_address_of_no_bytes", "nodata", ""),
		{name: "dns_response_closed_tcp", module: dnsModule("www", "transport_protocol: tcp, "), target: "<readsandcloses>"},
		{name: "dns_response_reset_tcp", module: dnsModule("www", "transport_protocol: tcp, "), target: "<resetafterread>"},
		overTLS("dns_tls_expired", "<expired>", trusting),
		overTLS("dns_tls_wrong_name", "<wrongname>", trusting),
		overTLS("dns_tls_unknown_authority", "<stranger>", trusting),
		overTLS("dns_tls_configured_name", "<wrongnames>", `tls_config: {ca_file: "<ca>", server_name: elsewhere.zoo.test}, `),
		timeLimited(overTLS("dns_tls_plain_peer", "<names>", trusting)),
	}
}

// dnsModule returns a module that queries the A record of a name.
func dnsModule(behaviour, options string) string {
	if !strings.Contains(options, "query_type") {
		options += "query_type: A, "
	}
	return fmt.Sprintf(`{prober: dns, dns: {%squery_name: %s.records.test}}`, options, behaviour)
}

// timed sets the timeout of a module to half a second.
func timed(module string) string { return "{timeout: 500ms, " + module[1:] }

func timeLimited(v visit) visit {
	v.module = timed(v.module)
	return v
}

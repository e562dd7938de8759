//go:build linux

package main

import (
	"fmt"
	"slices"
)

// config is the module file for rollcall and the peer. The floor has the same modules by name.
const config = `modules:
  tcp:
    prober: tcp
    tcp: {preferred_ip_protocol: ip4}
  tcp_expect:
    prober: tcp
    tcp: {preferred_ip_protocol: ip4, query_response: [{expect: "^never said$"}]}
  tls:
    prober: tcp
    tcp: {preferred_ip_protocol: ip4, tls: true, tls_config: {ca_file: %[1]q}}
  http:
    prober: http
    http: {preferred_ip_protocol: ip4}
  https:
    prober: http
    http: {preferred_ip_protocol: ip4, fail_if_not_ssl: true, tls_config: {ca_file: %[1]q}}
  dns:
    prober: dns
    dns:
      preferred_ip_protocol: ip4
      query_name: www.example.com
      query_type: A
      validate_answer_rrs: {fail_if_not_matches_regexp: ['\tA\t192\.0\.2\.[0-9]+$']}
  icmp:
    prober: icmp
    icmp: {preferred_ip_protocol: ip4}
  grpc:
    prober: grpc
    grpc: {preferred_ip_protocol: ip4}
`

// laterConfig are the modules whose probers the peer's 0.23 does not have; they follow config.
const laterConfig = `  unix:
    prober: unix
  websocket:
    prober: websocket
    websocket: {preferred_ip_protocol: ip4}
`

// checkCase is one kind of probe with its known outcome.
type checkCase struct {
	name    string
	module  string
	server  string // name of the loopback server; empty: the host itself
	scheme  string // "", "http://", "https://", "ws://", "unix://"
	success string
	paced   bool // also measured at a fixed rate
	noFloor bool // the floor cannot do it
	noPeer  bool // blackbox_exporter 0.23 has no such prober

	// Goals for the ratio peer/rollcall with one connection, with 32 and paced; 0: no goal.
	goals [3]float64
}

var (
	tcpUp      = checkCase{name: "tcp up", module: "tcp", server: "tcp", success: "1", paced: true, goals: [3]float64{3.3, 5, 2.7}}
	tcpRefused = checkCase{name: "tcp refused", module: "tcp", server: "refused", success: "0", goals: [3]float64{0, 6, 0}}
	http200    = checkCase{name: "http 200, 1 KB", module: "http", server: "http", scheme: "http://", success: "1", paced: true, goals: [3]float64{3.3, 5, 2.7}}
	https200   = checkCase{name: "https, full handshake, verified", module: "https", server: "https", scheme: "https://", success: "1", goals: [3]float64{2, 2, 0}}
	dnsAnswer  = checkCase{name: "dns over UDP, with a regexp", module: "dns", server: "dns", success: "1"}
	icmpReply  = checkCase{name: "icmp", module: "icmp", success: "1", noFloor: true}
	grpcHealth = checkCase{name: "grpc health", module: "grpc", server: "grpc", success: "1", noFloor: true}
	unixUp     = checkCase{name: "unix up", module: "unix", scheme: "unix://", success: "1", noPeer: true}
	webSocket  = checkCase{name: "websocket", module: "websocket", server: "websocket", scheme: "ws://", success: "1", noPeer: true}
)

// checkCases are the probes that are compared. Measurements with one case only use http200, the most common.
var checkCases = []checkCase{tcpUp, tcpRefused, http200, https200, dnsAnswer, icmpReply, grpcHealth, unixUp, webSocket}

// silentCases are probes of a server that sends nothing: each ends with a timeout.
var silentCases = []checkCase{
	{name: "http", module: "http", server: "silent", scheme: "http://", success: "0"},
	{name: "tcp expect", module: "tcp_expect", server: "silent", success: "0"},
	{name: "tls handshake", module: "tls", server: "silent", success: "0"},
}

// target is the address of the case's server. Different hosts are different targets to an exporter; any address
// in 127.0.0.0/8 reaches the server.
func (c checkCase) target(t *targets, host string) string {
	switch {
	case c.module == "unix":
		return c.scheme + t.socket
	case c.server == "":
		return host
	}
	return fmt.Sprintf("%s%s:%d", c.scheme, host, t.ports[c.server])
}

// leavesOut reports whether the exporter cannot do the case.
func (c checkCase) leavesOut(e *exporter) bool {
	return c.noFloor && e.name == nameFloor || c.noPeer && e.name == nameBlackbox
}

// rollcallFamilies are the families of a reply of rollcall, sorted by name.
func rollcallFamilies(c checkCase) []string {
	families := append(blackboxFamilies(c), "probe_timeout_seconds")
	if c.success == "0" {
		families = append(families, "probe_failure_info")
	}
	switch {
	case c.module == "dns":
		families = append(families, "probe_dns_truncated")
	case c.module == "icmp", c.module == "websocket":
	case c.module == "grpc": // 0.23 has an expiry also without TLS
		families = slices.DeleteFunc(families, func(name string) bool { return name == "probe_ssl_earliest_cert_expiry" })
	case c.server == "refused": // without a connection there is no conversation
		families = slices.DeleteFunc(families, func(name string) bool { return name == "probe_failed_due_to_regex" })
	case c.scheme == "", c.module == "unix":
		families = append(families, "probe_failed_due_to_bytes")
	case c.module == "https":
		families = append(families, "probe_tls_cipher_info", "probe_http_hops_earliest_cert_expiry_timestamp_seconds",
			"probe_ssl_earliest_cert_not_before_timestamp_seconds")
	}
	slices.Sort(families)
	return families
}

// blackboxFamilies are those of blackbox_exporter 0.23 (HEAD has more; of unix and websocket, which 0.23 lacks, HEAD's),
// sorted by name.
func blackboxFamilies(c checkCase) []string {
	families := []string{"probe_duration_seconds", "probe_success"}
	if c.module != "unix" {
		families = append(families, "probe_dns_lookup_time_seconds", "probe_ip_addr_hash", "probe_ip_protocol")
	}
	switch c.module {
	case "grpc":
		families = append(families, "probe_grpc_duration_seconds", "probe_grpc_healthcheck_response", "probe_grpc_ssl",
			"probe_grpc_status_code", "probe_ssl_earliest_cert_expiry")
	case "websocket":
		families = append(families, "probe_websocket_connection_upgraded", "probe_websocket_duration_seconds",
			"probe_websocket_failed_due_to_regex", "probe_websocket_status_code")
	case "dns":
		families = append(families, "probe_dns_additional_rrs", "probe_dns_answer_rrs", "probe_dns_authority_rrs",
			"probe_dns_duration_seconds", "probe_dns_query_succeeded")
	case "icmp":
		families = append(families, "probe_icmp_duration_seconds", "probe_icmp_reply_hop_limit")
	default:
		families = append(families, "probe_failed_due_to_regex")
	}
	if c.module == "http" || c.module == "https" {
		families = append(families, "probe_http_content_length", "probe_http_duration_seconds", "probe_http_redirects",
			"probe_http_ssl", "probe_http_status_code", "probe_http_uncompressed_body_length", "probe_http_version")
	}
	if c.success == "1" && (c.module == "http" || c.module == "https") {
		families = append(families, "probe_http_last_modified_timestamp_seconds")
	}
	if c.module == "https" {
		families = append(families, "probe_ssl_earliest_cert_expiry", "probe_ssl_last_chain_expiry_timestamp_seconds",
			"probe_ssl_last_chain_info", "probe_tls_version_info")
	}
	slices.Sort(families)
	return families
}

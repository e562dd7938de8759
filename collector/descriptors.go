// Package collector is the only one that knows metric names. It turns a probe.Record into the metric families
// of a /probe reply, writes that reply in the format the client wants, and keeps the exporter's own counters for
// /metrics. It never probes.
//
// A reply is built straight from the Record: a registry for a single scrape would cost more than the probe.
package collector

// family is the index of a metric family in descriptors. The order is by name, which is the order that a
// registry gathers in and the order of the reply.
type family int

const (
	dnsAdditionalRRs family = iota
	dnsAnswerRRs
	dnsAuthorityRRs
	dnsDuration
	dnsLookupTime
	dnsQuerySucceeded
	dnsSerial
	dnsTruncated
	duration
	expectInfo
	failedDueToBytes
	failedDueToCEL
	failedDueToRegex
	failureInfo
	grpcDuration
	grpcHealthcheckResponse
	grpcSSL
	grpcStatusCode
	httpContentLength
	httpDuration
	httpHopsEarliestCertExpiry
	httpLastModified
	httpRedirects
	httpSSL
	httpStatusCode
	httpUncompressedBodyLength
	httpVersion
	icmpDuration
	icmpReplyHopLimit
	ipAddrHash
	ipProtocol
	sslClientCertExpiry
	sslEarliestCertExpiry
	sslEarliestCertNotBefore
	sslLastChainExpiry
	sslLastChainInfo
	success
	timeout
	tlsCipherInfo
	tlsVersionInfo
	websocketUpgraded
	websocketDuration
	websocketFailedDueToRegex
	websocketStatusCode
	familyCount
)

// descriptor is what never changes about a family. All are gauges.
type descriptor struct{ name, help string }

var descriptors = [familyCount]descriptor{
	dnsAdditionalRRs:           {"probe_dns_additional_rrs", "Records in the additional section of the answer."},
	dnsAnswerRRs:               {"probe_dns_answer_rrs", "Records in the answer section of the answer."},
	dnsAuthorityRRs:            {"probe_dns_authority_rrs", "Records in the authority section of the answer."},
	dnsDuration:                {"probe_dns_duration_seconds", "Time each phase of the DNS probe took."},
	dnsLookupTime:              {"probe_dns_lookup_time_seconds", "Time it took to turn the target's name into an address."},
	dnsQuerySucceeded:          {"probe_dns_query_succeeded", "1 if an answer came that can be read, else 0."},
	dnsSerial:                  {"probe_dns_serial", "Serial number of the zone, from its SOA record."},
	dnsTruncated:               {"probe_dns_truncated", "1 if the answer was cut to fit a datagram, so that records are missing, else 0."},
	duration:                   {"probe_duration_seconds", "Time the whole probe took."},
	expectInfo:                 {"probe_expect_info", "Labels taken from what the target said, one series per matched expect."},
	failedDueToBytes:           {"probe_failed_due_to_bytes", "1 if the probe failed because expected bytes did not arrive, else 0."},
	failedDueToCEL:             {"probe_failed_due_to_cel", "1 if the probe failed because of a CEL expression about the body, else 0."},
	failedDueToRegex:           {"probe_failed_due_to_regex", "1 if the probe failed because of a regular expression, else 0."},
	failureInfo:                {"probe_failure_info", "Where the probe stopped and why; present only when it failed."},
	grpcDuration:               {"probe_grpc_duration_seconds", "Time each phase of the gRPC probe took."},
	grpcHealthcheckResponse:    {"probe_grpc_healthcheck_response", "1 for the state of the service that the server reported, 0 for the others."},
	grpcSSL:                    {"probe_grpc_ssl", "1 if the call was made over TLS, else 0."},
	grpcStatusCode:             {"probe_grpc_status_code", "gRPC status code of the call."},
	httpContentLength:          {"probe_http_content_length", "Length of the body by the server's word, -1 if it gave none."},
	httpDuration:               {"probe_http_duration_seconds", "Time each phase of the HTTP probe took, summed over redirects."},
	httpHopsEarliestCertExpiry: {"probe_http_hops_earliest_cert_expiry_timestamp_seconds", "Unix time at which the first of the certificates expires that were presented, over all redirects."},
	httpLastModified:           {"probe_http_last_modified_timestamp_seconds", "Unix time in the response's Last-Modified header."},
	httpRedirects:              {"probe_http_redirects", "Redirects that the server answered with."},
	httpSSL:                    {"probe_http_ssl", "1 if the last response came over TLS, else 0."},
	httpStatusCode:             {"probe_http_status_code", "Status code of the last response, 0 if there was none."},
	httpUncompressedBodyLength: {"probe_http_uncompressed_body_length", "Bytes of the body after decoding, at most the module's limit."},
	httpVersion:                {"probe_http_version", "HTTP version of the last response, as 1.1 or 2."},
	icmpDuration:               {"probe_icmp_duration_seconds", "Time each phase of the ICMP probe took."},
	icmpReplyHopLimit:          {"probe_icmp_reply_hop_limit", "Hop limit of the reply, in IPv4 its time to live."},
	ipAddrHash:                 {"probe_ip_addr_hash", "FNV-1a hash of the target's address, to see that it changed."},
	ipProtocol:                 {"probe_ip_protocol", "IP version that the probe used, 4 or 6, 0 if no address was found."},
	sslClientCertExpiry:        {"probe_ssl_client_cert_expiry_timestamp_seconds", "Unix time at which the module's client certificate expires."},
	sslEarliestCertExpiry:      {"probe_ssl_earliest_cert_expiry", "Unix time at which the first of the presented certificates expires."},
	sslEarliestCertNotBefore:   {"probe_ssl_earliest_cert_not_before_timestamp_seconds", "Unix time from which on the presented certificate that expires first is valid."},
	sslLastChainExpiry:         {"probe_ssl_last_chain_expiry_timestamp_seconds", "Unix time at which the verified chain that lasts longest expires."},
	sslLastChainInfo:           {"probe_ssl_last_chain_info", "What the target's own certificate says."},
	success:                    {"probe_success", "1 if the target is up, 0 if it is down."},
	timeout:                    {"probe_timeout_seconds", "Time limit that applied to the probe."},
	tlsCipherInfo:              {"probe_tls_cipher_info", "Cipher suite of the TLS connection."},
	tlsVersionInfo:             {"probe_tls_version_info", "Version of the TLS connection."},
	websocketUpgraded:          {"probe_websocket_connection_upgraded", "1 if the connection became a WebSocket, else 0."},
	websocketDuration:          {"probe_websocket_duration_seconds", "Time each phase of the WebSocket probe took."},
	websocketFailedDueToRegex:  {"probe_websocket_failed_due_to_regex", "1 if the probe failed because a message did not match, else 0."},
	websocketStatusCode:        {"probe_websocket_status_code", "HTTP status code of the answer to the handshake, 0 if there was none."},
}

// labelNames are the names of a family's labels, sorted as a registry sorts them. Those of expectInfo are the module's.
var labelNames = [familyCount][]string{
	dnsDuration:             {"phase"},
	failureInfo:             {"reason", "stage"},
	grpcDuration:            {"phase"},
	grpcHealthcheckResponse: {"serving_status"},
	httpDuration:            {"phase"},
	icmpDuration:            {"phase"},
	sslLastChainInfo:        {"fingerprint_sha256", "issuer", "serialnumber", "subject", "subjectalternative"},
	tlsCipherInfo:           {"cipher"},
	tlsVersionInfo:          {"version"},
	websocketDuration:       {"phase"},
}

// labelValues are the values of a family's one label that never change, sorted: the family has a series for each.
var labelValues = [familyCount][]string{
	dnsDuration:             {"connect", "request", "resolve"},
	grpcDuration:            {"check", "resolve"},
	grpcHealthcheckResponse: {"NOT_SERVING", "SERVICE_UNKNOWN", "SERVING", "UNKNOWN"},
	httpDuration:            {"connect", "processing", "resolve", "tls", "transfer"},
	icmpDuration:            {"resolve", "rtt", "setup"},
	websocketDuration:       {"connect", "processing", "resolve", "transfer"},
}

// seriesCount is how many series the family has at most; that of expectInfo is the module's.
func (f family) seriesCount() int { return max(1, len(labelValues[f])) }

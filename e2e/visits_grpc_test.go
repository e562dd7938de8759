//go:build unix

package e2e

// grpcVisits are those of the grpc prober.
func grpcVisits() []visit {
	const trusting = `preferred_ip_protocol: ip4, tls: true, tls_config: {ca_file: "<ca>"}`
	const hangs = "0.23 gives the call no deadline"
	return []visit{
		{name: "grpc_up", module: `{prober: grpc, grpc: {preferred_ip_protocol: ip4}}`, target: "<health>"},
		{name: "grpc_up_service", module: `{prober: grpc, grpc: {service: up, preferred_ip_protocol: ip4}}`, target: "<health>"},
		{name: "grpc_up_http_url", module: `{prober: grpc, grpc: {preferred_ip_protocol: ip4}}`, target: "http://<health>"},
		{name: "grpc_up_tls", module: `{prober: grpc, grpc: {` + trusting + `}}`, target: "<securehealth>"},
		{name: "grpc_up_tls_name_by_hostname_parameter", module: `{prober: grpc, grpc: {` + trusting + `}}`, target: "<wronghealth>", hostname: "elsewhere.zoo.test", alone: newer},
		{name: "grpc_up_metadata", module: `{prober: grpc, grpc: {service: wants-key, metadata: {x-key: [sesame]}}}`, target: "<health>", alone: newer},
		{name: "grpc_check_not_serving", module: `{prober: grpc, grpc: {service: down, preferred_ip_protocol: ip4}}`, target: "<health>"},
		{name: "grpc_check_unknown_service", module: `{prober: grpc, grpc: {service: nothing, preferred_ip_protocol: ip4}}`, target: "<health>"},
		{name: "grpc_check_unimplemented", module: `{prober: grpc, grpc: {preferred_ip_protocol: ip4}}`, target: "<nohealth>"},
		{name: "grpc_check_without_metadata", module: `{prober: grpc, grpc: {service: wants-key, preferred_ip_protocol: ip4}}`, target: "<health>"},
		{name: "grpc_resolve_other_family_refused", module: `{prober: grpc, grpc: {ip_protocol_fallback: false}}`, target: "<health>"},
		{name: "grpc_connect_refused", module: `{prober: grpc, grpc: {preferred_ip_protocol: ip4}}`, target: "<refused>"},
		{name: "grpc_connect_timeout", module: `{prober: grpc, timeout: 500ms, grpc: {preferred_ip_protocol: ip4}}`, target: "<blackhole>", alone: hangs},
		{name: "grpc_response_timeout", module: `{prober: grpc, timeout: 500ms, grpc: {preferred_ip_protocol: ip4}}`, target: "<silent>", alone: hangs},
		{name: "grpc_response_closed", module: `{prober: grpc, grpc: {preferred_ip_protocol: ip4}}`, target: "<readsandcloses>"},
		{name: "grpc_response_reset", module: `{prober: grpc, grpc: {preferred_ip_protocol: ip4}}`, target: "<resetafterread>"},
		{name: "grpc_response_another_protocol", module: `{prober: grpc, grpc: {preferred_ip_protocol: ip4}}`, target: "<ssh>"},
		{name: "grpc_response_web_server", module: `{prober: grpc, grpc: {` + trusting + `}}`, target: "<secureh2>"},
		{name: "grpc_tls_expired", module: `{prober: grpc, grpc: {` + trusting + `}}`, target: "<expiredhealth>"},
		{name: "grpc_tls_wrong_name", module: `{prober: grpc, grpc: {` + trusting + `}}`, target: "<wronghealth>"},
		{name: "grpc_tls_plain_peer", module: `{prober: grpc, grpc: {` + trusting + `}}`, target: "<health>"},
		{name: "grpc_tls_without_alpn", module: `{prober: grpc, grpc: {` + trusting + `}}`, target: "<securessh>", alone: newer},
	}
}

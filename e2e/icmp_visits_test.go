//go:build unix

package e2e

// Addresses in the test network with special behaviour. Every other address answers.
const (
	nobodyHome      = "192.0.2.10"
	hostUnreachable = "192.0.2.11"
	netUnreachable  = "192.0.2.12"
	refusesPings    = "192.0.2.13"
	complaining     = "192.0.2.14"
	behindNarrow    = "203.0.113.1" // the path carries 1300 bytes
	farAway         = "203.0.113.2" // seven routers away
	behindNarrow6   = "2001:db8:9::1"
	farAway6        = "2001:db8:9::2"
	noRoute6        = "2001:db8:9::3"
)

// pingVisits lists the visits of the icmp prober, one for each outcome.
func pingVisits() []visit {
	return []visit{
		{name: "icmp_up", module: `{prober: icmp}`, target: "192.0.2.2"},
		{name: "icmp_up_ipv6", module: `{prober: icmp}`, target: "2001:db8::2"},
		{name: "icmp_up_loopback", module: `{prober: icmp}`, target: "127.0.0.1"},
		{name: "icmp_up_loopback_ipv6", module: `{prober: icmp}`, target: "::1"},
		{name: "icmp_up_localhost", module: `{prober: icmp, icmp: {preferred_ip_protocol: ip4}}`, target: "localhost"},
		{name: "icmp_up_zone", module: `{prober: icmp}`, target: "fe80::2%zoo"},
		{name: "icmp_payload", module: `{prober: icmp, icmp: {payload_size: 1000}}`, target: "192.0.2.2"},
		{name: "icmp_payload_of_one_byte", module: `{prober: icmp, icmp: {payload_size: 1}}`, target: "192.0.2.2"},
		{name: "icmp_payload_as_large_as_can_be", module: `{prober: icmp, icmp: {payload_size: 65507}}`, target: "127.0.0.1"},
		{name: "icmp_source_address", module: `{prober: icmp, icmp: {source_ip_address: 127.0.0.9}}`, target: "127.0.0.1"},
		{name: "icmp_source_address_ipv6", module: `{prober: icmp, icmp: {source_ip_address: "2001:db8::1"}}`, target: "2001:db8::2"},
		{name: "icmp_preferred_protocol", module: `{prober: icmp, icmp: {preferred_ip_protocol: ip4, ip_protocol_fallback: false}}`, target: "192.0.2.2"},
		{name: "icmp_other_family_by_fallback", module: `{prober: icmp, icmp: {preferred_ip_protocol: ip4}}`, target: "2001:db8::2"},
		{name: "icmp_other_family_refused", module: `{prober: icmp, icmp: {preferred_ip_protocol: ip4, ip_protocol_fallback: false}}`, target: "2001:db8::2"},
		{name: "icmp_ttl_enough", module: `{prober: icmp, icmp: {ttl: 7}}`, target: farAway},
		{name: "icmp_ttl_enough_ipv6", module: `{prober: icmp, icmp: {ttl: 7}}`, target: farAway6},
		{name: "icmp_ttl_exceeded", module: `{prober: icmp, timeout: 1s, icmp: {ttl: 6}}`, target: farAway},
		{name: "icmp_ttl_exceeded_ipv6", module: `{prober: icmp, timeout: 1s, icmp: {ttl: 6}}`, target: farAway6},
		{name: "icmp_dont_fragment", module: `{prober: icmp, icmp: {dont_fragment: true}}`, target: behindNarrow},
		{name: "icmp_dont_fragment_small_enough", module: `{prober: icmp, icmp: {dont_fragment: true, payload_size: 1272}}`, target: behindNarrow},
		{name: "icmp_dont_fragment_too_big", module: `{prober: icmp, timeout: 1s, icmp: {dont_fragment: true, payload_size: 1273}}`, target: behindNarrow},
		{name: "icmp_dont_fragment_too_big_ipv6", module: `{prober: icmp, timeout: 1s, icmp: {dont_fragment: true, payload_size: 1400}}`, target: behindNarrow6},
		{name: "icmp_dont_fragment_too_big_to_send", module: `{prober: icmp, timeout: 1s, icmp: {dont_fragment: true, payload_size: 1473}}`, target: "192.0.2.2"},
		{name: "icmp_timeout", module: `{prober: icmp, timeout: 500ms}`, target: nobodyHome},
		{name: "icmp_host_unreachable", module: `{prober: icmp, timeout: 1s}`, target: hostUnreachable},
		{name: "icmp_network_unreachable", module: `{prober: icmp, timeout: 1s}`, target: netUnreachable},
		{name: "icmp_network_unreachable_ipv6", module: `{prober: icmp, timeout: 1s}`, target: noRoute6},
		{name: "icmp_refused", module: `{prober: icmp, timeout: 1s}`, target: refusesPings},
		{name: "icmp_parameter_problem", module: `{prober: icmp, timeout: 1s}`, target: complaining},
		{name: "icmp_zone_that_is_not_there", module: `{prober: icmp, timeout: 1s}`, target: "fe80::2%nowhere"},
	}
}

//go:build unix

package e2e

// websocketVisits are those of the websocket prober.
func websocketVisits() []visit {
	const trusting = `http_config: {tls_config: {ca_file: "<ca>"}}`
	visits := []visit{
		{name: "websocket_up", module: `{prober: websocket}`, target: "ws://<websocket>/"},
		{name: "websocket_up_tls", module: `{prober: websocket, websocket: {` + trusting + `}}`, target: "wss://<securewebsocket>/"},
		{name: "websocket_up_basic_auth_and_header", module: `{prober: websocket, websocket: {http_config: {basic_auth: {username: alice, password: secret}}, headers: {X-Key: sesame}}}`, target: "ws://<websocket>/want"},
		{name: "websocket_expect_dialogue", module: `{prober: websocket, websocket: {query_response: [{expect: "^Hello, (.+)", send: "I am ${1}"}, {expect: "^Welcome"}]}}`, target: "ws://<websocket>/"},
		{name: "websocket_expect_no_match", module: `{prober: websocket, websocket: {query_response: [{expect: "^Bye"}]}}`, target: "ws://<websocket>/"},
		{name: "websocket_expect_from_silence", module: `{prober: websocket, timeout: 500ms, websocket: {query_response: [{expect: "^Hello"}, {expect: "^Welcome"}]}}`, target: "ws://<websocket>/"},
		{name: "websocket_expect_closed", module: `{prober: websocket, websocket: {query_response: [{expect: "^Hello"}, {send: bye}, {expect: "^Bye"}]}}`, target: "ws://<websocket>/"},
		{name: "websocket_expect_nonsense", module: `{prober: websocket, websocket: {query_response: [{expect: "^Hello"}, {send: nonsense}, {expect: "^Hello"}]}}`, target: "ws://<websocket>/"},
		{name: "websocket_check_refused", module: `{prober: websocket}`, target: "ws://<websocket>/want"},
		{name: "websocket_check_web_server", module: `{prober: websocket}`, target: "ws://<site>/"},
		{name: "websocket_connect_refused", module: `{prober: websocket}`, target: "ws://<refused>/"},
		{name: "websocket_resolve_other_family_refused", module: `{prober: websocket, websocket: {preferred_ip_protocol: ip6, ip_protocol_fallback: false}}`, target: "ws://<websocket>/"},
		{name: "websocket_response_timeout", module: `{prober: websocket, timeout: 500ms}`, target: "ws://<silent>/"},
		{name: "websocket_response_hangup", module: `{prober: websocket}`, target: "ws://<hangup>/"},
		{name: "websocket_response_another_protocol", module: `{prober: websocket}`, target: "ws://<nothttp>/"},
		{name: "websocket_tls_expired", module: `{prober: websocket, websocket: {` + trusting + `}}`, target: "wss://<expired>/"},
	}
	for i := range visits {
		visits[i].alone = noProber
	}
	return visits
}

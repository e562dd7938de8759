//go:build unix

package e2e

import (
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

func tlsRows() []row {
	stream := visit{name: "s_tcp", module: `{prober: tcp, timeout: 2s, tcp: {tls: true, tls_config: {ca_file: "<ca>"}}}`}
	web := visit{name: "s_http", module: `{prober: http, timeout: 2s, http: {tls_config: {ca_file: "<ca>"}}}`}
	mail := visit{name: "s_mail", module: starttlsModule}
	// both runs the visit with tcp and http.
	both := func(t *testing.T, h *hostile, addr, want string) []exposition {
		return []exposition{
			h.probe(t, probePath("module", "s_tcp", "target", addr), 4*time.Second, want),
			h.probe(t, probePath("module", "s_http", "target", "https://"+addr+"/"), 4*time.Second, want),
		}
	}
	return []row{
		{25, "four kinds of invalid certificates have four reasons and an expiry", []visit{stream, web}, func(t *testing.T, h *hostile) {
			for who, want := range map[string]string{
				"expired": "down tls/certificate_expired", "notyetvalid": "down tls/certificate_not_yet_valid",
				"wrongname": "down tls/certificate_name", "stranger": "down tls/certificate_authority",
			} {
				for _, e := range both(t, h, h.park.at(who), want) {
					if expiry, ok := e.value("probe_ssl_earliest_cert_expiry"); !ok || expiry < 1e9 {
						t.Errorf("%s: the certificate's expiry is missing", who)
					}
					if e["probe_ssl_last_chain_expiry_timestamp_seconds"] != nil {
						t.Errorf("%s: a verified chain is reported", who)
					}
				}
			}
		}},
		{26, "a thousand names in a certificate make a short label", nil, func(t *testing.T, h *hostile) {
			addr := zoo.HTTPS(t, zoo.Config(zoo.ManyNames(1000)), zoo.Site())
			for _, e := range both(t, h, addr, "up") {
				for _, m := range e["probe_ssl_last_chain_info"].GetMetric() {
					for _, l := range m.GetLabel() {
						if len(l.GetValue()) > 1024 {
							t.Errorf("the label %s has %d bytes", l.GetName(), len(l.GetValue()))
						}
					}
				}
			}
		}},
		{27, "a chain of a hundred and a key of 16 kbit are bounded", nil, func(t *testing.T, h *hostile) {
			both(t, h, zoo.HTTPS(t, zoo.Config(zoo.LongChain(99)), zoo.Site()), "up")
			both(t, h, h.park.at("hugekey"), "down tls/certificate_invalid")
		}},
		{28, "a malformed certificate", nil, func(t *testing.T, h *hostile) {
			both(t, h, h.park.at("malformed"), "down tls/certificate_invalid")
		}},
		{29, "plain HTTP on a TLS port and the reverse", nil, func(t *testing.T, h *hostile) {
			both(t, h, h.park.at("site"), "down tls/not_tls")
			h.probe(t, probePath("module", "s_http", "target", "http://"+h.park.at("secure")+"/"), 4*time.Second, "down check/status_code")
		}},
		{30, "a stalled handshake, an old version, a demanded certificate", nil, func(t *testing.T, h *hostile) {
			both(t, h, h.park.at("silent"), "down tls/timeout")
			both(t, h, h.park.at("tls10"), "down tls/tls_version")
			both(t, h, h.park.at("wantsclient"), "down tls/client_certificate")
			// With TLS 1.3 the refusal arrives after the handshake instead of a response. The server closes at once; if the
			// request arrives after that, the RST may overtake the alert.
			late := zoo.HTTPS(t, zoo.Config(zoo.Good(), zoo.DemandClient), zoo.Site())
			h.probe(t, probePath("module", "s_http", "target", "https://"+late+"/"), 4*time.Second, "down tls/client_certificate", "down response/connection_closed", "down response/connection_reset")
		}},
		{31, "plain text injected after STARTTLS", []visit{mail}, func(t *testing.T, h *hostile) {
			h.visit(t, visit{name: "s_mail", target: "<mail>"}, "up")
			h.visit(t, visit{name: "s_mail", target: "<injecting>"}, "down conversation/data_before_tls", "down tls/data_before_tls")
		}},
	}
}

package collector

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"rollcall/probe"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// records is one Record of each kind that a prober can return, by name; the golden files bear the same names.
func records() map[string]*probe.Record {
	resolved := &probe.Resolve{Duration: 1500 * time.Microsecond, Addr: netip.MustParseAddr("192.0.2.7")}
	phases := probe.Phases{
		Resolve: 1500 * time.Microsecond, Connect: 2 * time.Millisecond, TLS: 5 * time.Millisecond,
		Processing: 20 * time.Millisecond, Transfer: 250 * time.Microsecond,
	}
	http := func() *probe.HTTPFacts {
		return &probe.HTTPFacts{
			Hops: 1, StatusCode: 200, VersionMajor: 1, VersionMinor: 1, ContentLength: 1024, UncompressedBodyLength: 1024,
			LastModified: start.Add(-time.Hour),
		}
	}
	certificates := func() *probe.TLSFacts {
		return &probe.TLSFacts{
			Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
			EarliestStart: start.Add(-60 * 24 * time.Hour), EarliestExpiry: start.Add(30 * 24 * time.Hour), ChainExpiry: start.Add(90 * 24 * time.Hour),
			Leaf: probe.CertificateFacts{
				FingerprintSHA256: "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
				Subject:           `CN=example.org,O="Quotes \ and` + "\n" + `a line"`,
				Issuer:            "CN=Example CA", SubjectAlternative: "example.org,www.example.org", SerialNumber: "0a1b2c",
			},
		}
	}
	failure := func(stage probe.Stage, reason probe.Reason) *probe.Failure {
		return &probe.Failure{Stage: stage, Reason: reason, Err: errors.New("as the test wants it")}
	}
	record := func(result probe.Result) *probe.Record {
		result.Start, result.Duration, result.Phases = start, 30*time.Millisecond, phases
		return &probe.Record{Module: "m", Target: "example.org", Timeout: 9500 * time.Millisecond, Result: result}
	}

	https := http()
	https.TLS, https.VersionMajor, https.VersionMinor, https.ContentLength = true, 2, 0, -1
	https.HasCEL, https.Redirects = true, 2
	https.Expiring.NotAfter = start.Add(20 * 24 * time.Hour)
	withOwn := certificates()
	withOwn.ClientExpiry = start.Add(40 * 24 * time.Hour)
	http3 := http()
	http3.TLS, http3.VersionMajor, http3.VersionMinor = true, 3, 0
	http3.LastModified = time.Time{}
	regexp := http()
	regexp.FailedRegexp = true
	cel := http()
	cel.HasCEL, cel.FailedCEL = true, true
	refused := &probe.HTTPFacts{Hops: 1}
	unverified := certificates()
	unverified.ChainExpiry = time.Time{}
	refusedByPeer := certificates()
	refusedByPeer.Version, refusedByPeer.CipherSuite, refusedByPeer.ChainExpiry = 0, 0, time.Time{}
	ip6 := &probe.Resolve{Duration: time.Millisecond, Addr: netip.MustParseAddr("2001:db8::7")}
	mapped := &probe.Resolve{Duration: time.Millisecond, Addr: netip.MustParseAddr("::ffff:192.0.2.7")}

	return map[string]*probe.Record{
		"http":                   record(probe.Result{Resolve: resolved, HTTP: http()}),
		"https":                  record(probe.Result{Resolve: resolved, HTTP: https, TLS: withOwn}),
		"http3":                  record(probe.Result{Resolve: ip6, HTTP: http3, TLS: certificates()}),
		"http_by_proxy":          record(probe.Result{HTTP: http()}),
		"http_bad_url":           record(probe.Result{HTTP: new(probe.HTTPFacts), Failure: failure(probe.StageRequest, probe.ReasonProtocolError)}),
		"http_no_such_host":      record(probe.Result{Resolve: &probe.Resolve{Duration: time.Millisecond}, HTTP: new(probe.HTTPFacts), Failure: failure(probe.StageResolve, probe.ReasonNoSuchHost)}),
		"http_refused":           record(probe.Result{Resolve: resolved, HTTP: refused, Failure: failure(probe.StageConnect, probe.ReasonConnectionRefused)}),
		"http_regexp":            record(probe.Result{Resolve: resolved, HTTP: regexp, Failure: failure(probe.StageCheck, probe.ReasonBodyRegexp)}),
		"http_cel":               record(probe.Result{Resolve: resolved, HTTP: cel, Failure: failure(probe.StageCheck, probe.ReasonBodyCEL)}),
		"https_expired":          record(probe.Result{Resolve: resolved, HTTP: refused, TLS: refusedByPeer, Failure: failure(probe.StageTLS, probe.ReasonCertificateExpired)}),
		"https_skip_verify":      record(probe.Result{Resolve: resolved, HTTP: http(), TLS: unverified}),
		"tcp":                    record(probe.Result{Resolve: mapped, TCP: new(probe.TCPFacts)}),
		"tcp_tls":                record(probe.Result{Resolve: ip6, TCP: new(probe.TCPFacts), TLS: certificates()}),
		"tcp_no_match":           record(probe.Result{Resolve: resolved, TCP: &probe.TCPFacts{FailedRegexp: true}, Failure: failure(probe.StageConversation, probe.ReasonNoMatch)}),
		"tcp_bytes":              record(probe.Result{Resolve: resolved, TCP: &probe.TCPFacts{FailedBytes: true}, Failure: failure(probe.StageConversation, probe.ReasonBytesMismatch)}),
		"unix":                   record(probe.Result{TCP: new(probe.TCPFacts)}),
		"grpc":                   record(probe.Result{Resolve: resolved, GRPC: &probe.GRPCFacts{Tried: true, Serving: "SERVING", TLS: true}, TLS: certificates()}),
		"grpc_not_serving":       record(probe.Result{Resolve: resolved, GRPC: &probe.GRPCFacts{Tried: true, Serving: "NOT_SERVING"}, Failure: failure(probe.StageCheck, probe.ReasonNotServing)}),
		"grpc_unavailable":       record(probe.Result{Resolve: resolved, GRPC: &probe.GRPCFacts{Tried: true, StatusCode: 14}, Failure: failure(probe.StageConnect, probe.ReasonConnectionRefused)}),
		"grpc_no_such_host":      record(probe.Result{Resolve: &probe.Resolve{Duration: time.Millisecond}, GRPC: new(probe.GRPCFacts), Failure: failure(probe.StageResolve, probe.ReasonNoSuchHost)}),
		"websocket":              record(probe.Result{Resolve: resolved, WebSocket: &probe.WebSocketFacts{Tried: true, StatusCode: 101, Upgraded: true}, TLS: certificates()}),
		"websocket_no_match":     record(probe.Result{Resolve: resolved, WebSocket: &probe.WebSocketFacts{Tried: true, StatusCode: 101, Upgraded: true, FailedRegexp: true}, Failure: failure(probe.StageConversation, probe.ReasonNoMatch)}),
		"websocket_no_such_host": record(probe.Result{Resolve: &probe.Resolve{Duration: time.Millisecond}, WebSocket: new(probe.WebSocketFacts), Failure: failure(probe.StageResolve, probe.ReasonNoSuchHost)}),
		"icmp":                   record(probe.Result{Resolve: resolved, ICMP: &probe.ICMPFacts{HopLimit: 57}}),
		"icmp_ttl_exceeded":      record(probe.Result{Resolve: ip6, ICMP: &probe.ICMPFacts{HopLimit: -1}, Failure: failure(probe.StageResponse, probe.ReasonTTLExceeded)}),
		"icmp_no_such_host":      record(probe.Result{Resolve: &probe.Resolve{Duration: time.Millisecond}, ICMP: &probe.ICMPFacts{HopLimit: -1}, Failure: failure(probe.StageResolve, probe.ReasonNoSuchHost)}),
		"dns":                    record(probe.Result{Resolve: resolved, DNS: &probe.DNSFacts{Succeeded: true, Answers: 2, Authorities: 1, Additionals: 3}}),
		"dns_truncated":          record(probe.Result{Resolve: resolved, DNS: &probe.DNSFacts{Succeeded: true, Truncated: true, Answers: 1}}),
		"dns_serial":             record(probe.Result{Resolve: ip6, DNS: &probe.DNSFacts{Succeeded: true, Answers: 1, HasSerial: true, Serial: 4294967295}, TLS: certificates()}),
		"dns_response_code":      record(probe.Result{Resolve: resolved, DNS: &probe.DNSFacts{Succeeded: true}, Failure: failure(probe.StageCheck, probe.ReasonResponseCode)}),
		"dns_no_such_host":       record(probe.Result{Resolve: &probe.Resolve{Duration: time.Millisecond}, DNS: new(probe.DNSFacts), Failure: failure(probe.StageResolve, probe.ReasonNoSuchHost)}),
		"refused":                record(probe.Result{Resolve: resolved, Failure: failure(probe.StageConnect, probe.ReasonConnectionRefused)}),
		"no_such_host":           record(probe.Result{Resolve: &probe.Resolve{Duration: time.Millisecond}, Failure: failure(probe.StageResolve, probe.ReasonNoSuchHost)}),
		"nothing":                record(probe.Result{}),
		"tcp_expect_no_label":    record(probe.Result{Resolve: resolved, TCP: &probe.TCPFacts{Expects: []probe.ExpectLabels{{}}}}),
		"tcp_expect_labels":      record(probe.Result{Resolve: resolved, TCP: &probe.TCPFacts{Expects: []probe.ExpectLabels{{{Name: "ssh_version", Value: "2.0"}, {Name: "comment", Value: "\"é\"\\\n"}}}}}),
		"tcp_expect_duplicates":  record(probe.Result{Resolve: resolved, TCP: &probe.TCPFacts{Expects: duplicateExpects()}}),
		"tcp_failed_with_expect": record(probe.Result{Resolve: resolved, TCP: &probe.TCPFacts{FailedRegexp: true, Expects: []probe.ExpectLabels{{{Name: "a", Value: "1"}}}}, Failure: failure(probe.StageConversation, probe.ReasonTimeout)}),
	}
}

// duplicateExpects holds the same labels twice in different order, one label twice within an entry, and entries
// that a registry would sort otherwise than they came.
func duplicateExpects() []probe.ExpectLabels {
	return []probe.ExpectLabels{
		{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}},
		{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}},
		{{Name: "a", Value: "0"}, {Name: "b", Value: "9"}},
		{{Name: "c", Value: "first"}, {Name: "c", Value: "second"}},
		{},
		{},
	}
}

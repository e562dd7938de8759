//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGoldenFilesFollowRules checks the golden files independently, because -update writes whatever the program replies:
// which families exist for each stage, and which values a reason excludes.
func TestGoldenFilesFollowRules(t *testing.T) {
	files, err := filepath.Glob(goldenFile("*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".prom"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			e, err := parseExposition(string(text))
			if err != nil {
				t.Fatal(err)
			}
			stage, reason := "", ""
			if down, isDown := strings.CutPrefix(e.verdict(), "down "); isDown {
				stage, reason, _ = strings.Cut(down, "/")
			} else if e.verdict() != "up" {
				t.Fatal(e.verdict())
			}
			_, http := e["probe_http_status_code"]
			_, icmp := e["probe_icmp_duration_seconds"]
			_, dns := e["probe_dns_answer_rrs"]
			_, grpc := e["probe_grpc_status_code"]
			_, socket := e["probe_websocket_status_code"]
			rules := goldenRules{t, e}
			rules.sockets(socket, stage, reason)
			rules.calls(grpc, stage, reason)
			rules.families(http, icmp, dns || grpc || socket, dns, stage)
			rules.phases(http, stage)
			rules.pings(icmp, stage)
			rules.reasons(reason)
			rules.answers(dns, stage)
			rules.certificates(http, reason)
		})
	}
}

type goldenRules struct {
	t *testing.T
	exposition
}

// together fails unless all of the families are present, or none, as wanted.
func (r goldenRules) together(want bool, families ...string) {
	r.t.Helper()
	for _, name := range families {
		if _, there := r.exposition[name]; there != want {
			r.t.Errorf("%s is present: %t, want %t", name, there, want)
		}
	}
}

func (r goldenRules) families(http, icmp, apart, dns bool, stage string) {
	r.together(true, "probe_success", "probe_duration_seconds", "probe_timeout_seconds")
	_, resolved := r.exposition["probe_ip_protocol"]
	r.together(resolved, "probe_dns_lookup_time_seconds", "probe_ip_addr_hash")
	r.together(http, "probe_http_content_length", "probe_http_uncompressed_body_length", "probe_http_redirects", "probe_http_ssl", "probe_http_version")
	connected := !icmp && !apart && stage != "resolve" && stage != "connect"
	r.together(http || connected, "probe_failed_due_to_regex")
	r.together(!http && connected, "probe_failed_due_to_bytes")
	r.together(dns, "probe_dns_authority_rrs", "probe_dns_additional_rrs", "probe_dns_duration_seconds", "probe_dns_query_succeeded", "probe_dns_truncated")
}

// sockets holds that a websocket probe has all of its families, and that a status of 101 and the upgrade go together.
func (r goldenRules) sockets(socket bool, stage, reason string) {
	r.together(socket, "probe_websocket_connection_upgraded", "probe_websocket_failed_due_to_regex", "probe_websocket_duration_seconds")
	upgraded, _ := r.value("probe_websocket_connection_upgraded")
	code, _ := r.value("probe_websocket_status_code")
	if talked := stage == "" || stage == "conversation"; socket && (talked != (upgraded == 1) || talked != (code == 101)) {
		r.t.Errorf("the stage is %q, upgraded %v and the status %v", stage, upgraded, code)
	}
	if failed, _ := r.value("probe_websocket_failed_due_to_regex"); socket && (failed == 1) != (reason == "no_match") {
		r.t.Errorf("probe_websocket_failed_due_to_regex is %v and the reason %q", failed, reason)
	}
}

// calls holds that a grpc probe has all of its families, those of the call once one was tried, and a status that fits.
func (r goldenRules) calls(grpc bool, stage, reason string) {
	r.together(grpc, "probe_grpc_ssl", "probe_grpc_duration_seconds")
	r.together(grpc && stage != "resolve", "probe_grpc_healthcheck_response")
	code, _ := r.value("probe_grpc_status_code")
	if answered := stage == "" || reason == "not_serving"; grpc && stage != "resolve" && answered != (code == 0) {
		r.t.Errorf("probe_grpc_status_code is %v and the stage %q", code, stage)
	}
	var serving float64
	for _, m := range r.exposition["probe_grpc_healthcheck_response"].GetMetric() {
		if m.GetGauge().GetValue() == 1 && m.GetLabel()[0].GetValue() == "SERVING" {
			serving = 1
		}
	}
	if grpc && (serving == 1) != (stage == "") {
		r.t.Errorf("SERVING is %v and the stage %q", serving, stage)
	}
}

func (r goldenRules) phases(http bool, stage string) {
	var want, got []string
	if _, resolved := r.exposition["probe_ip_protocol"]; http && resolved {
		want = append(want, "resolve")
	}
	if http && stage != "resolve" {
		want = append(want, "connect", "processing", "tls", "transfer")
	}
	for _, m := range r.exposition["probe_http_duration_seconds"].GetMetric() {
		got = append(got, m.GetLabel()[0].GetValue())
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.t.Errorf("phases %v, want %v", got, want)
	}
}

func (r goldenRules) pings(icmp bool, stage string) {
	r.together(icmp && stage == "", "probe_icmp_reply_hop_limit")
	if got := len(r.exposition["probe_icmp_duration_seconds"].GetMetric()); icmp && got != 3 {
		r.t.Errorf("%d phases of icmp, want 3", got)
	}
}

// answers checks that a dns probe counts records only after a valid answer, and has every phase.
func (r goldenRules) answers(dns bool, stage string) {
	if !dns {
		return
	}
	if n := len(r.exposition["probe_dns_duration_seconds"].GetMetric()); n != 3 {
		r.t.Errorf("%d phases, want connect, request and resolve", n)
	}
	succeeded, _ := r.value("probe_dns_query_succeeded")
	if (succeeded == 1) != (stage == "" || stage == "check") {
		r.t.Errorf("probe_dns_query_succeeded is %v and the stage %q", succeeded, stage)
	}
	for _, family := range []string{"probe_dns_answer_rrs", "probe_dns_authority_rrs", "probe_dns_additional_rrs", "probe_dns_serial", "probe_dns_truncated"} {
		if count, _ := r.value(family); count != 0 && succeeded == 0 {
			r.t.Errorf("%s is %v without an answer", family, count)
		}
	}
}

// reasons checks that the older families agree with the reason.
func (r goldenRules) reasons(reason string) {
	for family, reasons := range map[string][]string{
		"probe_failed_due_to_regex": {"body_regexp", "header_regexp", "no_match"},
		"probe_failed_due_to_bytes": {"bytes_mismatch"},
		"probe_failed_due_to_cel":   {"body_cel"},
	} {
		if value, there := r.value(family); there && (value == 1) != slices.Contains(reasons, reason) {
			r.t.Errorf("%s is %v and the reason %q", family, value, reason)
		}
	}
	if status, there := r.value("probe_http_status_code"); there && reason == "" && status == 0 {
		r.t.Error("up without a status code")
	}
}

func (r goldenRules) certificates(http bool, reason string) {
	_, shown := r.exposition["probe_ssl_last_chain_info"]
	r.together(shown, "probe_ssl_earliest_cert_expiry", "probe_ssl_earliest_cert_not_before_timestamp_seconds", "probe_tls_version_info")
	if shown {
		r.together(http, "probe_http_hops_earliest_cert_expiry_timestamp_seconds")
	}
	r.together(shown && http, "probe_tls_cipher_info")
	if strings.HasPrefix(reason, "certificate_") {
		r.together(false, "probe_ssl_last_chain_expiry_timestamp_seconds")
	}
	if expiry, there := r.value("probe_ssl_last_chain_expiry_timestamp_seconds"); there && (expiry < 1e9 || !shown) {
		r.t.Errorf("the verified chain expires at %v, the certificates are present: %t", expiry, shown)
	}
	if tls, _ := r.value("probe_http_ssl"); tls == 1 && !shown {
		r.t.Error("TLS without certificate metrics")
	}
}

//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// difference is an intended difference between rollcall and blackbox_exporter.
type difference struct {
	what, peer, ours, because string // a row of the table in docs/from-blackbox-exporter.md

	in, diff string // regexps: the visits and requests that show it, and how it shows there
	held     string // alternatively: a file, and text in it that names the test
}

// versions lists differences between blackbox_exporter 0.23 and its later releases, which rollcall follows.
var versions = []difference{
	{what: "families that are newer than 0.23", in: `.`, diff: `^(probe_timeout_seconds|probe_tls_cipher_info|probe_failed_due_to_bytes) only in rollcall`},
	{what: "the content type names an escaping", in: `.`, diff: `^content type .*; escaping=underscores"$`},
	{what: "the label serialnumber", in: `tls|https|secure|tunnel`, diff: `^probe_ssl_last_chain_info .*, rollcall: .*serialnumber=`},
	{what: "hostname names the certificate for tcp as well", in: `^tcp_tls_name_by_hostname_parameter$`, diff: `.`},
	{what: "grpc shows an expiry only of certificates", in: `^grpc_`, diff: `^probe_ssl_earliest_cert_expiry (only in blackbox_exporter|\{\} 0)`},
	{what: "probers are checked when loading", in: `^(a missing|an unknown) prober$`, diff: `^config accepted, rollcall: refused`},
	{what: "logs without an id are 400", in: `^logs without id$`, diff: `^status 500, rollcall: 400`},
	{what: "tcp has no regexp metric before it is connected", in: `^(tcp|name)_`, diff: `^probe_failed_due_to_regex only in blackbox_exporter`},
}

// renamed covers the exporter's own metrics, which have a separate table on the same page.
var renamed = difference{what: "names of its own metrics", in: `^own metrics$`, diff: `^(blackbox|rollcall)_`}

// durations are the families whose values are measurements: only their labels are compared.
var durations = []string{"probe_duration_seconds", "probe_dns_lookup_time_seconds", "probe_http_duration_seconds", "probe_icmp_duration_seconds", "probe_dns_duration_seconds", "probe_grpc_duration_seconds"}

// deterministic joins a family's series without the values that are measurements.
func deterministic(family string, all []string) string {
	if slices.Contains(durations, family) {
		for i, s := range all {
			all[i] = s[:strings.LastIndexByte(s, ' ')]
		}
	}
	return strings.Join(all, "; ")
}

// judge receives the differences found and decides whether each is intended.
type judge struct {
	rules []difference

	mu   sync.Mutex
	seen map[string]bool
}

func newJudge() *judge {
	return &judge{rules: append(append(slices.Clone(versions), differences...), renamed), seen: make(map[string]bool)}
}

// check fails t for each difference that no rule explains.
func (j *judge) check(t *testing.T, in string, diffs []string) {
	t.Helper()
	for _, diff := range diffs {
		explained := false
		for _, rule := range j.rules {
			if rule.in != "" && matches(rule.in, in) && matches(rule.diff, diff) {
				j.mu.Lock()
				j.seen[rule.what] = true
				j.mu.Unlock()
				explained = true
			}
		}
		if !explained {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }

// close fails t for each rule that explained nothing (it describes a difference that does not exist) and for each rule
// whose named test does not exist.
func (j *judge) close(t *testing.T) {
	t.Helper()
	for _, rule := range j.rules {
		if rule.held != "" {
			file, words, _ := strings.Cut(rule.held, ": ")
			if text, err := os.ReadFile(filepath.Join("..", file)); err != nil || !strings.Contains(string(text), words) {
				t.Errorf("the difference %q is not held by %s (%v)", rule.what, rule.held, err)
			}
		} else if !j.seen[rule.what] {
			t.Errorf("nothing shows the difference %q", rule.what)
		}
	}
}

// differencesPage has the table of differences for readers.
const differencesPage = "../docs/from-blackbox-exporter.md"

// TestDocsListEveryDifference compares the table in the docs with the rows in differences. With -update it writes the table.
func TestDocsListEveryDifference(t *testing.T) {
	const begin, end = "<!-- differences -->\n", "<!-- /differences -->"
	page, err := os.ReadFile(differencesPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	table, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no table between %s and %s", differencesPage, strings.TrimSpace(begin), end)
	}
	if *update {
		if err := os.WriteFile(differencesPage, []byte(before+begin+differencesTable()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, want := table, differencesTable(); got != want {
		t.Errorf("the table in %s differs from the one in the tests (-update writes it):\n%s", differencesPage, lineDiff(got, want))
	}
}

func differencesTable() string {
	var b strings.Builder
	b.WriteString("| | blackbox_exporter | rollcall | because |\n|---|---|---|---|\n")
	for _, d := range differences {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.what, d.peer, d.ours, d.because)
	}
	return b.String()
}

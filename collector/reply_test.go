package collector

import (
	"bytes"
	"flag"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"rollcall/probe"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func ask(t testing.TB, replies *Replies, accept string, r *probe.Record) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	if err := replies.Write(w, accept, r, ""); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestGolden compares the whole reply for a Record of each kind with a file, in the order in which a pooled
// builder would leak one reply into the next.
func TestGolden(t *testing.T) {
	var replies Replies
	all := records()
	for range 2 {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			got := ask(t, &replies, "", all[name]).Body.Bytes()
			file := filepath.Join("testdata", name+".prom")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// families are those of a /probe reply.
func families(r *probe.Record) (all []*dto.MetricFamily) {
	b := newBuilder()
	b.build(r)
	for _, f := range b.built {
		all = append(all, &b.families[f])
	}
	return all
}

// viaExpfmt is what the library writes for the same families.
func viaExpfmt(t testing.TB, format expfmt.Format, r *probe.Record) string {
	t.Helper()
	var buffer bytes.Buffer
	encoder := expfmt.NewEncoder(&buffer, format)
	for _, f := range families(r) {
		if err := encoder.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := encoder.(expfmt.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

func TestEveryFormatIsWhatTheLibraryWrites(t *testing.T) {
	for _, test := range []struct{ accept, contentType string }{
		{"", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
		{"text/html", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
		{"*/*", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
		{"text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
		{promAccept, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"},
		{promAccept3, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"},
		{"application/openmetrics-text;version=0.0.1", "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores"},
		{"application/openmetrics-text;version=1.0.0;escaping=dots", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots"},
		{"text/plain;version=0.0.4;escaping=values", "text/plain; version=0.0.4; charset=utf-8; escaping=values"},
		{"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores"},
		{"\x00;;;=,,q=", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
	} {
		var replies Replies
		for name, record := range records() {
			w := ask(t, &replies, test.accept, record)
			contentType := w.Header().Get("Content-Type")
			if contentType != test.contentType {
				t.Fatalf("%q negotiated %q, want %q", test.accept, contentType, test.contentType)
			}
			if diff := cmp.Diff(viaExpfmt(t, expfmt.Format(contentType), record), w.Body.String()); diff != "" {
				t.Errorf("%q, %s (-expfmt +rollcall):\n%s", test.accept, name, diff)
			}
			if got := w.Header().Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
				t.Errorf("Content-Length %s for %d bytes", got, w.Body.Len())
			}
			if w.Header().Get("Content-Encoding") != "" {
				t.Error("the reply is encoded")
			}
		}
	}
}

// TestEverySectionMayBeAbsent goes through all sets of sections, also those that no prober makes today.
func TestEverySectionMayBeAbsent(t *testing.T) {
	full := records()["https"].Result
	for set := range 1 << 7 {
		r := &probe.Record{Prober: "x", Timeout: 9500 * time.Millisecond}
		var want []string
		has := func(bit int, names ...string) bool {
			if set&(1<<bit) != 0 {
				want = append(want, names...)
				return true
			}
			return false
		}
		want = append(want, "probe_duration_seconds", "probe_success", "probe_timeout_seconds")
		if has(0, "probe_dns_lookup_time_seconds", "probe_ip_addr_hash", "probe_ip_protocol") {
			r.Result.Resolve = full.Resolve
		}
		http := has(1, "probe_failed_due_to_cel", "probe_failed_due_to_regex", "probe_http_content_length", "probe_http_duration_seconds",
			"probe_http_hops_earliest_cert_expiry_timestamp_seconds", "probe_http_last_modified_timestamp_seconds", "probe_http_redirects", "probe_http_ssl", "probe_http_status_code",
			"probe_http_uncompressed_body_length", "probe_http_version")
		if http {
			r.Result.HTTP = full.HTTP
		}
		if has(2, "probe_failed_due_to_bytes", "probe_failed_due_to_regex") {
			r.Result.TCP = new(probe.TCPFacts)
		}
		if has(3, "probe_ssl_client_cert_expiry_timestamp_seconds", "probe_ssl_earliest_cert_expiry", "probe_ssl_earliest_cert_not_before_timestamp_seconds",
			"probe_ssl_last_chain_expiry_timestamp_seconds", "probe_ssl_last_chain_info", "probe_tls_version_info") {
			r.Result.TLS = full.TLS
			if http {
				want = append(want, "probe_tls_cipher_info")
			}
		}
		if has(6, "probe_dns_additional_rrs", "probe_dns_answer_rrs", "probe_dns_authority_rrs", "probe_dns_duration_seconds",
			"probe_dns_query_succeeded", "probe_dns_serial", "probe_dns_truncated") {
			r.Result.DNS = &probe.DNSFacts{HasSerial: true}
		}
		if has(4, "probe_failure_info") {
			r.Result.Failure = records()["refused"].Result.Failure
		}
		if has(5, "probe_icmp_duration_seconds", "probe_icmp_reply_hop_limit") {
			r.Result.ICMP = &probe.ICMPFacts{HopLimit: 64}
		}
		slices.Sort(want)
		want = slices.Compact(want)
		var got []string
		for _, f := range families(r) {
			got = append(got, f.GetName())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sections %07b (-want +got):\n%s", set, diff)
		}
		var replies Replies
		if diff := cmp.Diff(viaExpfmt(t, expfmt.FmtText, r), ask(t, &replies, "", r).Body.String()); diff != "" {
			t.Errorf("sections %07b (-expfmt +rollcall):\n%s", set, diff)
		}
	}
}

func FuzzLabelValuesAndNumbers(f *testing.F) {
	f.Add("plain", `back\slash "quoted"`+"\n", 1.5, int64(-1))
	f.Add("\x00", "é\xff", 1e300, int64(1<<62))
	f.Fuzz(func(t *testing.T, first, second string, seconds float64, length int64) {
		r := records()["https"]
		r.Result.TLS.Leaf.Subject, r.Result.TLS.Leaf.Issuer = first, second
		r.Result.HTTP.ContentLength = length
		r.Result.TCP = &probe.TCPFacts{Expects: []probe.ExpectLabels{{{Name: "a", Value: first}}, {{Name: "a", Value: second}}}}
		var replies Replies
		for _, accept := range []string{"", promAccept} {
			w := ask(t, &replies, accept, r)
			want := viaExpfmt(t, expfmt.Format(w.Header().Get("Content-Type")), r)
			if want != w.Body.String() {
				t.Errorf("(-expfmt +rollcall):\n%s", cmp.Diff(want, w.Body.String()))
			}
		}
		for _, open := range []bool{false, true} {
			b := newBuilder()
			b.add(success, seconds)
			format := expfmt.FmtText
			if open {
				format = expfmt.FmtOpenMetrics_1_0_0
			}
			var want bytes.Buffer
			encoder := expfmt.NewEncoder(&want, format)
			if err := encoder.Encode(&b.families[success]); err != nil {
				t.Fatal(err)
			}
			if err := encoder.(expfmt.Closer).Close(); err != nil {
				t.Fatal(err)
			}
			if got := string(b.appendText(nil, open)); got != want.String() {
				t.Errorf("%v is written %q, by expfmt %q", seconds, got, want.String())
			}
		}
	})
}

// A registry refuses duplicate series, unsorted labels and invalid names, and sorts what it gathers.
func TestARegistryAcceptsTheFamiliesInTheirOrder(t *testing.T) {
	for name, record := range records() {
		ours := families(record)
		judged, err := prometheus.Gatherers{prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			return ours, nil
		})}.Gather()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i := range judged {
			if diff := cmp.Diff(judged[i].String(), ours[i].String()); diff != "" {
				t.Errorf("%s (-registry +rollcall):\n%s", name, diff)
			}
		}
	}
}

// The budgets leave out the pool, which the race detector makes forget at random.
func TestAllocationBudgets(t *testing.T) {
	var f formats
	openMetrics := f.negotiate(promAccept)
	for _, name := range []string{"tcp", "refused", "http", "https", "https_expired", "icmp", "dns"} {
		record := records()[name]
		kept := &reply{builder: newBuilder()}
		encode := func() {
			if err := kept.encode(openMetrics, record); err != nil {
				t.Fatal(err)
			}
		}
		if allocs := testing.AllocsPerRun(100, encode); allocs > 0 {
			t.Errorf("building a reply for %s in used memory takes %v allocations, the budget is 0", name, allocs)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { f.negotiate(promAccept) }); allocs > 0 {
		t.Errorf("negotiating a format again takes %v allocations, the budget is 0", allocs)
	}
}

func TestTheRecordStaysAsItWas(t *testing.T) {
	record := records()["tcp_expect_duplicates"]
	var replies Replies
	ask(t, &replies, "", record)
	if diff := cmp.Diff(duplicateExpects(), record.Result.TCP.Expects); diff != "" {
		t.Errorf("the reply changed the Record, which observers share (-want +got):\n%s", diff)
	}
}

func TestTheAcceptCacheIsBounded(t *testing.T) {
	var f formats
	for i := range 10 * maxFormats {
		f.negotiate("text/plain;q=0." + strconv.Itoa(i))
		if len(f.known) > maxFormats {
			t.Fatalf("%d headers are kept", len(f.known))
		}
	}
	before := len(f.known)
	long := "text/plain;version=0.0.4;x=" + strings.Repeat("a", maxCachedAccept)
	if got := f.negotiate(long); !got.ours || got.openMetrics {
		t.Errorf("a long header negotiates %q", got.format)
	}
	if len(f.known) != before {
		t.Error("a long header is kept")
	}
}

func TestDescriptorsAreSortedAndComplete(t *testing.T) {
	names := map[string]bool{}
	for i, d := range descriptors {
		if d.name == "" || d.help == "" {
			t.Errorf("family %d has no name or help", i)
		}
		if i > 0 && d.name <= descriptors[i-1].name {
			t.Errorf("%s stands after %s", d.name, descriptors[i-1].name)
		}
		names[d.name] = true
	}
	for _, record := range records() {
		for _, f := range families(record) {
			delete(names, f.GetName())
		}
	}
	if len(names) > 0 {
		t.Errorf("no test record has %v", slices.Sorted(maps.Keys(names)))
	}
}

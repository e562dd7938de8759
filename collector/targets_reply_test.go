package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// TestGoldenTargets compares the whole reply for a target of each kind, with one that has fallen silent, one that has
// never been probed, and one that only /probe was asked for.
func TestGoldenTargets(t *testing.T) {
	var text, openMetrics string
	synctest.Test(t, func(t *testing.T) {
		var targets Targets
		configured := every(time.Minute, "http_2xx", "https://www.example.com/", "https://old.example.com/", "https://u:canary@shop.example.com/", "https://new.example.com/")
		configured[0].Labels = labels.FromMap(map[string]string{"team": "web", "about": `quotes " and \`, "empty": ""})
		targets.Apply(append(configured, every(15*time.Second, "tcp_connect", "mail.example.com:25", "silent.example.com:25")...))
		targets.Observe(scheduled("tcp_connect", "silent.example.com:25", "tcp"))
		time.Sleep(time.Minute)
		targets.Observe(scheduled("http_2xx", "https://www.example.com/", "https"))
		targets.Observe(scheduled("http_2xx", "https://old.example.com/", "https_expired"))
		targets.Observe(scheduled("http_2xx", "https://u:canary@shop.example.com/", "http"))
		targets.Observe(scheduled("tcp_connect", "mail.example.com:25", "refused"))
		asked := scheduled("http_2xx", "https://new.example.com/", "http")
		asked.Scheduled = false
		targets.Observe(asked)
		text, openMetrics = askTargets(t, &targets, "").Body.String(), askTargets(t, &targets, promAccept).Body.String()
	})
	const file = "testdata/targets.prom"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	promtool(t, "/metrics/targets", text)
	open := regexp.MustCompile(`(?m) (\d+)$`).ReplaceAllString(text, " $1.0") + "# EOF\n"
	open = regexp.MustCompile(`le="(\d+)"`).ReplaceAllString(open, `le="$1.0"`)
	open = regexp.MustCompile(`(?m)^# (HELP|TYPE) (\w+)_total`).ReplaceAllString(open, "# $1 $2")
	if diff := cmp.Diff(open, openMetrics); diff != "" {
		t.Errorf("OpenMetrics (-want +got):\n%s", diff)
	}
}

// TestTargetsSayWhatAProbeSays: the same families, labels and values, as far as they are shown.
func TestTargetsSayWhatAProbeSays(t *testing.T) {
	shown := map[string]bool{}
	for _, s := range shownSeries {
		shown[descriptors[s.family].name] = true
	}
	var replies Replies
	for name, record := range records() {
		var targets Targets
		targets.Apply(every(time.Minute, "m", "x:1"))
		record.Module, record.Target, record.Scheduled, record.Result.Start = "m", "x:1", true, time.Now()
		targets.Observe(record)
		var want []string
		for line := range strings.Lines(string(replies.AppendText(nil, record))) {
			name := regexp.MustCompile(`^\w+`).FindString(line)
			if !shown[name] {
				continue
			}
			if labels, ok := strings.CutPrefix(line, name+"{"); ok {
				want = append(want, name+`{module="m",target="x:1",`+labels)
			} else {
				want = append(want, name+`{module="m",target="x:1"}`+strings.TrimPrefix(line, name))
			}
		}
		if diff := cmp.Diff(strings.Join(want, ""), lines(t, &targets, "probe_")); diff != "" {
			t.Errorf("%s (-/probe +/metrics/targets):\n%s", name, diff)
		}
	}
}

// TestTargetsHaveWhatRulesAndDashboardAskFor: all of it, and what else is known of the validity of certificates.
func TestTargetsHaveWhatRulesAndDashboardAskFor(t *testing.T) {
	got, want := map[string]bool{}, map[string]bool{
		descriptors[sslEarliestCertNotBefore].name: true, descriptors[httpHopsEarliestCertExpiry].name: true,
	}
	for _, s := range shownSeries {
		got[descriptors[s.family].name] = true
	}
	for _, file := range []string{"../deploy/prometheus/rules.yml", "../deploy/grafana/rollcall.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bprobe_\w+`).FindAllString(string(text), -1) {
			want[name] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-asked for +shown):\n%s", diff)
	}
}

func TestHostileTextStaysInItsLabel(t *testing.T) {
	for _, evil := range []string{"a\"} 1\nprobe_success{target=\"x", `\`, `\"`, "\x00\x7f\u2028", "{{.}}", strings.Repeat("a", 10_000)} {
		var targets Targets
		configured := every(time.Minute, "m"+evil, "t"+evil)
		configured[0].Labels = labels.FromMap(map[string]string{"own": evil})
		targets.Apply(configured)
		targets.Observe(scheduled("m"+evil, "t"+evil, "refused"))
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(askTargets(t, &targets, "").Body)
		if err != nil {
			t.Errorf("%q: %v", evil, err)
			continue
		}
		for name, family := range families {
			labels := map[string]string{}
			for _, l := range family.Metric[0].Label {
				labels[l.GetName()] = l.GetValue()
			}
			want := 1
			if name == targetProbes.name {
				want = int(resultCount)
			}
			if len(family.Metric) != want || labels["module"] != "m"+evil || labels["target"] != "t"+evil || labels["own"] != evil {
				t.Errorf("%q: %s has %d series, the first with %q", evil, name, len(family.Metric), labels)
			}
		}
	}
}

// slowWriter is a ResponseWriter that calls during before it takes what is written.
type slowWriter struct {
	*httptest.ResponseRecorder
	during func()
	err    error
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.during()
	if w.err != nil {
		return 0, w.err
	}
	return w.ResponseRecorder.Write(p)
}

// TestAReplyIsOfOneMoment has every target go down while a reply that says that they are up is being written.
func TestAReplyIsOfOneMoment(t *testing.T) {
	var targets Targets
	configured := manyTargets(500)
	targets.Apply(configured)
	all := func(record string) func() {
		return func() {
			for _, c := range configured {
				targets.Observe(scheduled(c.Module, c.Target, record))
			}
		}
	}
	all("http")()
	w := &slowWriter{ResponseRecorder: httptest.NewRecorder(), during: sync.OnceFunc(all("http_refused"))}
	if err := targets.Write(w, ""); err != nil {
		t.Fatal(err)
	}
	if text := w.Body.String(); strings.Count(text, "\"} 1\n") < 500 || strings.Contains(text, "probe_failure_info") || strings.Contains(text, `_code{module="http_2xx",target="https://host-000499.example.com/"} 0`) {
		t.Error("the reply mixes two probes of a target")
	}
	if got := lines(t, &targets, `probe_failure_info`); strings.Count(got, "\n") != 500 {
		t.Errorf("afterwards:\n%s", got)
	}
	if targets.view != nil {
		t.Error("a view outlives its replies")
	}
}

func TestAReaderWhoHasGoneEndsTheReply(t *testing.T) {
	var targets Targets
	targets.Apply(manyTargets(1000))
	gone, writes := errors.New("gone"), 0
	w := &slowWriter{ResponseRecorder: httptest.NewRecorder(), during: func() { writes++ }, err: gone}
	if err := targets.Write(w, ""); !errors.Is(err, gone) || writes != 1 || targets.view != nil {
		t.Errorf("%v after %d writes", err, writes)
	}
}

func TestTargetsAreWrittenAsTheScraperAsks(t *testing.T) {
	var targets Targets
	const text, open = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="
	const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="
	for accept, want := range map[string]string{
		"": text, "*/*": text, promAccept: open + "underscores", promAccept3: open + "allow-utf-8",
		"application/openmetrics-text;version=1.0.0;escaping=dots": open + "dots",
		protobuf + "delimited," + text:                             "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores",
		protobuf + "text":                                          text,
	} {
		if got := askTargets(t, &targets, accept).Header().Get("Content-Type"); got != want {
			t.Errorf("%q negotiated %q, want %q", accept, got, want)
		}
	}
}

// TestProtobufSaysWhatTheTextSays: the same families, labels and values, and the histogram is also a native one.
func TestProtobufSaysWhatTheTextSays(t *testing.T) {
	var targets Targets
	configured := every(time.Minute, "m", "a:1", "b:1", "silent:1")
	configured[0].Labels, configured[0].Name = labels.FromMap(map[string]string{"service.name": "x", "empty": ""}), "A"
	configured[1].Hostname, configured[1].Group = "host", "g"
	targets.Apply(configured)
	for range 3 {
		targets.Observe(scheduled("m", "a:1", "https"))
	}
	r := scheduled("m", "b:1", "refused")
	r.Hostname = "host"
	targets.Observe(r)
	targets.NoVerdict(r.Key())
	text, protobuf := askTargets(t, &targets, ""), askTargets(t, &targets, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	var got bytes.Buffer
	decoder := expfmt.NewDecoder(protobuf.Body, expfmt.Format(protobuf.Header().Get("Content-Type")))
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, m := range family.Metric {
			h := m.Histogram
			if h == nil {
				continue
			}
			all := h.GetZeroCount()
			for last, i := int64(0), 0; i < len(h.PositiveDelta); i++ {
				last += h.PositiveDelta[i]
				all += uint64(last)
			}
			if all != h.GetSampleCount() || h.CreatedTimestamp.AsTime().IsZero() || len(h.PositiveSpan) == 0 {
				t.Errorf("the native buckets of %v hold %d of %d", m.Label, all, h.GetSampleCount())
			}
		}
		if _, err := expfmt.MetricFamilyToText(&got, &family); err != nil {
			t.Fatal(err)
		}
	}
	arranged := func(text string) string { // the order of labels may differ
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if open, end := strings.IndexByte(line, '{'), strings.IndexByte(line, '}'); open > 0 && end > 0 {
				labels := strings.Split(line[open+1:end], ",")
				slices.Sort(labels)
				lines[i] = line[:open] + fmt.Sprint(labels) + line[end:]
			}
		}
		return strings.Join(lines, "\n")
	}
	if diff := cmp.Diff(arranged(text.Body.String()), arranged(got.String())); diff != "" {
		t.Errorf("(-text +protobuf):\n%s", diff)
	}
}

// TestTallyIsBoundedAndRight compares a tally with a plain count.
func TestTallyIsBoundedAndRight(t *testing.T) {
	tally := &tally{schema: finestSchema}
	random := rand.New(rand.NewPCG(1, 2))
	var seconds []float64
	for range 5000 {
		s := math.Exp(random.Float64()*30 - 25) // from picoseconds to minutes
		seconds = append(seconds, s)
		tally = tally.add(resultUp, s)
		if len(tally.native) > maxNativeBuckets {
			t.Fatalf("%d buckets", len(tally.native))
		}
	}
	tally = tally.add(resultUp, 0).add(resultDown, 1).add(resultUnknown, 0)
	base := math.Pow(2, math.Pow(2, -float64(tally.schema)))
	for _, b := range tally.native {
		low, high, want := math.Pow(base, float64(b.index-1)), math.Pow(base, float64(b.index)), uint32(0)
		for _, s := range seconds {
			if s > low && s <= high {
				want++
			}
		}
		if b.count != want {
			t.Errorf("from %g to %g: %d, want %d", low, high, b.count, want)
		}
	}
	if tally.results != [...]uint64{5001, 1, 1} || tally.zero != 1 {
		t.Errorf("%v, %d of zero", tally.results, tally.zero)
	}
}

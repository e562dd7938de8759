package collector

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rollcall/probe"
)

// scheduled is one of records as the verdict about a configured target, of a probe that begins now.
func scheduled(module, target, record string) probe.Record {
	r := records()[record]
	r.Module, r.Target, r.Scheduled = module, target, true
	r.Result.Start = time.Now()
	return r
}

func every(interval time.Duration, module string, targets ...string) (configured []Target) {
	for _, name := range targets {
		configured = append(configured, Target{Module: module, Target: name, Interval: interval})
	}
	return configured
}

func askTargets(t testing.TB, targets *Targets, accept string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	if err := targets.Write(w, accept); err != nil {
		t.Fatal(err)
	}
	return w
}

// lines returns the lines of the reply that match, in its order.
func lines(t testing.TB, targets *Targets, pattern string) string {
	t.Helper()
	return strings.Join(regexp.MustCompile(`(?m)^`+pattern+`.*\n`).FindAllString(askTargets(t, targets, "").Body.String(), -1), "")
}

// TestGoldenTargets compares the whole reply for a target of each kind, with one that has fallen silent, one that has
// never been probed, and one that only somebody else asked for.
func TestGoldenTargets(t *testing.T) {
	var text, openMetrics string
	synctest.Test(t, func(t *testing.T) {
		var targets Targets
		configured := every(time.Minute, "http_2xx", "https://www.example.com/", "https://old.example.com/", "https://u:canary@shop.example.com/", "https://new.example.com/")
		configured[0].Labels = map[string]string{"team": "web", "about": `quotes " and \`, "empty": ""}
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
	promtool(t, "/targets", text)
	open := regexp.MustCompile(`(?m) (\d+)$`).ReplaceAllString(text, " $1.0") + "# EOF\n"
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
		for line := range strings.Lines(string(replies.AppendText(nil, &record))) {
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
			t.Errorf("%s (-/probe +/targets):\n%s", name, diff)
		}
	}
}

// TestTargetsHaveWhatRulesAndDashboardAskFor: all of it, and nothing else.
func TestTargetsHaveWhatRulesAndDashboardAskFor(t *testing.T) {
	got, want := map[string]bool{}, map[string]bool{}
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

func TestAnOldVerdictIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var targets Targets
		targets.Apply(every(10*time.Second, "m", "x:1"))
		r := scheduled("m", "x:1", "tcp")
		time.Sleep(r.Result.Duration) // verdicts come at the end of their probes
		targets.Observe(r)
		time.Sleep(30 * time.Second)
		if got := lines(t, &targets, "probe_success"); got != `probe_success{module="m",target="x:1"} 1`+"\n" {
			t.Errorf("three intervals later: %q", got)
		}
		if s := targets.Summary(1); s.Up != 1 {
			t.Errorf("three intervals later: %+v", s)
		}
		time.Sleep(time.Millisecond)
		want := `rollcall_target_interval_seconds{module="m",target="x:1"} 10
rollcall_target_last_probe_timestamp_seconds{module="m",target="x:1"} 9.4668480003e+08
`
		if got := lines(t, &targets, `\w`); got != want {
			t.Errorf("then: %s", got)
		}
		if s := targets.Summary(1); s.Up != 0 || s.Unknown != 1 {
			t.Errorf("then: %+v", s)
		}
	})
}

func TestReloadKeepsTheVerdictsOfWhatStays(t *testing.T) {
	var targets Targets
	targets.Apply(every(time.Minute, "m", "stays:1", "goes:1"))
	targets.Observe(scheduled("m", "stays:1", "tcp"))
	targets.Observe(scheduled("m", "goes:1", "tcp"))
	next := every(time.Hour, "m", "stays:1", "comes:1")
	next = append(next, every(time.Hour, "other", "stays:1")...)
	next[0].Labels = map[string]string{"team": "x"}
	targets.Apply(next)
	targets.Observe(scheduled("m", "goes:1", "tcp")) // its probe was under way
	want := `probe_success{module="m",target="stays:1",team="x"} 1
rollcall_target_interval_seconds{module="m",target="comes:1"} 3600
rollcall_target_interval_seconds{module="m",target="stays:1",team="x"} 3600
rollcall_target_interval_seconds{module="other",target="stays:1"} 3600
`
	if diff := cmp.Diff(want, lines(t, &targets, `(probe_success|\w+interval)`)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	targets.Apply(nil)
	if got := askTargets(t, &targets, promAccept).Body.String(); got != "# EOF\n" {
		t.Errorf("without targets: %q", got)
	}
}

func TestSummaryTellsTheLatestThatAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var targets Targets
		targets.Apply(every(10*time.Second, "m", "a:1", "b:1", "https://u:canary@c/", "never:1", "up:1"))
		began := time.Now()
		at := func(after time.Duration, target, record string) {
			time.Sleep(time.Until(began.Add(after)))
			targets.Observe(scheduled("m", target, record))
		}
		at(0, "a:1", "tcp")
		at(0, "https://u:canary@c/", "refused")
		at(5*time.Second, "a:1", "refused")
		at(6*time.Second, "b:1", "no_such_host")
		at(7*time.Second, "https://u:canary@c/", "no_such_host") // still down
		at(15*time.Second, "a:1", "refused")
		at(45*time.Second+31*time.Millisecond, "a:1", "refused") // nobody knows what was before
		at(46*time.Second, "b:1", "tcp")
		at(46*time.Second, "up:1", "tcp")
		at(47*time.Second, "https://u:canary@c/", "refused")
		at(48*time.Second, "b:1", "no_such_host")
		down := func(target string, after time.Duration, stage probe.Stage, reason probe.Reason) DownTarget {
			return DownTarget{"m", target, began.Add(after), string(stage), string(reason)}
		}
		want := TargetSummary{Up: 1, Down: 3, Unknown: 1, Failing: []DownTarget{
			down("b:1", 48*time.Second, probe.StageResolve, probe.ReasonNoSuchHost),
			down("https://***@c/", 47*time.Second, probe.StageConnect, probe.ReasonConnectionRefused),
			down("a:1", 45*time.Second+31*time.Millisecond, probe.StageConnect, probe.ReasonConnectionRefused),
		}}
		got := targets.Summary(10)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := targets.Summary(1); got.Down != 3 || len(got.Failing) != 1 || got.Failing[0].Target != "b:1" {
			t.Errorf("cut to one: %+v", got)
		}
	})
}

func TestHostileTextStaysInItsLabel(t *testing.T) {
	for _, evil := range []string{"a\"} 1\nprobe_success{target=\"x", `\`, `\"`, "\x00\x7f\u2028", "{{.}}", strings.Repeat("a", 10_000)} {
		var targets Targets
		configured := every(time.Minute, "m"+evil, "t"+evil)
		configured[0].Labels = map[string]string{"own": evil}
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
			if len(family.Metric) != 1 || labels["module"] != "m"+evil || labels["target"] != "t"+evil || labels["own"] != evil {
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

func manyTargets(n int) []Target {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("https://host-%06d.example.com/", i))
	}
	return every(time.Minute, "http_2xx", names...)
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

func TestTargetsAreWrittenAsTextOrOpenMetrics(t *testing.T) {
	var targets Targets
	const text, open = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="
	for accept, want := range map[string]string{
		"": text, "*/*": text, promAccept: open + "underscores", promAccept3: open + "allow-utf-8",
		"application/openmetrics-text;version=1.0.0;escaping=dots":                                           text,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited," + text: text,
	} {
		if got := askTargets(t, &targets, accept).Header().Get("Content-Type"); got != want {
			t.Errorf("%q negotiated %q, want %q", accept, got, want)
		}
	}
}

// TestATargetIsCheap holds what PERFORMANCE.md builds on: the memory for each, nothing for what /probe was
// asked, and a reply that takes the same memory however many there are.
func TestATargetIsCheap(t *testing.T) {
	const n = 20_000
	configured := manyTargets(n)
	for i := range configured {
		configured[i].Labels = map[string]string{"team": "web"}
	}
	targets := new(Targets)
	before := heap()
	targets.Apply(configured)
	for _, c := range configured {
		targets.Observe(scheduled(c.Module, c.Target, "https"))
	}
	each := (heap() - before) / n
	t.Logf("%d bytes for each target", each)
	if each > 400 {
		t.Errorf("a target keeps %d bytes, the budget is 400", each)
	}
	record := scheduled(configured[7].Module, configured[7].Target, "https")
	b := newBuilder()
	if allocs := testing.AllocsPerRun(100, func() { newVerdict(b, &record) }); allocs > 1 {
		t.Errorf("a verdict takes %v allocations, the budget is 1", allocs)
	}
	record.Scheduled = false
	if allocs := testing.AllocsPerRun(100, func() { targets.Observe(record) }); allocs > 0 {
		t.Errorf("a result of /probe takes %v allocations", allocs)
	}
	w := &discard{header: http.Header{}}
	allocs := testing.AllocsPerRun(3, func() {
		if err := targets.Write(w, promAccept); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 20 {
		t.Errorf("a reply about %d targets takes %v allocations, the budget is 20", n, allocs)
	}
	runtime.KeepAlive(targets)
}

// heap is how many bytes are in use.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what is in pools is kept once
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestTargetsMayBeUsedByAllAtOnce(t *testing.T) {
	var targets Targets
	configured := manyTargets(100)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for i := range 50 {
				targets.Apply(configured[i:])
			}
		})
		workers.Go(func() {
			for range 20 {
				for _, c := range configured {
					targets.Observe(scheduled(c.Module, c.Target, "http"))
				}
			}
		})
		workers.Go(func() {
			for range 50 {
				if err := targets.Write(&discard{header: http.Header{}}, ""); err != nil {
					t.Error(err)
				}
				targets.Summary(5)
			}
		})
	}
	workers.Wait()
	targets.Apply(configured)
	if s := targets.Summary(0); s.Up < 50 || s.Up+s.Unknown != 100 {
		t.Errorf("in the end: %+v", s)
	}
}

func BenchmarkTargets(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		var targets Targets
		configured := manyTargets(n)
		targets.Apply(configured)
		for _, c := range configured {
			targets.Observe(scheduled(c.Module, c.Target, "https"))
		}
		b.Run(fmt.Sprintf("reply/%d", n), func(b *testing.B) {
			size := int64(askTargets(b, &targets, promAccept).Body.Len())
			w := &discard{header: http.Header{}}
			b.SetBytes(size)
			b.ReportMetric(float64(size), "bytes")
			b.ReportAllocs()
			for b.Loop() {
				if err := targets.Write(w, promAccept); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("observe/%d", n), func(b *testing.B) {
			record := scheduled(configured[n/3].Module, configured[n/3].Target, "https")
			b.ReportAllocs()
			for b.Loop() {
				targets.Observe(record)
			}
		})
		b.Run(fmt.Sprintf("summary/%d", n), func(b *testing.B) {
			for b.Loop() {
				targets.Summary(20)
			}
		})
		b.Run(fmt.Sprintf("apply/%d", n), func(b *testing.B) {
			for b.Loop() {
				targets.Apply(configured)
			}
		})
	}
}

package collector

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"rollcall/probe"
)

// scheduled is one of records as the verdict about a configured target, of a probe that begins now.
func scheduled(module, target, record string) *probe.Record {
	r := records()[record]
	r.Module, r.Target, r.Scheduled = module, target, true
	r.Result.Start = time.Now()
	return r
}

func every(interval time.Duration, module string, targets ...string) (configured []*probe.Target) {
	for _, name := range targets {
		configured = append(configured, &probe.Target{Module: module, Target: name, Interval: interval})
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
		time.Sleep(time.Millisecond)
		want := `rollcall_target_interval_seconds{module="m",target="x:1"} 10
rollcall_target_last_probe_timestamp_seconds{module="m",target="x:1"} 9.4668480003e+08
`
		if got := lines(t, &targets, `(probe|rollcall_target_(interval|last))`); got != want {
			t.Errorf("then: %s", got)
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
	next[0].Labels = labels.FromMap(map[string]string{"team": "x"})
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

func TestTargetsUnderMaintenanceAreMarked(t *testing.T) {
	var targets Targets
	targets.Apply(every(time.Minute, "m", "works:1", "http://me:secret@planned/"))
	if got := lines(t, &targets, "rollcall_target_maintenance"); got != "" {
		t.Errorf("without windows: %s", got)
	}
	targets.Maintenance = func(time.Time) func(probe.Key) bool {
		return func(k probe.Key) bool { return k == probe.Key{Module: "m", Target: "http://***@planned/"} }
	}
	if got := lines(t, &targets, "rollcall_target_maintenance"); got != `rollcall_target_maintenance{module="m",target="http://***@planned/"} 1`+"\n" {
		t.Errorf("in a window: %s", got)
	}
	targets.Maintenance = func(time.Time) func(probe.Key) bool { return nil }
	if got := lines(t, &targets, "rollcall_target_maintenance"); got != "" {
		t.Errorf("after it: %s", got)
	}
}

// TestHostnameTellsTargetsApart: two virtual hosts on one address have each their own series.
func TestHostnameTellsTargetsApart(t *testing.T) {
	var targets Targets
	configured := every(time.Minute, "m", "192.0.2.1:443", "192.0.2.1:443")
	configured[0].Hostname, configured[1].Hostname = "a.example", "b.example"
	targets.Apply(configured)
	for record, hostname := range map[string]string{"tcp": "a.example", "refused": "b.example"} {
		r := scheduled("m", "192.0.2.1:443", record)
		r.Hostname = hostname
		targets.Observe(r)
	}
	want := `probe_success{hostname="a.example",module="m",target="192.0.2.1:443"} 1
probe_success{hostname="b.example",module="m",target="192.0.2.1:443"} 0
`
	if diff := cmp.Diff(want, lines(t, &targets, "probe_success")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLabelNamesAreEscapedAsTheScraperAsks: the schemes are those of Prometheus 3.
func TestLabelNamesAreEscapedAsTheScraperAsks(t *testing.T) {
	var targets Targets
	configured := every(time.Minute, "m", "x:1")
	configured[0].Labels = labels.FromMap(map[string]string{"service.name": "shop", "service_name": "other", "größe": "1"})
	targets.Apply(configured)
	for accept, want := range map[string]string{
		"": `{gr__e="1",module="m",service_name="shop",target="x:1"}`,
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8": `{"größe"="1",module="m","service.name"="shop",service_name="other",target="x:1"}`,
		"application/openmetrics-text;version=1.0.0;escaping=values":      `{U__gr_f6__df_e="1",U__service_2e_name="shop",module="m",service_name="other",target="x:1"}`,
	} {
		text := askTargets(t, &targets, accept).Body.String()
		if !strings.Contains(text, "rollcall_target_interval_seconds"+want) {
			t.Errorf("%q: %s", accept, text)
		}
	}
}

func manyTargets(n int) []*probe.Target {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("https://host-%06d.example.com/", i))
	}
	return every(time.Minute, "http_2xx", names...)
}

// TestATargetIsCheap holds what docs/performance.md builds on: the memory for each, nothing for what /probe was
// asked, and a reply that takes the same memory however many there are.
func TestATargetIsCheap(t *testing.T) {
	const n = 20_000
	configured := manyTargets(n)
	for i := range configured {
		configured[i].Labels = labels.FromMap(map[string]string{"team": "web"})
	}
	targets := new(Targets)
	before := heap()
	targets.Apply(configured)
	for _, c := range configured {
		targets.Observe(scheduled(c.Module, c.Target, "https"))
	}
	each := (heap() - before) / n
	t.Logf("%d bytes for each target", each)
	if each > 600 {
		t.Errorf("a target keeps %d bytes, the budget is 600", each)
	}
	record := scheduled(configured[7].Module, configured[7].Target, "https")
	b := newBuilder()
	if allocs := testing.AllocsPerRun(100, func() { newVerdict(b, record) }); allocs > 2 {
		t.Errorf("a verdict takes %v allocations, the budget is 2", allocs)
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
	if allocs > 120 {
		t.Errorf("a reply about %d targets takes %v allocations, the budget is 120", n, allocs)
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
			}
		})
	}
	workers.Wait()
	targets.Apply(configured)
	if n := strings.Count(lines(t, &targets, "probe_success"), "\n"); n < 50 || n > 100 {
		t.Errorf("in the end %d of 100 have a verdict", n)
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
		b.Run(fmt.Sprintf("apply/%d", n), func(b *testing.B) {
			for b.Loop() {
				targets.Apply(configured)
			}
		})
	}
}

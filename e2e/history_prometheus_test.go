//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/e2e/zoo"
	"rollcall/history"
	"rollcall/history/prometheus"
	"rollcall/history/store"
	"rollcall/probe"
)

// TestBothHistoriesSayTheSame writes the same results into the embedded store and into a real Prometheus, and asks both
// the same questions.
func TestBothHistoriesSayTheSame(t *testing.T) {
	t.Parallel()
	targets := []*probe.Target{
		{Module: "http_2xx", Target: "https://a.example/", Interval: time.Minute},
		{Module: "http_2xx", Target: "https://a.example/", Hostname: "b.example", Interval: time.Minute},
		{Module: "tcp_connect", Target: "b.example:25", Interval: time.Minute},
	}
	dir := t.TempDir()
	kept := store.New(store.Options{Dir: dir})
	go kept.Run(t.Context())
	kept.Apply(targets)
	if err := kept.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	begin := now.Truncate(time.Hour).Add(-40 * time.Hour)
	text := resultsInBoth(kept, targets, begin, now)
	if err := kept.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, err := prometheus.New(prometheus.Options{URL: prometheusOf(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		for _, step := range []time.Duration{time.Hour, 30 * time.Minute, 5 * time.Minute} {
			from, to := now.Truncate(time.Hour).Add(-24*time.Hour), now.Truncate(time.Hour)
			one, err := kept.Series(t.Context(), target.ID(), from, to, step)
			if err != nil {
				t.Fatal(err)
			}
			other, err := server.Series(t.Context(), target.ID(), from, to, step)
			if err != nil {
				t.Fatal(err)
			}
			if len(one.Points) != len(other.Points) {
				t.Fatalf("%d points and %d", len(one.Points), len(other.Points))
			}
			for i := range one.Points {
				comparePoints(t, one.Points[i], other.Points[i])
			}
		}
		one, err := kept.Results(t.Context(), target.ID(), begin, now, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		other, err := server.Results(t.Context(), target.ID(), begin, now, 1<<30)
		if err != nil || len(one) != len(other) {
			t.Fatalf("%d results and %d: %v", len(one), len(other), err)
		}
		for i := range one {
			if one[i].Time.Sub(other[i].Time).Abs() > 2*time.Millisecond || one[i].State != other[i].State || one[i].Reason != other[i].Reason {
				t.Errorf("result %d is %+v and %+v", i, one[i], other[i])
			}
		}
		compareIncidents(t, kept, server, target)
	}
	for _, r := range history.Ranges() {
		one, err := kept.Overview(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		other, err := server.Overview(t.Context(), r)
		if err != nil || len(other.Targets) != len(one.Targets) {
			t.Fatalf("%d targets and %d: %v", len(one.Targets), len(other.Targets), err)
		}
		for _, a := range one.Targets {
			i := slices.IndexFunc(other.Targets, func(b history.Summary) bool { return b.ID == a.ID })
			if i < 0 {
				t.Fatalf("the server's overview has no %s", a.Target.Target)
			}
			b := other.Targets[i]
			up, _ := a.Counts.Uptime()
			otherUp, _ := b.Counts.Uptime()
			if a.State != b.State || math.Abs(up-otherUp) > 0.001 || !alike(a.Typical, b.Typical, 0.05) {
				t.Errorf("%s: %s and %s, up %v and %v, typically %v and %v", r, a.State, b.State, up, otherUp, a.Typical, b.Typical)
			}
		}
	}
}

// TestPagesFromAServer: a rollcall whose configuration names a Prometheus shows the same as the one that probes, of which
// that Prometheus scrapes the metrics of targets.
func TestPagesFromAServer(t *testing.T) {
	t.Parallel()
	program := find(t, "prometheus", "prometheus")
	site := zoo.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "down.example" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	const modules = "modules: {web: {prober: http}}\n"
	probing, _ := startRollcall(t, "--storage.path="+t.TempDir(), "--config.file="+writeFile(t, "probing.yml", fmt.Sprintf(modules+`
targets:
- {target: "http://%[1]s/", module: web, interval: 1s, hostname: up.example}
- {target: "http://%[1]s/", module: web, interval: 1s, hostname: down.example}
`, site)))
	config := writeFile(t, "prometheus.yml", fmt.Sprintf(`
scrape_configs:
- {job_name: rollcall, metrics_path: /metrics/targets, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [%q]}]}
`, strings.TrimPrefix(probing, "http://")))
	server := start(t, program, "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address=127.0.0.1:0")
	api := "http://" + server.await(t, `msg="Listening on" address=(\S+)`)[1]
	server.await(t, "Server is ready to receive web requests")

	storage := filepath.Join(t.TempDir(), "untouched")
	showing, _ := startRollcall(t, "--storage.path="+storage, "--config.file="+writeFile(t, "showing.yml", modules+"history: {prometheus: {url: "+api+"}}\n"))
	// Overviews are shown for half a minute: the first one has to be complete.
	eventually(t, func() (bool, string) {
		text := get(t, api+"/api/v1/query?query="+url.QueryEscape(`min(count_over_time(probe_success{hostname!=""}[1m]))`))
		found := regexp.MustCompile(`,"(\d+)"\]`).FindStringSubmatch(text)
		return found != nil && len(found[1]) > 1, text
	})
	want, got := shownTargets(t, probing), shownTargets(t, showing)
	if len(want) != 2 || len(got) != 2 {
		t.Fatalf("%d targets are probed and %d shown", len(want), len(got))
	}
	for id, a := range want {
		b := got[id]
		if a.Hostname != b.Hostname || a.State != b.State || a.Reason != b.Reason || a.Uptime == nil || b.Uptime == nil || math.Abs(*a.Uptime-*b.Uptime) > 0.01 {
			t.Errorf("probed: %+v\nshown: %+v", a, b)
		}
		get(t, showing+"/target/"+id)
		get(t, showing+"/badge/"+id+"/status.svg")
	}
	if _, err := os.Stat(storage); err == nil {
		t.Error("the embedded store is used, too")
	}
}

// apiTarget is what the API says of a target.
type apiTarget struct {
	ID, Hostname, State, Reason string
	Uptime                      *float64
}

func shownTargets(t *testing.T, base string) map[string]apiTarget {
	t.Helper()
	var reply struct{ Targets []apiTarget }
	if err := json.Unmarshal([]byte(get(t, base+"/api/v1/targets")), &reply); err != nil {
		t.Fatal(err)
	}
	byID := make(map[string]apiTarget)
	for _, target := range reply.Targets {
		byID[target.ID] = target
	}
	return byID
}

// resultsInBoth lets the store observe results and returns them as OpenMetrics.
func resultsInBoth(kept *store.Store, targets []*probe.Target, begin, now time.Time) []byte {
	families := []string{
		"probe_duration_seconds", "probe_failure_info", "probe_success", "rollcall_target_interval_seconds",
		"rollcall_target_last_probe_timestamp_seconds",
	}
	lines := make([]bytes.Buffer, len(families))
	rng := rand.New(rand.NewPCG(71, 72))
	for n, target := range targets {
		down := false
		for at := begin.Add(time.Duration(n+1) * 7 * time.Second); at.Before(now); at = at.Add(target.Interval) {
			if rng.IntN(100) == 0 {
				down = !down
			}
			down = down && now.Sub(at) > 5*time.Minute // the server notices the end of an incident up to a minute later
			duration := time.Duration(float64(20*time.Millisecond) * (1 + 0.2*rng.Float64()))
			r := &probe.Record{Module: target.Module, Target: target.Target, Hostname: target.Hostname, Scheduled: true, Result: probe.Result{Start: at, Duration: duration}}
			up := 1
			labels := fmt.Sprintf("module=%q,target=%q", target.Module, target.Target)
			if target.Hostname != "" {
				labels += fmt.Sprintf(",hostname=%q", target.Hostname)
			}
			end := at.Add(duration)
			if down {
				r.Result.Failure = &probe.Failure{Stage: probe.StageConnect, Reason: probe.ReasonTimeout, Err: errors.New("timed out")}
				up = 0
				fmt.Fprintf(&lines[1], "%s{%s,stage=\"connect\",reason=\"timeout\"} 1 %.3f\n", families[1], labels, unix(end))
			}
			kept.Observe(r)
			fmt.Fprintf(&lines[0], "%s{%s} %g %.3f\n", families[0], labels, duration.Seconds(), unix(end))
			fmt.Fprintf(&lines[2], "%s{%s} %d %.3f\n", families[2], labels, up, unix(end))
			fmt.Fprintf(&lines[3], "%s{%s} %g %.3f\n", families[3], labels, target.Interval.Seconds(), unix(end))
			fmt.Fprintf(&lines[4], "%s{%s} %.3f %.3f\n", families[4], labels, unix(end), unix(end))
		}
	}
	var text bytes.Buffer
	for i, family := range families {
		fmt.Fprintf(&text, "# TYPE %s gauge\n%s", family, lines[i].String())
	}
	text.WriteString("# EOF\n")
	return text.Bytes()
}

func unix(at time.Time) float64 { return float64(at.UnixMicro()) / 1e6 }

// prometheusOf runs a Prometheus that holds samples and returns its URL.
func prometheusOf(t *testing.T, samples []byte) (api string) {
	t.Helper()
	dir := t.TempDir()
	file, data, config := filepath.Join(dir, "samples"), filepath.Join(dir, "data"), filepath.Join(dir, "prometheus.yml")
	for path, content := range map[string][]byte{file: samples, config: []byte("global: {}\n")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill := exec.CommandContext(t.Context(), find(t, "promtool", "prometheus"), "tsdb", "create-blocks-from", "openmetrics", file, data)
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := start(t, find(t, "prometheus", "prometheus"), "--config.file="+config, "--storage.tsdb.path="+data, "--web.listen-address=127.0.0.1:0")
	api = "http://" + p.await(t, `msg="Listening on" address=(\S+)`)[1]
	p.await(t, "Server is ready to receive web requests")
	return api
}

func alike(a, b time.Duration, share float64) bool {
	return math.Abs(float64(a-b)) <= share*math.Max(float64(a), float64(b))+float64(10*time.Microsecond)
}

func comparePoints(t *testing.T, a, b history.Point) {
	t.Helper()
	if !a.Time.Equal(b.Time) || a.Counts != b.Counts {
		t.Errorf("%v has %+v, %v has %+v", a.Time, a.Counts, b.Time, b.Counts)
	}
	for name, d := range map[string][2]time.Duration{
		"min": {a.Min, b.Min}, "mean": {a.Mean, b.Mean}, "p50": {a.P50, b.P50}, "p95": {a.P95, b.P95}, "max": {a.Max, b.Max},
	} {
		if !alike(d[0], d[1], 0.016) {
			t.Errorf("%v: %s is %v and %v", a.Time, name, d[0], d[1])
		}
	}
}

// compareIncidents: those of the server begin and end on minutes.
func compareIncidents(t *testing.T, kept, server history.Source, target *probe.Target) {
	t.Helper()
	filter := history.IncidentFilter{TargetID: target.ID()}
	one, err := kept.Incidents(t.Context(), filter, time.Time{}, time.Time{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := server.Incidents(t.Context(), filter, time.Time{}, time.Time{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(one) == 0 || len(one) != len(other) {
		t.Fatalf("%s: %d incidents and %d", target.Target, len(one), len(other))
	}
	for i := range one {
		if one[i].From.Sub(other[i].From).Abs() > 2*time.Minute || one[i].Reason != other[i].Reason || one[i].To.IsZero() != other[i].To.IsZero() {
			t.Errorf("incident %d is %+v and %+v", i, one[i], other[i])
		}
		if got, err := server.Incident(t.Context(), other[i].ID); err != nil || got.ID != other[i].ID {
			t.Errorf("incident %s: %v", other[i].ID, err)
		}
	}
}

package collector

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/probe"
)

// own returns the exporter's own series on /metrics, without help and the Go and process collectors' ones.
func own(t *testing.T, e *Exporter) string {
	t.Helper()
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "rollcall_") && !strings.HasPrefix(line, "rollcall_build_info") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestExporterCounts(t *testing.T) {
	e := NewExporter(func() int { return 7 })
	up := &probe.Record{Prober: "http"}
	down := &probe.Record{Prober: "tcp", Result: probe.Result{Failure: &probe.Failure{
		Stage: probe.StageConnect, Reason: probe.ReasonTimeout, Err: context.DeadlineExceeded,
	}}}
	e.Observe(up)
	e.Observe(up)
	e.Observe(down)
	e.Failed(&probe.ExporterError{Fault: probe.FaultBusy, Err: errors.New("full")})
	e.Failed(fmt.Errorf("wrapped: %w", &probe.ExporterError{Fault: probe.FaultDescriptors, Err: errors.New("EMFILE")}))
	e.Failed(&probe.TargetError{Err: errors.New("not ours")})
	e.Failed(context.Canceled)
	e.ModuleUnknown()
	e.ReportReloads(func() (bool, time.Time) { return false, time.UnixMilli(1700000000500) })

	want := `rollcall_config_last_reload_success_timestamp_seconds 1.7000000005e+09
rollcall_config_last_reload_successful 0
rollcall_exporter_errors_total{reason="clock"} 0
rollcall_exporter_errors_total{reason="descriptors"} 1
rollcall_exporter_errors_total{reason="expression"} 0
rollcall_exporter_errors_total{reason="file"} 0
rollcall_exporter_errors_total{reason="isolated"} 0
rollcall_exporter_errors_total{reason="memory"} 0
rollcall_exporter_errors_total{reason="panic"} 0
rollcall_exporter_errors_total{reason="permission"} 0
rollcall_exporter_errors_total{reason="ports"} 0
rollcall_exporter_errors_total{reason="resolver"} 0
rollcall_exporter_errors_total{reason="route"} 0
rollcall_exporter_errors_total{reason="shutdown"} 0
rollcall_exporter_errors_total{reason="source_address"} 0
rollcall_exporter_errors_total{reason="stalled"} 0
rollcall_module_unknown_total 1
rollcall_probe_failures_total{reason="timeout",stage="connect"} 1
rollcall_probes_in_flight 7
rollcall_probes_shed_total 1
rollcall_probes_total{prober="http",result="up"} 2
rollcall_probes_total{prober="tcp",result="down"} 1
`
	if diff := cmp.Diff(want, own(t, e)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMetricsPageHasBuildGoAndProcess(t *testing.T) {
	w := httptest.NewRecorder()
	NewExporter(func() int { return 0 }).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, name := range []string{"rollcall_build_info{", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(w.Body.String(), "\n"+name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
}

// promtool fails the test when Debian's promtool finds the exposition at fault.
func promtool(t *testing.T, name, exposition string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is needed to check the expositions; install it: apt-get install prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, "check", "metrics")
	cmd.Stdin = strings.NewReader(exposition)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: promtool check metrics: %v\n%s", name, err, out)
	}
}

func TestPromtoolAcceptsEveryReply(t *testing.T) {
	var replies Replies
	for name, record := range records() {
		promtool(t, name, ask(t, &replies, "", record).Body.String())
	}
}

func TestPromtoolAcceptsTheExportersMetrics(t *testing.T) {
	e := NewExporter(func() int { return 0 })
	e.ReportReloads(func() (bool, time.Time) { return true, time.UnixMilli(1700000000500) })
	e.Observe(&probe.Record{Prober: "http"})
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	promtool(t, "/metrics", w.Body.String())
}

func TestObserveDoesNotAllocate(t *testing.T) {
	e := NewExporter(func() int { return 0 })
	record := records()["refused"]
	if allocs := testing.AllocsPerRun(100, func() { e.Observe(record) }); allocs > 0 {
		t.Errorf("counting a verdict takes %v allocations", allocs)
	}
}

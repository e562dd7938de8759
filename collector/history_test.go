package collector

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHistoryMetrics(t *testing.T) {
	e := NewExporter(func() int { return 0 })
	e.ReportHistory(func(put func(name string, value float64, labels ...string)) {
		for name, value := range map[string]float64{
			"results": 1, "dropped": 2, "write_failures": 3, "damaged": 4, "writable": 1, "bytes": 5, "used_bytes": 6, "pending": 7,
			"last_write": 1700000000.5, "write_duration": 1.5, "targets": 8, "incidents": 9,
		} {
			put(name, value)
		}
	})
	var got strings.Builder
	for line := range strings.Lines(own(t, e)) {
		if strings.HasPrefix(line, "rollcall_history_") {
			got.WriteString(line)
		}
	}
	want := `rollcall_history_damaged_rows_total 4
rollcall_history_last_write_timestamp_seconds 1.7000000005e+09
rollcall_history_open_incidents 9
rollcall_history_pending_results 7
rollcall_history_results_dropped_total 2
rollcall_history_results_total 1
rollcall_history_size_bytes 5
rollcall_history_targets 8
rollcall_history_used_bytes 6
rollcall_history_writable 1
rollcall_history_write_duration_seconds_total 1.5
rollcall_history_write_failures_total 3
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	promtool(t, "/metrics", w.Body.String())
}

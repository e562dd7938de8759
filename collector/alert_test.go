package collector

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAlertMetrics(t *testing.T) {
	e := NewExporter(func() int { return 0 })
	e.ReportAlerts(func(put func(name string, value float64, labels ...string)) {
		for name, value := range map[string]float64{
			"incidents": 2, "targets": 30, "results_refused": 4, "store_failures": 6, "oldest_pending": 1.5,
		} {
			put(name, value)
		}
		for name, value := range map[string]float64{"pending": 7, "summed": 9, "refusing": 1, "last_success": 1700000000.5} {
			put(name, value, "email")
		}
		put("incidents_by_scope", 3, "here")
		put("notifications", 8, "email", "sent")
		put("notifications", 0, "email", "retried")
		put("pending", 0, "alertmanager")
		put("summed", 0, "alertmanager")
		put("notifications", 0, "alertmanager", "sent")
	})
	var got strings.Builder
	for line := range strings.Lines(own(t, e)) {
		if strings.HasPrefix(line, "rollcall_alert_") {
			got.WriteString(line)
		}
	}
	want := `rollcall_alert_incidents 2
rollcall_alert_incidents_by_scope{scope="here"} 3
rollcall_alert_last_success_timestamp_seconds{channel="email"} 1.7000000005e+09
rollcall_alert_news_summed_total{channel="alertmanager"} 0
rollcall_alert_news_summed_total{channel="email"} 9
rollcall_alert_notifications_total{channel="alertmanager",outcome="sent"} 0
rollcall_alert_notifications_total{channel="email",outcome="retried"} 0
rollcall_alert_notifications_total{channel="email",outcome="sent"} 8
rollcall_alert_oldest_pending_seconds 1.5
rollcall_alert_outbox_pending{channel="alertmanager"} 0
rollcall_alert_outbox_pending{channel="email"} 7
rollcall_alert_recipients_refusing{channel="email"} 1
rollcall_alert_results_refused_total 4
rollcall_alert_store_failures_total 6
rollcall_alert_targets 30
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	promtool(t, "/metrics", w.Body.String())
}

package collector

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAlertMetrics(t *testing.T) {
	e := NewExporter(func() int { return 0 })
	e.ReportAlerts(func() AlertStats {
		return AlertStats{
			Incidents: 2, Targets: 30, ResultsRefused: 4, ResultsDeferred: 5, StoreFailures: 6, OldestPending: 1500 * time.Millisecond,
			Channels: []AlertChannelStats{
				{Channel: "email", Pending: 7, Summed: 9, Notifications: map[string]uint64{"sent": 8, "retried": 0}, LastSuccess: time.UnixMilli(1700000000500)},
				{Channel: "alertmanager", Notifications: map[string]uint64{"sent": 0}},
			},
		}
	})
	var got strings.Builder
	for line := range strings.Lines(own(t, e)) {
		if strings.HasPrefix(line, "rollcall_alert_") {
			got.WriteString(line)
		}
	}
	want := `rollcall_alert_incidents 2
rollcall_alert_last_success_timestamp_seconds{channel="email"} 1.7000000005e+09
rollcall_alert_news_summed_total{channel="alertmanager"} 0
rollcall_alert_news_summed_total{channel="email"} 9
rollcall_alert_notifications_total{channel="alertmanager",outcome="sent"} 0
rollcall_alert_notifications_total{channel="email",outcome="retried"} 0
rollcall_alert_notifications_total{channel="email",outcome="sent"} 8
rollcall_alert_oldest_pending_seconds 1.5
rollcall_alert_outbox_pending{channel="alertmanager"} 0
rollcall_alert_outbox_pending{channel="email"} 7
rollcall_alert_results_deferred_total 5
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

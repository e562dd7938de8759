package collector

import (
	"fmt"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"rollcall/probe"
)

// TestExemplarsLeadToTheIncident: in the formats that have them, the counter of down results names the incident that
// began while rollcall looked, also after its end; no other series has an exemplar.
func TestExemplarsLeadToTheIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var targets Targets
		targets.Apply(every(time.Minute, "m", "a:1", "down from the start:1"))
		turn := func(target, record string) time.Time {
			time.Sleep(time.Minute)
			r := scheduled("m", target, record)
			r.Result.Start = time.Now()
			targets.Observe(r)
			return r.Result.Start
		}
		turn("down from the start:1", "refused")
		turn("a:1", "http")
		if got := exemplars(t, &targets); len(got) > 0 {
			t.Errorf("before there is an incident: %v", got)
		}
		began := turn("a:1", "refused")
		last := turn("a:1", "refused")
		want := fmt.Sprintf("a:1 down incident=%s at %d", probe.Key{Module: "m", Target: "a:1"}.IncidentID(began), last.UnixMilli())
		for range 2 {
			if got := exemplars(t, &targets); len(got) != 1 || got[0] != want {
				t.Errorf("got %v, want %s", got, want)
			}
			open := askTargets(t, &targets, promAccept).Body.String()
			line := fmt.Sprintf(`(?m)^rollcall_target_probes_total\{.*target="a:1",result="down"\} 2\.0 # \{incident="%s"\} 1\.0 %s$`,
				probe.Key{Module: "m", Target: "a:1"}.IncidentID(began), regexp.QuoteMeta(string(appendNumber(nil, float64(last.UnixMilli())/1e3, true))))
			if n := len(regexp.MustCompile(` # \{`).FindAllString(open, -1)); n != 1 || !regexp.MustCompile(line).MatchString(open) {
				t.Errorf("%d exemplars in OpenMetrics; want %s in\n%s", n, line, open)
			}
			turn("a:1", "http") // what was down is counted still, and so is its exemplar kept
		}
		turn("a:1", "refused")
		if got := exemplars(t, &targets); len(got) != 1 || got[0] == want {
			t.Errorf("after a second incident: %v", got)
		}
	})
}

// exemplars are those of a reply in protobuf, as "TARGET RESULT LABEL=VALUE at MILLISECONDS".
func exemplars(t *testing.T, targets *Targets) (found []string) {
	t.Helper()
	reply := askTargets(t, targets, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	decoder := expfmt.NewDecoder(reply.Body, expfmt.Format(reply.Header().Get("Content-Type")))
	var family dto.MetricFamily
	for decoder.Decode(&family) == nil {
		for _, m := range family.Metric {
			e := m.GetCounter().GetExemplar()
			if e == nil {
				continue
			}
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			found = append(found, fmt.Sprintf("%s %s %s=%s at %d", labels["target"], labels["result"], e.Label[0].GetName(), e.Label[0].GetValue(), e.Timestamp.AsTime().UnixMilli()))
		}
		family.Reset()
	}
	return found
}

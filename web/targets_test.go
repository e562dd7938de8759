package web

import (
	"strings"
	"testing"
	"time"

	"rollcall/probe"
)

// roll configures targets and has the scheduler's part played: every one of them is probed with what comes.
func (h *fixture) roll(t *testing.T, result probe.Result, targets ...string) {
	t.Helper()
	h.prober.result = result
	for _, target := range targets {
		module, err := h.options.Current().Module("tcp_connect")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.runner.Do(t.Context(), module, probe.Request{Target: target, Scheduled: true}); err != nil {
			t.Fatal(err)
		}
	}
}

// configure has targets in the metrics and in the history.
func (h *fixture) configure(targets ...string) {
	h.targets.Apply(configured(targets...))
	h.past.apply(configured(targets...)...)
}

func configured(targets ...string) (all []*probe.Target) {
	for _, target := range targets {
		all = append(all, &probe.Target{Module: "tcp_connect", Target: target, Interval: time.Minute})
	}
	return all
}

func TestTargetsAreMetrics(t *testing.T) {
	h := newFixture(t, func(o *Options) { o.SeparateAdmin = true }) // Prometheus comes to the public address
	h.targets.Apply(configured("up:1", "down:1", "unknown:1"))
	h.roll(t, upResult(), "up:1")
	h.roll(t, downResult(), "down:1")
	w := h.get("/metrics/targets")
	for _, line := range []string{
		`probe_success{module="tcp_connect",target="up:1"} 1`,
		`probe_success{module="tcp_connect",target="down:1"} 0`,
		`probe_failure_info{module="tcp_connect",target="down:1",reason="connection_refused",stage="connect"} 1`,
		`rollcall_target_interval_seconds{module="tcp_connect",target="unknown:1"} 60`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("it lacks %s:\n%s", line, w.Body)
		}
	}
	if w.Code != 200 || strings.Contains(w.Body.String(), `probe_success{module="tcp_connect",target="unknown:1"}`) {
		t.Errorf("%d:\n%s", w.Code, w.Body)
	}
	if got := h.get("/metrics/targets", "Accept", "application/openmetrics-text").Header().Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text; version=") {
		t.Errorf("OpenMetrics is answered with %q", got)
	}
}

// TestStepsAreOfTheSameHostname: two targets may differ in nothing else.
func TestStepsAreOfTheSameHostname(t *testing.T) {
	h := newFixture(t, nil)
	module, err := h.options.Current().Module("tcp_connect")
	if err != nil {
		t.Fatal(err)
	}
	h.past.apply(&probe.Target{Module: "tcp_connect", Target: "x:1", Hostname: "a"}, &probe.Target{Module: "tcp_connect", Target: "x:1", Hostname: "b"})
	for _, hostname := range []string{"a", "b"} {
		if _, err := h.runner.Do(t.Context(), module, probe.Request{Target: "x:1", Hostname: hostname, Scheduled: true}); err != nil {
			t.Fatal(err)
		}
	}
	page := h.get("/target/" + h.past.targets[1].ID).Body.String()
	if !strings.Contains(page, `href="../logs?id=2"`) || strings.Contains(page, `href="../logs?id=1"`) {
		t.Errorf("the steps are another target's:\n%s", page)
	}
}

package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/collector"
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

func configured(targets ...string) (all []collector.Target) {
	for _, target := range targets {
		all = append(all, collector.Target{Module: "tcp_connect", Target: target, Interval: time.Minute})
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

func TestLandingPageShowsTargets(t *testing.T) {
	h := newFixture(t, nil)
	if page := h.get("/").Body.String(); strings.Contains(page, "<h2>Targets") {
		t.Errorf("there are none: %s", page)
	}
	names := []string{"up:1", "unknown:1", "https://user:canary@down.example/"}
	for i := range maxFailing + 5 {
		names = append(names, fmt.Sprintf("down-%d:1", i))
	}
	h.targets.Apply(configured(names...))
	h.roll(t, upResult(), "up:1")
	h.roll(t, downResult(), names[3:]...)
	h.roll(t, downResult(), names[2])
	page := h.get("/").Body.String()
	for _, part := range []string{
		">1 up<", ">26 down<", ">1 unknown<", `href="metrics/targets"`, "connect: connection_refused", "and 6 more",
		`href="logs?target=https%3a%2f%2f%2a%2a%2a%40down.example%2f&amp;module=tcp_connect"`, "down-10:1",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s:\n%s", part, page)
		}
	}
	table, _, _ := strings.Cut(page, "Recent probes")
	if strings.Contains(page, "canary") || strings.Contains(table, "down-0:1") || strings.Contains(table, "unknown:1") {
		t.Errorf("the page holds what it should not:\n%s", page)
	}
	if w := h.get("/logs?target=" + url.QueryEscape("https://***@down.example/") + "&module=tcp_connect"); w.Code != 200 {
		t.Errorf("the link to the log leads to %d", w.Code)
	}
	public := newFixture(t, func(o *Options) { o.SeparateAdmin, o.Targets = true, h.targets })
	if page := public.get("/").Body.String(); !strings.Contains(page, "26 down") || strings.Contains(page, `href="logs`) {
		t.Errorf("on the public address:\n%s", page)
	}
}

func TestConfiguredTargetIsEscaped(t *testing.T) {
	tame := newFixture(t, nil)
	tame.targets.Apply(configured("x"))
	tame.roll(t, downResult(), "x")
	want, _ := elements(t, tame.get("/").Body.String())
	for _, evil := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `x&target=y`, "javascript:alert(1)", "a\x1bb"} {
		h := newFixture(t, nil)
		h.targets.Apply(configured(evil))
		h.roll(t, downResult(), evil)
		page := h.get("/").Body.String()
		got, attributes := elements(t, page)
		if strings.Join(got, " ") != strings.Join(want, " ") || strings.Contains(page, "\x1b") {
			t.Errorf("%q changes the page's elements:\n%s", evil, page)
		}
		for _, a := range attributes {
			if strings.HasPrefix(a.Key, "on") || a.Key == "href" && strings.Contains(a.Val, "javascript:") {
				t.Errorf("%q makes an attribute %s=%q", evil, a.Key, a.Val)
			}
		}
	}
}

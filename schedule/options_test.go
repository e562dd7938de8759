package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/option"
)

func TestEntriesAreJudged(t *testing.T) {
	minute := option.Duration(time.Minute)
	for _, c := range []struct {
		entry TargetOptions
		want  string
	}{
		{TargetOptions{Target: "host:1", Name: "Shop", Hostname: "shop", Settings: Settings{Interval: minute, DownAfter: 3, Labels: map[string]string{"service.name": "x"}}}, ""},
		{TargetOptions{}, "target: is required"},
		{TargetOptions{Target: "a\nb"}, "target: "},
		{TargetOptions{Target: strings.Repeat("a", probe.MaxTarget)}, ""},
		{TargetOptions{Target: strings.Repeat("a", probe.MaxTarget+1)}, "target: has 8193 bytes; accepted: up to 8192"},
		{TargetOptions{Target: "a", Hostname: strings.Repeat("a", probe.MaxHostname+1)}, "hostname: has 513 bytes"},
		{TargetOptions{Target: "a", Name: "a\nb"}, "name: "},
		{TargetOptions{Target: "a", Settings: Settings{Group: "a\x00"}}, "group: "},
		{TargetOptions{Target: "a", Settings: Settings{Interval: option.Duration(time.Millisecond)}}, "interval: 1ms is too short"},
		{TargetOptions{Target: "a", Settings: Settings{Interval: option.Duration(25 * time.Hour)}}, "interval: 25h0m0s is too long, since alerts"},
		{TargetOptions{Target: "a", Settings: Settings{ConfirmInterval: option.Duration(time.Millisecond)}}, "confirm_interval: 1ms is too short"},
		{TargetOptions{Target: "a", Settings: Settings{DownAfter: -1}}, "down_after: -1"},
		{TargetOptions{Target: "a", Settings: Settings{UpAfter: 1001}}, "up_after: 1001"},
		{TargetOptions{Target: "a", Settings: Settings{Labels: map[string]string{"a\xff": ""}}}, "labels.a"},
		{TargetOptions{Target: "a", Settings: Settings{Labels: map[string]string{"target": ""}}}, "labels.target: "},
		{TargetOptions{Target: "a", Settings: Settings{Labels: map[string]string{"__name__": "x"}}}, "labels.__name__: "},
		{TargetOptions{Target: "a", Settings: Settings{Labels: map[string]string{"le": "x"}}}, "labels.le: "},
	} {
		err := errors.Join(c.entry.Validate(), c.entry.Settings.Validate())
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.entry, err, c.want)
		}
	}
	for text, want := range map[string]string{"0s": "", "1h": "", "1s": "at least 1m", "x": "at least 1m"} {
		var r Repeat
		if err := r.UnmarshalText([]byte(text)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("repeat_every: %s: %v", text, err)
		}
	}
}

func TestDefaultsFillWhatAnEntryLeavesOut(t *testing.T) {
	var alone TargetOptions
	if err := alone.UnmarshalText([]byte("tcp://host:1")); err != nil {
		t.Fatal(err)
	}
	if got := alone.Resolve(Settings{}); got.Module != "tcp_connect" || got.Interval != time.Minute {
		t.Errorf("an entry that is the target alone: %+v", got)
	}
	never := Repeat(0)
	defaults := Settings{
		Group: "g", Module: "m", Interval: option.Duration(time.Second), Timeout: option.Duration(time.Second / 2),
		Labels: map[string]string{"a": "default", "b": "default"}, To: []string{"root"}, DownAfter: 2, UpAfter: 3, RepeatEvery: &never,
	}
	got := alone.Resolve(defaults)
	if got.Group != "g" || got.Module != "m" || got.Interval != time.Second || got.Timeout != time.Second/2 || got.Labels.Get("a") != "default" ||
		got.To[0] != "root" || got.DownAfter != 2 || got.UpAfter != 3 || got.RepeatEvery == nil || *got.RepeatEvery != 0 {
		t.Errorf("with defaults: %+v", got)
	}
	own := TargetOptions{Target: "x", Settings: Settings{Module: "own", Labels: map[string]string{"a": "own"}, To: []string{"a@b"}}}
	got = own.Resolve(defaults)
	if got.Module != "own" || got.Labels.Get("a") != "own" || got.Labels.Get("b") != "default" || got.To[0] != "a@b" || defaults.Labels["a"] != "default" {
		t.Errorf("an entry with its own: %+v", got)
	}
}

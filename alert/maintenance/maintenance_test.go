package maintenance

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/alert/incident"
	"rollcall/probe"
)

func TestWindows(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options Options
		open    []string
		closed  []string
	}{
		"dates":                {Options{From: "2026-12-24 18:00", Until: "2026-12-27"}, []string{"2026-12-24 18:00", "2026-12-26 23:59"}, []string{"2026-12-24 17:59", "2026-12-27 00:00"}},
		"dates with an offset": {Options{From: "2026-12-24T17:00:00Z", Until: "2026-12-24T18:00:00Z"}, []string{"2026-12-24 18:00"}, []string{"2026-12-24 17:59", "2026-12-24 19:00"}},
		"weekly":               {Options{Weekly: "Sun 02:00-04:00"}, []string{"2026-03-01 02:00", "2026-03-08 03:59"}, []string{"2026-03-01 04:00", "2026-03-02 03:00", "2026-02-28 03:00"}},
		"two days":             {Options{Weekly: "mon,Wed 08:00-24:00"}, []string{"2026-03-02 23:59", "2026-03-04 08:00"}, []string{"2026-03-03 12:00", "2026-03-03 00:00"}},
		"over midnight":        {Options{Weekly: "Sat 22:00-06:00"}, []string{"2026-02-28 22:00", "2026-03-01 05:59"}, []string{"2026-02-28 21:59", "2026-03-01 06:00", "2026-03-01 22:00"}},
		"the clock changes":    {Options{Weekly: "Sun 01:00-04:00"}, []string{"2026-03-29 01:30", "2026-03-29 03:30", "2026-10-25 03:59"}, []string{"2026-03-29 04:00", "2026-10-25 04:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.Timezone = "Europe/Berlin"
			w, err := c.options.Compile()
			if err != nil {
				t.Fatal(err)
			}
			for want, times := range map[bool][]string{true: c.open, false: c.closed} {
				for _, s := range times {
					at, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
					if err != nil {
						t.Fatal(err)
					}
					if got := w.Covers(incident.Subject{}, at.UTC()); got != want {
						t.Errorf("at %s it is open: %t, want %t", s, got, want)
					}
				}
			}
		})
	}
}

// TestWindowOnDayWithoutMidnight: in Havana, 9 March 2025 began at 01:00.
func TestWindowOnDayWithoutMidnight(t *testing.T) {
	w, err := Options{Weekly: "Sun 08:00-10:00", Timezone: "America/Havana"}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for day := 8; day <= 10; day++ {
		if at := time.Date(2025, 3, day, 9, 0, 0, 0, w.zone); w.IsOpen(at) != (at.Weekday() == time.Sunday) {
			t.Errorf("at %s it is open: %t", at, w.IsOpen(at))
		}
	}
}

// TestWindowBeginsAtSkippedTime: a window whose beginning the clock skips begins when the clock has skipped it, and not an hour
// before.
func TestWindowBeginsAtSkippedTime(t *testing.T) {
	for _, c := range []struct {
		options Options
		begins  string // in UTC
		lasts   time.Duration
	}{
		{Options{Weekly: "Sun 00:00-03:00", Timezone: "America/Havana"}, "2025-03-09T05:00:00Z", 2 * time.Hour},
		{Options{Weekly: "Sun 02:00-04:00", Timezone: "Europe/Berlin"}, "2026-03-29T01:00:00Z", time.Hour},
		{Options{Weekly: "Sun 02:30-05:00", Timezone: "Europe/Berlin"}, "2026-03-29T01:30:00Z", 90 * time.Minute},
		{Options{Weekly: "Sun 01:00-02:30", Timezone: "Europe/Berlin"}, "2026-03-29T00:00:00Z", 90 * time.Minute},
		{Options{From: "2025-03-09", Until: "2025-03-09 02:00", Timezone: "America/Havana"}, "2025-03-09T05:00:00Z", time.Hour},
		{Options{From: "2026-03-29 02:15", Until: "2026-03-29 05:15", Timezone: "Europe/Berlin"}, "2026-03-29T01:15:00Z", 2 * time.Hour},
		{Options{Weekly: "Sun 02:30-04:00", Timezone: "Europe/Berlin"}, "2026-10-25T00:30:00Z", 150 * time.Minute}, // is there twice
	} {
		w, err := c.options.Compile()
		if err != nil {
			t.Fatal(err)
		}
		begins, err := time.Parse(time.RFC3339, c.begins)
		if err != nil {
			t.Fatal(err)
		}
		ends := begins.Add(c.lasts)
		for at, want := range map[time.Time]bool{
			begins.Add(-time.Second): false, begins.Add(-time.Hour): false, begins: true, ends.Add(-time.Second): true, ends: false,
		} {
			if got := w.IsOpen(at); got != want {
				t.Errorf("%+v at %s: it is open: %t", c.options, at.In(w.zone), got)
			}
		}
	}
}

func TestWindowsNameTargets(t *testing.T) {
	shop := incident.Subject{Key: probe.Key{Target: "https://shop.example.com/"}, Name: "Shop", Group: "web", Labels: labels.FromMap(map[string]string{"env": "prod", "team": "shop"})}
	for name, c := range map[string]struct {
		options Options
		want    bool
	}{
		"all":            {Options{}, true},
		"by target":      {Options{Targets: []string{"x", "https://shop.example.com/"}}, true},
		"by name":        {Options{Targets: []string{"Shop"}}, true},
		"by group":       {Options{Groups: []string{"web"}}, true},
		"by labels":      {Options{Labels: map[string]string{"env": "prod"}}, true},
		"another":        {Options{Targets: []string{"other"}, Groups: []string{"db"}}, false},
		"no group":       {Options{Groups: []string{""}}, false},
		"not all labels": {Options{Labels: map[string]string{"env": "prod", "team": "db"}}, false},
		"one of them":    {Options{Groups: []string{"web"}, Labels: map[string]string{"env": "test"}}, true},
	} {
		c.options.From, c.options.Until = "2026-03-01", "2026-03-02"
		w, err := c.options.Compile()
		if err != nil {
			t.Fatal(err)
		}
		target := shop
		if name == "no group" {
			target.Group = ""
		}
		if got := w.Covers(target, w.from); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestWindowsAreJudgedAtLoad(t *testing.T) {
	for want, o := range map[string]Options{
		"weekly: one of two is needed; accepted: from and until, or weekly": {},
		"weekly: \"Sun\" is not a weekly time":                              {Weekly: "Sun"},
		"weekly: \"Xyz 01:00-02:00\" is not a weekly time":                  {Weekly: "Xyz 01:00-02:00"},
		"weekly: \"Sun 02:00-02:00\" is not a weekly time":                  {Weekly: "Sun 02:00-02:00"},
		"weekly: \"Sun 02:00-25:00\" is not a weekly time":                  {Weekly: "Sun 02:00-25:00"},
		"from: \"tomorrow\" is not a date":                                  {From: "tomorrow", Until: "2026-03-01"},
		"until: \"\" is not a date":                                         {From: "2026-03-01"},
		"until: \"2026-03-01\" is not after from":                           {From: "2026-03-02", Until: "2026-03-01"},
		"timezone: \"Mars\" is not a time zone":                             {Weekly: "Sun 02:00-04:00", Timezone: "Mars"},
	} {
		if _, err := o.Compile(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}

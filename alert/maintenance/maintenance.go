// Package maintenance says which targets are under planned maintenance at a time: by windows between two dates, or weekly
// ones. It knows nothing of what is sent.
package maintenance

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones also where the system has none, as in a container from scratch

	"rollcall/alert/incident"
	"rollcall/probe/option"
)

// Options is one entry of `maintenance:`. It has either From and Until or Weekly. It is for the targets that one of
// Targets, Groups and Labels names, and where all three are empty, for all.
type Options struct {
	From     string            `yaml:"from,omitempty"`     // e.g. 2026-12-24 18:00
	Until    string            `yaml:"until,omitempty"`    // the same form
	Weekly   string            `yaml:"weekly,omitempty"`   // e.g. Sun 02:00-04:00, or Sat,Sun 22:00-06:00, which ends the day after
	Timezone string            `yaml:"timezone,omitempty"` // e.g. Europe/Berlin; empty: the machine's
	Targets  []string          `yaml:"targets,omitempty"`  // by target or name
	Groups   []string          `yaml:"groups,omitempty"`
	Labels   map[string]string `yaml:"labels,omitempty"` // all of them
}

// Window is a compiled Options. It is never changed.
type Window struct {
	from, until time.Time     // of a dated window
	days        [7]bool       // of a weekly window, on which it begins
	begin, end  time.Duration // after midnight of that day
	zone        *time.Location
	of          Options
}

// Compile makes the options ready. Its errors are joined *option.Errors with paths relative to them.
func (o Options) Compile() (*Window, error) {
	w := &Window{of: o, zone: time.Local}
	var errs option.Collector
	if o.Timezone != "" {
		zone, err := time.LoadLocation(o.Timezone)
		if err != nil {
			errs.Addf("timezone", "%q is not a time zone; accepted: e.g. Europe/Berlin, UTC", o.Timezone)
			zone = time.UTC
		}
		w.zone = zone
	}
	if weekly := o.Weekly != ""; weekly == (o.From != "" || o.Until != "") {
		errs.Addf("weekly", "one of two is needed; accepted: from and until, or weekly")
	} else if weekly {
		errs.Add("weekly", w.parseWeekly(o.Weekly))
	} else {
		var err error
		w.from, err = parseDate(o.From, w.zone)
		errs.Add("from", err)
		w.until, err = parseDate(o.Until, w.zone)
		errs.Add("until", err)
		if errs.Err() == nil && !w.from.Before(w.until) {
			errs.Addf("until", "%q is not after from", o.Until)
		}
	}
	return w, errs.Err()
}

func parseDate(s string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04", time.DateTime, time.DateOnly} {
		if clock, err := time.Parse(layout, s); err == nil {
			return inZone(clock, zone), nil
		}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not a date; accepted: e.g. 2026-12-24 18:00, or 2026-12-24T18:00:00+01:00", s)
}

// inZone is when clocks of zone show what clock does in UTC. By RFC 5545, 3.3.5, it is the first time of two, and a time that
// clocks skip is later by what they skip; time.Date promises neither.
func inZone(clock time.Time, zone *time.Location) time.Time {
	at := func(like time.Time) (t time.Time, shown bool) { // by the offset from UTC that zone has then
		_, offset := like.In(zone).Zone()
		t = clock.Add(-time.Duration(offset) * time.Second)
		_, actual := t.In(zone).Zone()
		return t, actual == offset
	}
	before, shown := at(clock.Add(-24 * time.Hour))
	if after, ok := at(clock.Add(24 * time.Hour)); ok && !shown {
		return after
	}
	return before
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (w *Window) parseWeekly(s string) error {
	bad := fmt.Errorf("%q is not a weekly time; accepted: e.g. Sun 02:00-04:00, or Sat,Sun 22:00-06:00", s)
	days, span, _ := strings.Cut(s, " ")
	for day := range strings.SplitSeq(days, ",") {
		n := slices.Index(weekdays, strings.ToLower(day))
		if n < 0 {
			return bad
		}
		w.days[n] = true
	}
	begin, end, _ := strings.Cut(strings.TrimSpace(span), "-")
	var err error
	if w.begin, err = parseClock(begin); err != nil {
		return bad
	}
	if w.end, err = parseClock(end); err != nil || w.begin == w.end || w.begin == 24*time.Hour {
		return bad
	}
	if w.end < w.begin {
		w.end += 24 * time.Hour
	}
	return nil
}

// parseClock reads a time of day, up to 24:00.
func parseClock(s string) (time.Duration, error) {
	if s == "24:00" {
		return 24 * time.Hour, nil
	}
	t, err := time.Parse("15:04", s)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err
}

// Covers reports whether the target is under maintenance at now.
func (w *Window) Covers(t incident.Subject, now time.Time) bool { return w.IsOpen(now) && w.Names(t) }

// IsOpen reports whether the window is open at now, for its targets.
func (w *Window) IsOpen(now time.Time) bool {
	if w.of.Weekly == "" {
		return !now.Before(w.from) && now.Before(w.until)
	}
	now = now.In(w.zone)
	for back := range 2 { // it may have begun yesterday
		day := time.Date(now.Year(), now.Month(), now.Day()-back, 0, 0, 0, 0, time.UTC)
		if w.days[day.Weekday()] && !now.Before(inZone(day.Add(w.begin), w.zone)) && now.Before(inZone(day.Add(w.end), w.zone)) {
			return true
		}
	}
	return false
}

// Names reports whether the window is for the target.
func (w *Window) Names(t incident.Subject) bool {
	o := w.of
	if len(o.Targets)+len(o.Groups)+len(o.Labels) == 0 {
		return true
	}
	hasLabels := len(o.Labels) > 0
	for name, value := range o.Labels {
		hasLabels = hasLabels && t.Labels.Get(name) == value
	}
	return hasLabels || slices.Contains(o.Targets, t.Target) || (t.Name != "" && slices.Contains(o.Targets, t.Name)) ||
		(t.Group != "" && slices.Contains(o.Groups, t.Group))
}

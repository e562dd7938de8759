// Package schedule probes the configured targets by itself, each on its own interval and spread over it, by the same
// probe.Runner that /probe uses. It knows no metrics and no mail: who wants the results observes the Runner.
package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/redact"
	"rollcall/schedule/discovery"
)

// defaultInterval is how often a target is probed when neither its entry nor the defaults say.
const defaultInterval = time.Minute

const (
	// minInterval keeps a typing error from overloading a server.
	minInterval = time.Second
	// maxInterval is for alerts, which drop a target that has had no result for a day.
	maxInterval = 24 * time.Hour
	// maxThreshold is the alert section's own bound of down_after and up_after.
	maxThreshold = 1000
)

// ownLabels are the labels that rollcall itself gives a target's alerts and metrics.
var ownLabels = []string{"alertname", "hostname", "le", "module", "phase", "reason", "result", "stage", "target", "version"}

// Settings are what an entry of `targets:` and `defaults:` may both say. A zero field says nothing.
type Settings struct {
	Group           string            `yaml:"group,omitempty"`
	Module          string            `yaml:"module,omitempty"` // empty: as /probe chooses
	Interval        option.Duration   `yaml:"interval,omitempty"`
	ConfirmInterval option.Duration   `yaml:"confirm_interval,omitempty"`
	Timeout         option.Duration   `yaml:"timeout,omitempty"`
	Labels          map[string]string `yaml:"labels,omitempty"`

	// For alerts, in place of what their section says.
	To          []string `yaml:"to,omitempty"`
	DownAfter   int      `yaml:"down_after,omitempty"`
	UpAfter     int      `yaml:"up_after,omitempty"`
	RepeatEvery *Repeat  `yaml:"repeat_every,omitempty"`
}

// Repeat is the interval of reminders: 0 for none, or at least a minute.
type Repeat time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Repeat) UnmarshalText(text []byte) error {
	span, err := model.ParseDuration(string(text))
	if err != nil || span != 0 && time.Duration(span) < time.Minute {
		return fmt.Errorf("%q is no interval of reminders; accepted: 0s (no reminders), or at least 1m", text)
	}
	*r = Repeat(span)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (r Repeat) MarshalText() ([]byte, error) { return []byte(time.Duration(r).String()), nil }

// TargetOptions is one entry of `targets:`. In the file it may also be the target alone.
type TargetOptions struct {
	Target   string `yaml:"target,omitempty"`
	Name     string `yaml:"name,omitempty"`
	Hostname string `yaml:"hostname,omitempty"`
	Settings `yaml:",inline"`

	// Discovery makes of the entry a group of targets; Target, Name and Hostname are then each target's own.
	Discovery discovery.Options `yaml:",inline"`
}

// UnmarshalText implements encoding.TextUnmarshaler for an entry that is the target alone.
func (o *TargetOptions) UnmarshalText(text []byte) error {
	o.Target = string(text)
	return o.Validate()
}

// Validate reports what is wrong with the entry as joined *option.Errors. Whether its module exists is judged by
// who knows the modules. What Settings says of itself is reported by its own Validate.
func (o *TargetOptions) Validate() error {
	var errs option.Collector
	if !o.Discovery.Empty() {
		for _, own := range []struct{ option, value string }{{"target", o.Target}, {"name", o.Name}, {"hostname", o.Hostname}} {
			if own.value != "" {
				errs.Addf(own.option, "belongs to one target, not to a group; accepted: relabel_configs, e.g. with target_label: __param_%s", own.option)
			}
		}
		return errs.Err()
	}
	if o.Target == "" {
		errs.Addf("target", "is required; accepted: what the module's prober takes, as host:port or a URL")
	}
	for _, err := range judgeTexts(&probe.Target{Target: o.Target, Hostname: o.Hostname, Name: o.Name}) {
		errs.Join(err)
	}
	return errs.Err()
}

// judgeTexts returns what is wrong with the texts of a target.
func judgeTexts(t *probe.Target) (errs []*option.Error) {
	for _, text := range [...]struct {
		option, value string
		most          int
	}{{"target", t.Target, probe.MaxTarget}, {"hostname", t.Hostname, probe.MaxHostname}, {"name", t.Name, probe.MaxTarget}, {"group", t.Group, probe.MaxTarget}} {
		if err := plainText(text.value, text.most); err != nil {
			errs = append(errs, &option.Error{Path: text.option, Err: err})
		}
	}
	return errs
}

// plainText refuses what would break a line of a log, a mail or a page, and what has over most bytes, as /probe does.
func plainText(s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("has %d bytes; accepted: up to %d", len(s), most)
	}
	if !utf8.ValidString(s) || strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return fmt.Errorf("%q holds a control character", redact.Target(s))
	}
	return nil
}

// Validate reports what is wrong with the settings as joined *option.Errors.
func (s *Settings) Validate() error {
	var errs option.Collector
	if s.Interval != 0 {
		errs.Add("interval", judgeInterval(time.Duration(s.Interval)))
	}
	if d := time.Duration(s.ConfirmInterval); d != 0 && d < minInterval {
		errs.Addf("confirm_interval", "%s is too short; accepted: at least %s", d, minInterval)
	}
	errs.Add("group", plainText(s.Group, probe.MaxTarget))
	for _, threshold := range []struct {
		option string
		value  int
	}{{"down_after", s.DownAfter}, {"up_after", s.UpAfter}} {
		if threshold.value < 0 || threshold.value > maxThreshold {
			errs.Addf(threshold.option, "%d is no number of results; accepted: 1 to %d", threshold.value, maxThreshold)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		errs.Add("labels."+name, judgeLabel(name))
	}
	return errs.Err()
}

func judgeInterval(d time.Duration) error {
	switch {
	case d < minInterval:
		return fmt.Errorf("%s is too short; accepted: at least %s", d, minInterval)
	case d > maxInterval:
		return fmt.Errorf("%s is too long, since alerts drop a target that has had no result for a day; accepted: at most %s", d, maxInterval)
	}
	return nil
}

func judgeLabel(name string) error {
	if !model.UTF8Validation.IsValidLabelName(name) || strings.HasPrefix(name, "__") || slices.Contains(ownLabels, name) {
		return fmt.Errorf("%q cannot be a label's name; accepted: text, without __ at the start, and none of rollcall's own: %s",
			name, strings.Join(ownLabels, ", "))
	}
	return nil
}

// Entry is a target as it is probed: one of the file with what the defaults add, or one that discovery found.
type Entry struct {
	*probe.Target                 // never nil
	ConfirmInterval time.Duration // while the state is in doubt; 0: Interval
	Timeout         time.Duration // 0: the module's; always at most Interval

	// For alerts; zero fields: as the alert section says.
	To          []string
	DownAfter   int
	UpAfter     int
	RepeatEvery *time.Duration
}

// Resolve returns the target of an entry with what the defaults add to it.
func (o TargetOptions) Resolve(defaults Settings) Entry {
	s := o.Settings.Over(defaults)
	t := s.Base()
	t.Target.Target, t.Name, t.Hostname = o.Target, o.Name, o.Hostname
	t.Module = cmp.Or(s.Module, probe.DefaultModule(o.Target))
	return t
}

// Over returns the settings with those of defaults where s says nothing. Labels are merged.
func (s Settings) Over(defaults Settings) Settings {
	s.Group = cmp.Or(s.Group, defaults.Group)
	s.Module = cmp.Or(s.Module, defaults.Module)
	s.Interval = cmp.Or(s.Interval, defaults.Interval)
	s.ConfirmInterval = cmp.Or(s.ConfirmInterval, defaults.ConfirmInterval)
	s.Timeout = cmp.Or(s.Timeout, defaults.Timeout)
	if len(defaults.Labels) > 0 {
		labels := maps.Clone(defaults.Labels)
		maps.Copy(labels, s.Labels)
		s.Labels = labels
	}
	if s.To == nil {
		s.To = defaults.To
	}
	s.DownAfter = cmp.Or(s.DownAfter, defaults.DownAfter)
	s.UpAfter = cmp.Or(s.UpAfter, defaults.UpAfter)
	s.RepeatEvery = cmp.Or(s.RepeatEvery, defaults.RepeatEvery)
	return s
}

// Base returns the settings as a target, which lacks its name and module.
func (s Settings) Base() Entry {
	return Entry{
		Target: &probe.Target{
			Group: s.Group, Module: s.Module, Labels: labels.FromMap(s.Labels), Interval: cmp.Or(time.Duration(s.Interval), defaultInterval),
		},
		ConfirmInterval: time.Duration(s.ConfirmInterval), Timeout: time.Duration(s.Timeout),
		To: s.To, DownAfter: s.DownAfter, UpAfter: s.UpAfter, RepeatEvery: (*time.Duration)(s.RepeatEvery),
	}
}

// WithFound returns a target that discovery found for the group of an entry, of which e has the settings: see Base. What
// relabelling set comes before these. The error says why it cannot be a target.
func (e Entry) WithFound(found discovery.Found) (Entry, error) {
	if found.Err != nil {
		return Entry{Target: &probe.Target{Target: found.Target}}, found.Err
	}
	t := e
	t.Target = &probe.Target{
		Module: cmp.Or(found.Module, e.Module, probe.DefaultModule(found.Target)), Target: found.Target, Hostname: found.Hostname,
		Name: found.Name, Group: cmp.Or(e.Group, found.Job), Interval: cmp.Or(found.Interval, e.Interval), Labels: e.Labels,
	}
	t.Timeout = cmp.Or(found.Timeout, e.Timeout)
	if !found.Labels.IsEmpty() {
		all := labels.NewBuilder(e.Labels)
		found.Labels.Range(func(l labels.Label) {
			if !slices.Contains(ownLabels, l.Name) {
				all.Set(l.Name, l.Value)
			} else if l.Value != t.own(l.Name) {
				all.Set(model.ExportedLabelPrefix+l.Name, l.Value) // as Prometheus keeps both
			}
		})
		t.Labels = all.Labels()
	}
	errs := []error{judgeInterval(t.Interval)}
	for _, err := range judgeTexts(t.Target) {
		errs = append(errs, fmt.Errorf("the %s %w", err.Path, err.Err))
	}
	return t, errors.Join(errs...)
}

// own is the value of one of our own labels; empty for those that are no part of the identity.
func (t Entry) own(label string) string {
	switch label {
	case "module":
		return t.Module
	case "target":
		return t.Target.Target
	case "hostname":
		return t.Hostname
	}
	return ""
}

package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/alert"
	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/option"
	"rollcall/redact"
	"rollcall/schedule"
	"rollcall/schedule/discovery"
)

// compileTargets makes the targets of the entries, and finds what does not agree between sections: a target's module
// exists, takes the target and may probe it, and no two targets are the same to alerts and metrics. A target that can
// never be probed would be down without a mail, so it is an error; one whose module cannot be used at present is a
// warning.
func (c *Config) compileTargets() error {
	var errs option.Collector
	seen := map[probe.Key]string{} // as it is shown: as it is
	for i, entry := range c.file.Targets {
		path := option.Index("targets", i)
		judgeAddresses(&errs, path, entry.To)
		if entry.Target == "" || !entry.Discovery.Empty() {
			continue // reported, or found later
		}
		t := c.withAlertDefaults(entry.Resolve(c.file.Defaults))
		about := path
		if entry.Module != "" && c.modules[t.Module] == nil {
			about += ".module"
		}
		errs.Add(about, c.judgeModule(t))
		errs.Add(path, judgeTwins(seen, t))
		c.targets = append(c.targets, t)
	}
	judgeAddresses(&errs, "defaults", c.file.Defaults.To)
	return errs.Err()
}

func judgeAddresses(errs *option.Collector, path string, to []string) {
	for n, address := range to {
		_, err := alert.ParseAddress(address)
		errs.Add(option.Index(path+".to", n), err)
	}
}

// judgeModule judges whether the target's module exists, takes it and may probe it. That it cannot be used at present is
// a warning.
func (c *Config) judgeModule(t schedule.Entry) error {
	if module := c.modules[t.Module]; module != nil {
		return guard.Check(module, t.Target.Target)
	}
	if c.unusable[t.Module] != nil {
		return &option.Warning{Err: fmt.Errorf("is not probed until the module %q can be used", t.Module)}
	}
	accepted := cmp.Or(strings.Join(slices.Sorted(maps.Keys(c.file.Modules)), ", "), anyModule)
	return fmt.Errorf("there is no module %q; accepted: %s", t.Module, accepted)
}

// judgeTwins refuses a target that alerts and metrics could not distinguish from one in seen, and adds it otherwise.
func judgeTwins(seen map[probe.Key]string, t schedule.Entry) error {
	shown := t.Key().Redacted()
	before, twice := seen[shown]
	switch {
	case twice && before == t.Target.Target:
		return fmt.Errorf("%s is there twice with the module %q", shown.Title(), t.Module)
	case twice:
		return fmt.Errorf("%s cannot be distinguished from another one with the module %q, since user and password are never shown; accepted: a module for each",
			shown.Title(), t.Module)
	}
	seen[shown] = t.Target.Target
	return nil
}

// withAlertDefaults puts in what the alert section says of every target.
func (c *Config) withAlertDefaults(t schedule.Entry) schedule.Entry {
	if o := c.file.Alert; o != nil {
		t.DownAfter, t.UpAfter = cmp.Or(t.DownAfter, o.DownAfter), cmp.Or(t.UpAfter, o.UpAfter)
	}
	return t
}

// Sources returns where the groups of targets are found.
func (c *Config) Sources() (all []discovery.Source) {
	for _, entry := range c.file.Targets {
		all = append(all, entry.Discovery.Sources()...)
	}
	return all
}

// Refused is a target that was found and cannot be probed.
type Refused struct {
	Target string // without user and password
	Err    error
}

// Discover returns the targets of the entries and of their groups; groups is what a source found last. A target that
// was found is judged as an entry is, and one that cannot be probed is refused, not the others.
func (c *Config) Discover(groups func(discovery.Source) []discovery.Group) (targets []schedule.Entry, refused []Refused) {
	targets = slices.Clip(c.targets)
	seen := make(map[probe.Key]string, len(targets))
	for _, t := range targets {
		seen[t.Key().Redacted()] = t.Target.Target
	}
	for i := range c.file.Targets {
		entry := &c.file.Targets[i]
		if entry.Discovery.Empty() {
			continue
		}
		found, err := entry.Discovery.Targets(groups)
		if err != nil { // the steps were compiled when they were judged
			refused = append(refused, Refused{Err: err})
		}
		targets = slices.Grow(targets, len(found))
		base := c.withAlertDefaults(entry.Settings.Over(c.file.Defaults).Base())
		for _, f := range found {
			t, err := base.WithFound(f)
			if err == nil {
				err = c.judgeFound(t, seen)
			}
			if err != nil {
				refused = append(refused, Refused{redact.Target(t.Target.Target), err})
				continue
			}
			targets = append(targets, t)
		}
	}
	return targets, refused
}

func (c *Config) judgeFound(t schedule.Entry, seen map[probe.Key]string) error {
	err := c.judgeModule(t)
	if _, warning := errors.AsType[*option.Warning](err); err != nil && !warning {
		return err
	}
	return judgeTwins(seen, t)
}

// judgeReferences refuses a reference that is no entry of targets: it would never be probed.
func (c *Config) judgeReferences(references []string) error {
	var errs option.Collector
	for n, name := range references {
		if !slices.ContainsFunc(c.targets, func(t schedule.Entry) bool { return t.Target.Target == name || t.Name == name }) || name == "" {
			errs.Addf(option.Index("references", n), "%q is no entry of targets; accepted: the target or the name of one", redact.Target(name))
		}
	}
	return errs.Err()
}

// AlertFor returns the alert section for these targets; nil when the file has none.
func (c *Config) AlertFor(targets []schedule.Entry) (*alert.Config, error) {
	if c.file.Alert == nil {
		return nil, nil
	}
	return c.file.Alert.Compile(watched(targets), c.guard)
}

// watched are the targets as alerts know them.
func watched(targets []schedule.Entry) []alert.Target {
	all := make([]alert.Target, len(targets))
	for i, t := range targets {
		all[i] = alert.Target{
			Target: t.Target, To: t.To, DownAfter: t.DownAfter, UpAfter: t.UpAfter, RepeatEvery: t.RepeatEvery,
		}
	}
	return all
}

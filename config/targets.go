package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/probe"
)

// judgeTargets finds what does not agree between sections: a target's module exists, takes the target and may probe it,
// and no two targets of a module are the same to alerts and metrics. A target that can never be probed would be down
// without a mail, so it is an error; one whose module cannot be used at present is a warning.
func (c *Config) judgeTargets() error {
	var errs []error
	add := func(i int, option string, err error) {
		errs = append(errs, &probe.OptionError{Path: fmt.Sprintf("targets[%d]%s", i, option), Err: err})
	}
	type probed struct{ module, target string }
	seen := map[probed]string{} // as it is shown: as it is
	for i, t := range c.file.Targets {
		if t.Target == "" {
			continue // reported
		}
		name, option := t.ModuleName(), ""
		if t.Module != "" {
			option = ".module"
		}
		if module := c.modules[name]; module != nil {
			if err := module.Check(t.Target); err != nil {
				add(i, "", err)
			}
		} else if c.unusable[name] != nil {
			add(i, option, &probe.Warning{Err: fmt.Errorf("is not probed until the module %q can be used", name)})
		} else {
			accepted := cmp.Or(strings.Join(slices.Sorted(maps.Keys(c.file.Modules)), ", "), anyModule)
			add(i, option, fmt.Errorf("there is no module %q; accepted: %s", name, accepted))
		}
		shown := probed{name, probe.RedactTarget(t.Target)}
		switch before, twice := seen[shown]; {
		case twice && before == t.Target:
			add(i, "", fmt.Errorf("%s is there twice with the module %q", shown.target, name))
		case twice:
			add(i, "", fmt.Errorf("%s cannot be distinguished from another one with the module %q, since user and password are never shown; accepted: a module for each",
				shown.target, name))
		}
		seen[shown] = t.Target
	}
	return errors.Join(errs...)
}

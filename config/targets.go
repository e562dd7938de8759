package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/probe/guard"
	"rollcall/probe/option"
	"rollcall/redact"
)

// judgeTargets finds what does not agree between sections: a target's module exists, takes the target and may probe it,
// and no two targets of a module are the same to alerts and metrics. A target that can never be probed would be down
// without a mail, so it is an error; one whose module cannot be used at present is a warning.
func (c *Config) judgeTargets() error {
	var errs []error
	add := func(i int, below string, err error) {
		errs = append(errs, &option.Error{Path: fmt.Sprintf("targets[%d]%s", i, below), Err: err})
	}
	type probed struct{ module, target string }
	seen := map[probed]string{} // as it is shown: as it is
	for i, t := range c.file.Targets {
		if t.Target == "" {
			continue // reported
		}
		name, below := t.ModuleName(), ""
		if t.Module != "" {
			below = ".module"
		}
		if module := c.modules[name]; module != nil {
			if err := guard.Check(module, t.Target); err != nil {
				add(i, "", err)
			}
		} else if c.unusable[name] != nil {
			add(i, below, &option.Warning{Err: fmt.Errorf("is not probed until the module %q can be used", name)})
		} else {
			accepted := cmp.Or(strings.Join(slices.Sorted(maps.Keys(c.file.Modules)), ", "), anyModule)
			add(i, below, fmt.Errorf("there is no module %q; accepted: %s", name, accepted))
		}
		shown := probed{name, redact.Target(t.Target)}
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

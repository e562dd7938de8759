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

// judgeTargets finds what does not agree between sections: a target's module exists, can be probed with, takes the
// target and may probe it, and no two targets of a module are the same to alerts and metrics. What is let through here and
// can never be probed would be down without anybody hearing of it.
func (c *Config) judgeTargets() error {
	var faults []error
	add := func(i int, sub, format string, args ...any) {
		faults = append(faults, &option.Error{Path: fmt.Sprintf("targets[%d]%s", i, sub), Err: fmt.Errorf(format, args...)})
	}
	type probed struct{ module, target string }
	seen := map[probed]string{} // as it is shown: as it is
	for i, t := range c.options.Targets {
		if t.Target == "" {
			continue // reported
		}
		name, sub := t.ModuleName(), ""
		if t.Module != "" {
			sub = ".module"
		}
		if _, ok := c.options.Modules[name]; !ok {
			accepted := cmp.Or(strings.Join(slices.Sorted(maps.Keys(c.options.Modules)), ", "), anyModule)
			add(i, sub, "there is no module %q; accepted: %s", name, accepted)
		} else if err := c.unsupported[name]; err != nil {
			add(i, sub, "%v", err)
		} else if module := c.modules[name]; module != nil { // one with faults has told them
			if err := guard.Check(module, t.Target); err != nil {
				add(i, "", "%w", err)
			}
		}
		shown := probed{name, redact.Target(t.Target)}
		switch before, twice := seen[shown]; {
		case twice && before == t.Target:
			add(i, "", "%s is there twice with the module %q", shown.target, name)
		case twice:
			add(i, "", "%s cannot be told from another one with the module %q, since user and password are never shown; accepted: a module for each",
				shown.target, name)
		}
		seen[shown] = t.Target
	}
	return errors.Join(faults...)
}

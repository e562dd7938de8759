package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/probe"
)

// judgeTargets finds what does not agree between sections: a target's module exists and can be probed with, and no
// target stands there twice for the same module.
func (c *Config) judgeTargets() error {
	var faults []error
	add := func(i int, option, format string, args ...any) {
		faults = append(faults, &probe.OptionError{Path: fmt.Sprintf("targets[%d]%s", i, option), Err: fmt.Errorf(format, args...)})
	}
	type probed struct{ module, target string }
	seen := map[probed]bool{}
	for i, t := range c.options.Targets {
		if t.Target == "" {
			continue // reported
		}
		name, option := t.ModuleName(), ""
		if t.Module != "" {
			option = ".module"
		}
		if _, ok := c.options.Modules[name]; !ok {
			add(i, option, "there is no module %q; accepted: %s", name, strings.Join(slices.Sorted(maps.Keys(c.options.Modules)), ", "))
		} else if err := c.unsupported[name]; err != nil {
			add(i, option, "%v", err)
		}
		if seen[probed{name, t.Target}] {
			add(i, "", "%s is there twice with the module %q", probe.RedactTarget(t.Target), name)
		}
		seen[probed{name, t.Target}] = true
	}
	return errors.Join(faults...)
}

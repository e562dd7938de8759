// Package schedule probes the configured targets by itself, each on its own interval and spread over it, by the same
// probe.Runner that /probe uses. It knows no metrics and no mail: who wants the results observes the Runner.
package schedule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/redact"
)

// defaultInterval is how often a target is probed when its entry does not say.
const defaultInterval = time.Minute

// minInterval keeps a typing error from overloading a server.
const minInterval = time.Second

// ownLabels are the labels that rollcall itself gives a target's alerts and metrics.
var ownLabels = []string{"alertname", "module", "phase", "reason", "stage", "target", "version"}

// TargetOptions is one entry of `targets:`. In the file it may also be the target alone.
type TargetOptions struct {
	Target   string            `yaml:"target"`
	Module   string            `yaml:"module,omitempty"` // empty: as /probe chooses
	Interval option.Duration   `yaml:"interval,omitempty"`
	Labels   map[string]string `yaml:"labels,omitempty"`
}

// SetDefaults puts in what an entry says when it does not mention an option.
func (o *TargetOptions) SetDefaults() { o.Interval = option.Duration(defaultInterval) }

// UnmarshalText implements encoding.TextUnmarshaler for an entry that is the target alone.
func (o *TargetOptions) UnmarshalText(text []byte) error {
	o.Target = string(text)
	return o.Validate()
}

// ModuleName is the module that the target is probed with.
func (o TargetOptions) ModuleName() string {
	if o.Module != "" {
		return o.Module
	}
	return probe.DefaultModule(o.Target)
}

// Validate reports what is wrong with the entry as joined *probe.OptionErrors. Whether its module exists is judged by
// who knows the modules.
func (o *TargetOptions) Validate() error {
	var faults []error
	add := func(path, format string, args ...any) {
		faults = append(faults, &option.Error{Path: path, Err: fmt.Errorf(format, args...)})
	}
	switch {
	case o.Target == "":
		add("target", "is required; accepted: what the module's prober takes, as host:port or a URL")
	case !utf8.ValidString(o.Target) || strings.IndexFunc(o.Target, unicode.IsControl) >= 0:
		add("target", "%q holds a control character", redact.Target(o.Target))
	}
	if time.Duration(o.Interval) < minInterval {
		add("interval", "%s is too short; accepted: at least %s", time.Duration(o.Interval), minInterval)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		if !model.LegacyValidation.IsValidLabelName(name) || strings.HasPrefix(name, "__") || slices.Contains(ownLabels, name) {
			add("labels."+name, "%q cannot be a label's name; accepted: letters, digits and _, without __ at the start, and none of rollcall's own: %s",
				name, strings.Join(ownLabels, ", "))
		}
	}
	return errors.Join(faults...)
}

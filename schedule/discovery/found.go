package discovery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// Found is a target as relabelling leaves it. Empty fields say nothing.
type Found struct {
	Target   string // __param_target, or else __address__
	Module   string // __param_module
	Hostname string // __param_hostname
	Name     string // the label instance, if it is not the target
	Job      string
	Interval time.Duration // __scrape_interval__; 0: none
	Timeout  time.Duration // __scrape_timeout__; 0: none
	Labels   labels.Labels
	Err      error // why this is no target; Target says which it is, as far as known
}

// Group is a list of targets with the labels that all of them have. Each set of labels is one string: as the maps of a
// targetgroup.Group, those of 100,000 targets take 40 MB.
type Group struct {
	source  string // of all groups that a library found; empty: of the file itself
	Targets []labels.Labels
	Labels  labels.Labels
}

// NewGroup keeps what a library found.
func NewGroup(found *targetgroup.Group) Group {
	b := labels.NewScratchBuilder(len(found.Labels))
	pack := func(set model.LabelSet) labels.Labels {
		b.Reset()
		for name, value := range set {
			b.Add(short(name), short(value))
		}
		b.Sort()
		return b.Labels()
	}
	g := Group{source: found.Source, Targets: make([]labels.Labels, len(found.Targets)), Labels: pack(found.Labels)}
	for i, target := range found.Targets {
		g.Targets[i] = pack(target)
	}
	return g
}

// maxLabel is how long the name or value of a label may be before it is cut. A target has 8 KiB, and package labels panics
// from 16 MiB on.
const maxLabel = 1 << 20

func short[S ~string](s S) string { return string(s[:min(len(s), maxLabel)]) }

func (g Group) equal(other Group) bool {
	return g.source == other.source && labels.Equal(g.Labels, other.Labels) && slices.EqualFunc(g.Targets, other.Targets, labels.Equal)
}

// Targets returns the targets of the options after relabelling, those of the file first. groups returns what a source
// found last.
func (o *Options) Targets(groups func(Source) []Group) ([]Found, error) {
	steps := make([]*relabel.Config, len(o.RelabelConfigs))
	for i := range o.RelabelConfigs {
		var err error
		if steps[i], err = o.RelabelConfigs[i].compile(); err != nil {
			return nil, err
		}
	}
	all := o.static()
	for _, s := range o.Sources() {
		all = append(all, groups(s)...)
	}
	most := 0
	for _, group := range all {
		most += len(group.Targets)
	}
	found := make([]Found, 0, most)
	builder := labels.NewBuilder(labels.EmptyLabels())
	for _, group := range all {
		for _, target := range group.Targets {
			o.populate(builder, target, group.Labels)
			if relabel.ProcessBuilder(builder, steps...) {
				found = append(found, readLabels(builder))
			}
		}
	}
	return found, nil
}

// populate sets the labels that a target has before relabelling, as Prometheus does.
func (o *Options) populate(b *labels.Builder, target, group labels.Labels) {
	b.Reset(group)
	target.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	preset := func(name, value string) {
		if value != "" && b.Get(name) == "" {
			b.Set(name, value)
		}
	}
	preset(model.JobLabel, o.JobName)
	preset(model.MetricsPathLabel, o.MetricsPath)
	preset(model.SchemeLabel, o.Scheme)
	if o.ScrapeInterval != 0 {
		preset(model.ScrapeIntervalLabel, model.Duration(o.ScrapeInterval).String())
	}
	if o.ScrapeTimeout != 0 {
		preset(model.ScrapeTimeoutLabel, model.Duration(o.ScrapeTimeout).String())
	}
	for name, values := range o.Params {
		if len(values) > 0 {
			preset(model.ParamLabelPrefix+name, values[0])
		}
	}
}

// readLabels makes a target of its labels.
func readLabels(b *labels.Builder) Found {
	f := Found{
		Target: b.Get(model.ParamLabelPrefix + "target"), Module: b.Get(model.ParamLabelPrefix + "module"),
		Hostname: b.Get(model.ParamLabelPrefix + "hostname"), Job: b.Get(model.JobLabel),
	}
	if f.Target == "" {
		f.Target = b.Get(model.AddressLabel)
	}
	var err error
	if f.Interval, err = duration(b.Get(model.ScrapeIntervalLabel)); err != nil {
		f.Err = fmt.Errorf("the label %s: %w", model.ScrapeIntervalLabel, err)
	}
	if f.Timeout, err = duration(b.Get(model.ScrapeTimeoutLabel)); err != nil {
		f.Err = fmt.Errorf("the label %s: %w", model.ScrapeTimeoutLabel, err)
	}
	if f.Timeout > f.Interval && f.Interval > 0 {
		f.Err = fmt.Errorf("the timeout %s is longer than the interval %s", f.Timeout, f.Interval)
	}
	if f.Target == "" {
		f.Err = fmt.Errorf("there is neither __param_target nor __address__")
	}
	if instance := b.Get(model.InstanceLabel); instance != f.Target {
		f.Name = instance
	}
	var own labels.ScratchBuilder
	b.Range(func(l labels.Label) {
		switch {
		case strings.HasPrefix(l.Name, model.ReservedLabelPrefix):
		case l.Name == model.JobLabel: // the job that scrapes us sets its own
		case l.Name == model.InstanceLabel && l.Value == f.Target: // as above
		case !model.LabelValue(l.Value).IsValid():
			f.Err = fmt.Errorf("the label %q is no valid text", l.Name)
		default:
			own.Add(l.Name, l.Value)
		}
	})
	own.Sort()
	f.Labels = own.Labels()
	return f
}

// merged returns groups, which are in the order of their sources, with what an update says. Those that it says nothing new of
// stay as they are: their strings are in the targets, too, and would else be in memory twice.
func merged(groups []Group, update []*targetgroup.Group) []Group {
	next := slices.Clone(groups)
	for _, found := range update {
		g := NewGroup(found)
		place, known := slices.BinarySearchFunc(groups, g, Group.compare)
		if !known {
			next = append(next, g)
		} else if !g.equal(next[place]) {
			next[place] = g
		}
	}
	slices.Reverse(next[len(groups):]) // of several with one source, e.g. a name that is listed twice, the last counts
	slices.SortStableFunc(next, Group.compare)
	next = slices.CompactFunc(next, func(a, b Group) bool { return a.source == b.source })
	return slices.DeleteFunc(next, func(g Group) bool { return len(g.Targets) == 0 })
}

func (g Group) compare(other Group) int { return strings.Compare(g.source, other.source) }

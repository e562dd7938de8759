// Package discovery finds targets as Prometheus does: by lists, files, HTTP and DNS, with relabelling, through
// Prometheus's own packages, so that a job of its scrape configuration means the same here. It knows no module, probes
// nothing and decides nothing about what it finds; package config makes targets of it.
package discovery

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/dns"
	"github.com/prometheus/prometheus/discovery/file"
	"github.com/prometheus/prometheus/discovery/http"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"rollcall/probe/option"
	"rollcall/redact"
)

// Options are the keys of a job of Prometheus's scrape configuration that say which targets it has. The keys about the
// scrape itself are read so that relabelling finds their labels (__metrics_path__ and the like).
type Options struct {
	JobName        string              `yaml:"job_name,omitempty"`
	ScrapeInterval option.Duration     `yaml:"scrape_interval,omitempty"`
	ScrapeTimeout  option.Duration     `yaml:"scrape_timeout,omitempty"`
	MetricsPath    string              `yaml:"metrics_path,omitempty"`
	Scheme         string              `yaml:"scheme,omitempty"`
	Params         map[string][]string `yaml:"params,omitempty"`

	StaticConfigs  []StaticConfig  `yaml:"static_configs,omitempty"`
	FileSDConfigs  []FileSDConfig  `yaml:"file_sd_configs,omitempty"`
	HTTPSDConfigs  []HTTPSDConfig  `yaml:"http_sd_configs,omitempty"`
	DNSSDConfigs   []DNSSDConfig   `yaml:"dns_sd_configs,omitempty"`
	RelabelConfigs []RelabelConfig `yaml:"relabel_configs,omitempty"`
}

// StaticConfig is a list of targets with common labels.
type StaticConfig struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels,omitempty"`
}

// FileSDConfig names files that list groups of targets, in JSON or YAML.
type FileSDConfig struct {
	Files           []string        `yaml:"files"`
	RefreshInterval option.Duration `yaml:"refresh_interval,omitempty"`
}

// HTTPSDConfig is a server that answers with groups of targets, in JSON.
type HTTPSDConfig struct {
	HTTPClientConfig promconfig.HTTPClientConfig `yaml:",inline"`
	URL              string                      `yaml:"url"`
	RefreshInterval  option.Duration             `yaml:"refresh_interval,omitempty"`
}

// DNSSDConfig is a list of names whose records are targets.
type DNSSDConfig struct {
	Names           []string        `yaml:"names"`
	Type            string          `yaml:"type"`
	Port            int             `yaml:"port,omitempty"`
	RefreshInterval option.Duration `yaml:"refresh_interval,omitempty"`
}

// RelabelConfig is a step that rewrites or drops targets.
type RelabelConfig struct {
	SourceLabels []string `yaml:"source_labels,omitempty"`
	Separator    string   `yaml:"separator"`
	Regex        string   `yaml:"regex"`
	Modulus      uint64   `yaml:"modulus,omitempty"`
	TargetLabel  string   `yaml:"target_label,omitempty"`
	Replacement  string   `yaml:"replacement"`
	Action       string   `yaml:"action"`
}

// SetDefaults puts in Prometheus's defaults.
func (o *FileSDConfig) SetDefaults() {
	o.RefreshInterval = option.Duration(file.DefaultSDConfig.RefreshInterval)
}

// SetDefaults puts in Prometheus's defaults.
func (o *HTTPSDConfig) SetDefaults() {
	o.HTTPClientConfig = promconfig.DefaultHTTPClientConfig
	o.RefreshInterval = option.Duration(http.DefaultSDConfig.RefreshInterval)
}

// SetDefaults puts in Prometheus's defaults.
func (o *DNSSDConfig) SetDefaults() {
	o.Type, o.RefreshInterval = dns.DefaultSDConfig.Type, option.Duration(dns.DefaultSDConfig.RefreshInterval)
}

// SetDefaults puts in Prometheus's defaults.
func (o *RelabelConfig) SetDefaults() {
	d := relabel.DefaultRelabelConfig
	o.Separator, o.Regex, o.Replacement, o.Action = d.Separator, "(.*)", d.Replacement, string(d.Action)
}

// Empty reports whether the options say nothing: the entry is then a single target.
func (o *Options) Empty() bool { return len(o.keys()) == 0 }

// keys are those that are there, sorted.
func (o *Options) keys() (keys []string) {
	for _, option := range [...]struct {
		key   string
		there bool
	}{
		{"dns_sd_configs", o.DNSSDConfigs != nil},
		{"file_sd_configs", o.FileSDConfigs != nil},
		{"http_sd_configs", o.HTTPSDConfigs != nil},
		{"job_name", o.JobName != ""},
		{"metrics_path", o.MetricsPath != ""},
		{"params", o.Params != nil},
		{"relabel_configs", o.RelabelConfigs != nil},
		{"scheme", o.Scheme != ""},
		{"scrape_interval", o.ScrapeInterval != 0},
		{"scrape_timeout", o.ScrapeTimeout != 0},
		{"static_configs", o.StaticConfigs != nil},
	} {
		if option.there {
			keys = append(keys, option.key)
		}
	}
	return keys
}

// Validate reports whether there are targets at all. The parts judge themselves.
func (o *Options) Validate() error {
	if !o.Empty() && o.StaticConfigs == nil && o.FileSDConfigs == nil && o.HTTPSDConfigs == nil && o.DNSSDConfigs == nil {
		return fmt.Errorf("has no targets for %s; accepted: static_configs, file_sd_configs, http_sd_configs, dns_sd_configs",
			strings.Join(o.keys(), ", "))
	}
	if o.ScrapeTimeout != 0 && o.ScrapeInterval != 0 && o.ScrapeTimeout > o.ScrapeInterval {
		return option.Errorf("scrape_timeout", "is longer than scrape_interval")
	}
	return nil
}

// Validate judges the names of the labels.
func (o *StaticConfig) Validate() error {
	var errs option.Collector
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		if !model.UTF8Validation.IsValidLabelName(name) {
			errs.Addf("labels."+name, "%q cannot be a label's name", name)
		}
	}
	return errs.Err()
}

// Validate has Prometheus's package judge, which does not say what it accepts.
func (o *FileSDConfig) Validate() error {
	if err := judge(o.library()); err != nil {
		return fmt.Errorf("%w; accepted: files whose names end in .json, .yml or .yaml, with * only in the last part of the path", err)
	}
	return nil
}

// Validate has Prometheus's package judge.
func (o *HTTPSDConfig) Validate() error { return judge(o.library()) }

// Validate has Prometheus's package judge.
func (o *DNSSDConfig) Validate() error { return judge(o.library()) }

// Validate has Prometheus's package judge.
func (o *RelabelConfig) Validate() error {
	_, err := o.compile()
	return err
}

// judge has a configuration of Prometheus judged by what it does when it is read from a file: it sets its defaults, then
// reads, then judges.
func judge[T any, P interface {
	*T
	UnmarshalYAML(unmarshal func(any) error) error
}](config P) error {
	given := *config
	return config.UnmarshalYAML(func(any) error {
		*config = given
		return nil
	})
}

func (o *FileSDConfig) library() *file.SDConfig {
	return &file.SDConfig{Files: o.Files, RefreshInterval: model.Duration(o.RefreshInterval)}
}

func (o *HTTPSDConfig) library() *http.SDConfig {
	return &http.SDConfig{HTTPClientConfig: o.HTTPClientConfig, URL: o.URL, RefreshInterval: model.Duration(o.RefreshInterval)}
}

func (o *DNSSDConfig) library() *dns.SDConfig {
	return &dns.SDConfig{Names: o.Names, Type: o.Type, Port: o.Port, RefreshInterval: model.Duration(o.RefreshInterval)}
}

// compile makes the step ready. Its errors name the option where Prometheus's do.
func (o *RelabelConfig) compile() (*relabel.Config, error) {
	regex, err := relabel.NewRegexp(o.Regex)
	if err != nil {
		return nil, &option.Error{Path: "regex", Err: err}
	}
	c := &relabel.Config{
		Separator: o.Separator, Regex: regex, Modulus: o.Modulus, TargetLabel: o.TargetLabel, Replacement: o.Replacement,
		Action: relabel.Action(strings.ToLower(o.Action)), NameValidationScheme: model.UTF8Validation,
	}
	if o.Regex == "(.*)" {
		c.Regex = relabel.DefaultRelabelConfig.Regex // some actions ask whether it is this one
	}
	for _, name := range o.SourceLabels {
		c.SourceLabels = append(c.SourceLabels, model.LabelName(name))
	}
	if err := new(relabel.Action).UnmarshalYAML(func(out any) error { *out.(*string) = o.Action; return nil }); err != nil {
		return nil, option.Errorf("action",
			"%q is unknown; accepted: replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase", o.Action)
	}
	return c, c.Validate(model.UTF8Validation)
}

// Source is where an entry's targets come from other than the file itself. Two with equal options are one source.
type Source struct{ config discovery.Config }

// Mechanism is file, http or dns.
func (s Source) Mechanism() string { return s.config.Name() }

// String names the source as its options do, files with the directory that they are looked for in.
func (s Source) String() string {
	switch c := s.config.(type) {
	case *file.SDConfig:
		var paths []string
		for _, path := range c.Files {
			if full, err := filepath.Abs(path); err == nil {
				path = full
			}
			paths = append(paths, path)
		}
		return strings.Join(paths, " ")
	case *http.SDConfig:
		return s.redact(redact.Target(c.URL))
	case *dns.SDConfig:
		return strings.Join(c.Names, " ")
	}
	return s.Mechanism()
}

// matchesNothing reports whether there is no file that the source could read, of which the library says nothing.
func (s Source) matchesNothing() bool {
	c, ok := s.config.(*file.SDConfig)
	return ok && !slices.ContainsFunc(c.Files, func(pattern string) bool {
		found, err := filepath.Glob(pattern)
		return len(found) > 0 || err != nil
	})
}

// redact takes what the server of the source gets out of text, which may quote it.
func (s Source) redact(text string) string {
	if c, ok := s.config.(*http.SDConfig); ok {
		return option.RedactClient(&c.HTTPClientConfig, text)
	}
	return text
}

// Sources returns the sources of the options, which are valid.
func (o *Options) Sources() (all []Source) {
	for i := range o.FileSDConfigs {
		all = append(all, Source{o.FileSDConfigs[i].library()})
	}
	for i := range o.HTTPSDConfigs {
		all = append(all, Source{o.HTTPSDConfigs[i].library()})
	}
	for i := range o.DNSSDConfigs {
		all = append(all, Source{o.DNSSDConfigs[i].library()})
	}
	return all
}

// static returns the groups that the file itself has.
func (o *Options) static() (groups []Group) {
	for _, c := range o.StaticConfigs {
		g := Group{Labels: labels.FromMap(c.Labels)}
		for _, address := range c.Targets {
			g.Targets = append(g.Targets, labels.FromStrings(model.AddressLabel, address))
		}
		groups = append(groups, g)
	}
	return groups
}

// duration reads an interval or timeout that relabelling may have set.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := model.ParseDuration(text)
	if err == nil && d == 0 {
		err = errors.New("it is 0")
	}
	return time.Duration(d), err
}

// Package config loads the one configuration file: it reads YAML into the option structs that live beside the code
// that uses them, compiles the modules, and reports every fault at once, each with its line and path. It owns no
// option of any prober and starts nothing.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"rollcall/alert"
	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/option"
	"rollcall/schedule"
)

// Options is the file from the top. A new section is one line here: its struct lives in the package that uses it, has
// yaml tags, may have SetDefaults (called before the section is read) and Validate (called after; joined
// *probe.OptionErrors with paths relative to the section get their line). Secrets are its fields of type config.Secret
// (prometheus/common): there, and nowhere else, ${NAME} stands for an environment variable, and they are never shown.
// What must agree between sections belongs into a method Validate of Options.
type Options struct {
	Modules map[string]ModuleOptions `yaml:"modules"`
	Targets []schedule.TargetOptions `yaml:"targets,omitempty"`
	Alert   *alert.Options           `yaml:"alert,omitempty"`
	Guard   guard.Options            `yaml:"guard"`
}

// SetDefaults puts in what holds for sections that the file does not mention.
func (o *Options) SetDefaults() { o.Guard.SetDefaults() }

// Config is one loaded configuration. It never changes, so many goroutines may use it.
type Config struct {
	options     Options
	guard       *guard.Guard
	alert       *alert.Config // nil: nobody is told
	modules     map[string]*probe.Module
	unsupported map[string]error // the modules whose prober is not built in
	names       []string
	warnings    []string
}

// Load reads the file at path. Faults in it are Problems; an error of the system, such as fs.ErrNotExist, is
// wrapped.
func Load(path string) (*Config, error) {
	data, err := read(path, false)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// read returns the content of the file at path. The first time it may be a pipe, as <(…) of a shell; such a one is waited
// for, and says nothing again.
func read(path string, again bool) ([]byte, error) {
	info, err := os.Stat(path)
	var data []byte
	if err == nil && !again && !info.Mode().IsRegular() {
		data, err = readStream(path)
	} else if err == nil {
		data, err = option.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return data, nil
}

func readStream(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// Parse reads a configuration from data; name stands for the file in messages. Its error is always Problems.
func Parse(name string, data []byte) (*Config, error) {
	c, _, err := parse(name, data)
	return c, err
}

// parse also returns the stamp of what the configuration was, or failed to be, made from.
func parse(name string, data []byte) (*Config, stamp, error) {
	root, line, err := readDocument(data)
	if err != nil {
		return nil, newStamp(data, nil), Problems{{File: name, Line: line, Text: err.Error()}}
	}
	d := newDecoder(name, min(1000+maxExpansion*count(root), maxVisits))
	c := &Config{modules: map[string]*probe.Module{}, unsupported: map[string]error{}}
	top := &place{line: root.Line, index: -1}
	d.decode(root, top, reflect.ValueOf(&c.options).Elem())
	made := newStamp(data, d.files) // before the modules read their files: a change after this is noticed
	if !d.stopped {
		c.compile(d, root, top)
		d.locate(root, top, "", c.judgeTargets())
		for _, v := range d.verdicts { // last: the modules often know better where the fault is
			d.locate(v.node, v.at, "", v.err)
		}
	}
	if len(d.problems) > 0 {
		return nil, made, d.problems.arranged()
	}
	c.warnings = d.warnings
	return c, made, nil
}

// compile makes the guard, the alert section and the modules ready, in the order of the file.
func (c *Config) compile(d *decoder, root *yaml.Node, top *place) {
	if root.Kind != yaml.MappingNode {
		return
	}
	var err error
	if c.guard, err = c.options.Guard.Compile(); err != nil {
		d.locate(root, top, "guard", err)
	}
	if c.options.Alert != nil {
		targets := make([]alert.Target, len(c.options.Targets))
		for i, t := range c.options.Targets {
			targets[i] = alert.Target{Module: t.ModuleName(), Target: t.Target}
		}
		if c.alert, err = c.options.Alert.Compile(targets); err != nil {
			d.locate(root, top, "alert", err)
		}
		warnOfNoSendmail(d, root, top, c.options.Alert.Email)
	}
	section, ok := find(d.quietEntries(root), "modules")
	if !ok || resolved(section.value).Kind != yaml.MappingNode {
		return
	}
	under := top.at("modules", section.line())
	for _, e := range d.quietEntries(resolved(section.value)) {
		at := under.at(e.name, e.line())
		options := c.options.Modules[e.name]
		module, err := options.Compile(e.name, c.guard)
		switch {
		case err == nil:
			c.modules[e.name] = module
		case errors.Is(err, probe.ErrUnsupportedProber):
			c.unsupported[e.name] = fmt.Errorf("module %q: prober %q: %w", e.name, options.Prober, probe.ErrUnsupportedProber)
			prober, _ := d.follow(e.value, at, "prober")
			d.warn(prober, "the prober %q is not built in: probes with this module are refused", options.Prober)
		}
		d.locate(e.value, at, "", err)
		c.names = append(c.names, e.name)
	}
}

// warnOfNoSendmail tells before the night on which mail should leave that the program for it is missing. It may be installed
// later, so it is no fault.
func warnOfNoSendmail(d *decoder, root *yaml.Node, top *place, email *alert.EmailOptions) {
	if email == nil || email.SMTP != nil {
		return
	}
	if _, err := os.Stat(email.Sendmail); errors.Is(err, fs.ErrNotExist) {
		at, _ := d.follow(root, top, "alert.email.sendmail")
		d.warn(at, "there is no %s, so no mail can be sent; accepted: smtp under email, or a mail system that has it", quoted(email.Sendmail))
	}
}

// Module returns the module with that name. The error wraps probe.ErrUnknownModule, or probe.ErrUnsupportedProber
// for a module that the file has and whose prober is not built in.
func (c *Config) Module(name string) (*probe.Module, error) {
	if m, ok := c.modules[name]; ok {
		return m, nil
	}
	if err, ok := c.unsupported[name]; ok {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %q; accepted: %s", probe.ErrUnknownModule, name, c.accepted())
}

// anyModule is what to say of names where there is none.
const anyModule = "one under modules, as http_2xx: {prober: http}"

// accepted names the modules for an error, as many as a person reads.
func (c *Config) accepted() string {
	const most = 20
	if len(c.names) <= most {
		return cmp.Or(strings.Join(c.names, ", "), anyModule)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(c.names[:most], ", "), len(c.names)-most)
}

// Names returns the names of all modules in the order of the file, those that cannot be probed included.
func (c *Config) Names() []string { return slices.Clone(c.names) }

// Alert returns the alert section, ready for use; nil when the file has none.
func (c *Config) Alert() *alert.Config { return c.alert }

// Targets returns what is to be probed without being asked. The caller must not change it.
func (c *Config) Targets() []schedule.TargetOptions { return c.options.Targets }

// Warnings returns what is accepted but will not work, each as "file:line: path: …".
func (c *Config) Warnings() []string { return slices.Clone(c.warnings) }

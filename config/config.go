// Package config loads the one configuration file: its sections, their defaults and how they fit together, the table of
// probers, reload. It compiles the modules and reports every error at once, each with its line and path. It owns no
// option of any prober and starts nothing; strictyaml reads the YAML.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"rollcall/alert"
	"rollcall/config/strictyaml"
	"rollcall/history/prometheus"
	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/option"
	"rollcall/schedule"
)

// file is the configuration file from the top. A new section is one line here: its struct is in the package that uses
// it, has yaml tags, may have SetDefaults (called before the section is read) and Validate (called after; joined
// *option.Errors with paths relative to the section get their line). Secrets are its fields of type config.Secret
// (prometheus/common): there, and nowhere else, ${NAME} stands for an environment variable, and they are never shown.
type file struct {
	Modules map[string]moduleOptions `yaml:"modules"`
	Targets []schedule.TargetOptions `yaml:"targets,omitempty"`
	// Defaults are what entries of targets say when they leave it out.
	Defaults schedule.Settings       `yaml:"defaults,omitempty"`
	Alert    *alert.Options          `yaml:"alert,omitempty"`
	History  *prometheus.FileOptions `yaml:"history,omitempty"`
	Guard    guard.Options           `yaml:"guard"`
}

// SetDefaults puts in what holds for sections that the file does not mention.
func (f *file) SetDefaults() { f.Guard.SetDefaults() }

// Config is one loaded configuration. It never changes, so many goroutines may use it.
type Config struct {
	file     file
	targets  []schedule.Entry
	guard    *guard.Guard
	alert    *alert.Config      // nil: the file has no such section
	history  *prometheus.Source // nil: the embedded store
	modules  map[string]*probe.Module
	unusable map[string]*probe.UnusableModule
	names    []string
	warnings strictyaml.Errors
}

// Load reads the file at path. Errors in it are strictyaml.Errors; an error of the system, e.g. fs.ErrNotExist, is
// wrapped.
func Load(path string) (*Config, error) {
	data, err := read(path, false)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// read returns the content of the file at path. The first time it may be a pipe, e.g. <(…) of a shell, which is waited
// for and cannot be read again.
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
	return io.ReadAll(io.LimitReader(f, strictyaml.MaxBytes+1))
}

// Parse reads a configuration from data; name stands for the file in messages. Its error is always strictyaml.Errors.
func Parse(name string, data []byte) (*Config, error) {
	c, _, err := parse(name, data)
	return c, err
}

// parse also returns the stamp of what the configuration was, or failed to be, made from.
func parse(name string, data []byte) (*Config, stamp, error) {
	doc, err := strictyaml.Parse(name, data, scalars)
	if err != nil {
		return nil, newStamp(data, nil), err
	}
	c := &Config{modules: map[string]*probe.Module{}, unusable: map[string]*probe.UnusableModule{}}
	errs, complete := doc.Decode(&c.file)
	made := newStamp(data, filesOf(doc)) // before the modules read their files: a change after this is noticed
	if complete {
		errs = c.compile(doc.Root(), errs)
	}
	refused := false
	errs = errs.Arrange()
	for _, e := range errs {
		if e.Warning() {
			c.warnings = append(c.warnings, e)
		} else if !isUnusable(e) {
			refused = true
		}
	}
	if refused {
		return nil, made, slices.DeleteFunc(errs, (*strictyaml.Error).Warning)
	}
	return c, made, nil
}

// filesOf returns the files that the document's options name.
func filesOf(doc *strictyaml.Document) (files []string) {
	doc.Each(func(key, value string) {
		if isFileName(key) && value != "" {
			files = append(files, value)
		}
	})
	return files
}

// isFileName reports whether an option is the name of a file, by its own name.
func isFileName(key string) bool { return key == "files" || strings.HasSuffix(key, "_file") }

// compile makes the guard, the modules, the alert and the history section ready, and judges the targets. It returns errs, those of
// decoding, with its own.
func (c *Config) compile(root strictyaml.Section, errs strictyaml.Errors) strictyaml.Errors {
	var err error
	c.guard, err = c.file.Guard.Compile()
	errs = append(errs, root.Locate("guard", err)...)
	for _, section := range root.Sections("modules") {
		errs = append(errs, c.compileModule(section, c.guard, errs.Below(section.Path()))...)
	}
	errs = append(errs, root.Locate("", c.compileTargets())...)
	if o := c.file.Alert; o != nil {
		c.alert, err = o.Compile(watched(c.targets), c.guard)
		errs = append(errs, root.Locate("alert", err)...)
		errs = append(errs, root.Locate("alert", c.judgeReferences(o.References))...)
		errs = append(errs, root.Locate("alert.email", missingSendmail(o.Email))...)
	}
	c.history, err = c.file.History.Compile()
	return append(errs, root.Locate("history", err)...)
}

// compileModule makes one module ready. It returns its own errors, which decoded, those of decoding it, precede.
func (c *Config) compileModule(section strictyaml.Section, outer *guard.Guard, decoded strictyaml.Errors) strictyaml.Errors {
	options := c.file.Modules[section.Name]
	module, errs := options.compile(section, outer)
	all := append(slices.Clone(decoded), errs...)
	all = slices.DeleteFunc(all, (*strictyaml.Error).Warning).Arrange()
	if len(all) > 0 { // if one refuses the file, it does not matter that the module is counted
		c.unusable[section.Name] = &probe.UnusableModule{Name: section.Name, Err: all}
	} else {
		c.modules[section.Name] = module
	}
	c.names = append(c.names, section.Name)
	return errs
}

// isUnusable reports whether an error concerns one module alone, which then cannot be used.
func isUnusable(e *strictyaml.Error) bool {
	_, unusable := errors.AsType[*option.Unusable](e.Err)
	return unusable && strings.HasPrefix(e.Path, "modules")
}

// missingSendmail warns before the night on which mail should leave that the program for it is missing. It may be
// installed later, so it is no error.
func missingSendmail(email *alert.EmailOptions) error {
	if email == nil || email.SMTP != nil {
		return nil
	}
	if _, err := os.Stat(email.Sendmail); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &option.Error{Path: "sendmail", Err: &option.Warning{Err: fmt.Errorf(
		"there is no %q, so no mail can be sent; accepted: smtp under email, or a mail system that has it", email.Sendmail)}}
}

// Module returns the module with that name. The error wraps probe.ErrUnknownModule, or is a *probe.UnusableModule.
func (c *Config) Module(name string) (*probe.Module, error) {
	if m, ok := c.modules[name]; ok {
		return m, nil
	}
	if err, ok := c.unusable[name]; ok {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %q; accepted: %s", probe.ErrUnknownModule, name, c.accepted())
}

// anyModule is what to say of names where there is none.
const anyModule = "one under modules, e.g. http_2xx: {prober: http}"

// accepted names the modules for an error, as many as a person reads.
func (c *Config) accepted() string {
	const most = 20
	if len(c.names) <= most {
		return cmp.Or(strings.Join(c.names, ", "), anyModule)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(c.names[:most], ", "), len(c.names)-most)
}

// Names returns the names of all modules in the order of the file, with those that cannot be used.
func (c *Config) Names() []string { return slices.Clone(c.names) }

// Unusable returns why modules cannot be used, in the order of the file: a file that they name is missing, an
// environment variable is not set, their prober is not built in, and the like. The next load may find it mended.
func (c *Config) Unusable() []*probe.UnusableModule {
	var all []*probe.UnusableModule
	for _, name := range c.names {
		if m, ok := c.unusable[name]; ok {
			all = append(all, m)
		}
	}
	return all
}

// History returns the server that has the history of the targets; nil: the embedded store keeps it.
func (c *Config) History() *prometheus.Source { return c.history }

// Alert returns the alert section, ready for use; nil when the file has none.
func (c *Config) Alert() *alert.Config { return c.alert }

// Targets returns the entries that are probed on the schedule, without those that are groups (see Discover). The caller
// must not change it.
func (c *Config) Targets() []schedule.Entry { return c.targets }

// Warnings returns what is accepted but will not work as it may seem, each as "file:line: path: …".
func (c *Config) Warnings() []string {
	all := make([]string, len(c.warnings))
	for i, w := range c.warnings {
		all[i] = w.Error()
	}
	return all
}

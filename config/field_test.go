package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFieldFilesLoad loads files in the patterns that are found in the field. blackbox_exporter accepts each (but for the
// headers of websocket in its own example, which it refuses). It compares what is said of them with NAME.remarks: the modules that can be used, warnings, and why others cannot.
func TestFieldFilesLoad(t *testing.T) {
	files, err := filepath.Glob("testdata/blackbox/*.yml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, "yml") + "remarks"
			got := remarks(t, c)
			if *update {
				writeFile(t, golden, got)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("remarks (-want +got):\n%s", diff)
			}
			if again, err := Parse("shown.yml", c.YAML()); err != nil && !strings.Contains(string(c.YAML()), hiddenText) {
				t.Errorf("what is shown does not load again: %v\n%s", err, c.YAML())
			} else if err == nil && cmp.Diff(c.Names(), again.Names()) != "" {
				t.Errorf("what is shown has other modules: %v", again.Names())
			}
		})
	}
}

func remarks(t *testing.T, c *Config) string {
	var b strings.Builder
	for _, name := range c.Names() {
		m, err := c.Module(name)
		if err == nil && (m.Prober == nil || m.Name != name) {
			t.Errorf("module %q is not ready: %+v", name, m)
		}
		if err == nil {
			fmt.Fprintln(&b, "usable:", name)
		}
	}
	for _, warning := range c.Warnings() {
		fmt.Fprintln(&b, "warning:", warning)
	}
	for _, module := range c.Unusable() {
		fmt.Fprintln(&b, "unusable:", module.Err)
	}
	return b.String()
}

func TestUnusableModuleIsMendedByAReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	path, m := manage(t, "modules:\n  web: {prober: http, http: {bearer_token_file: "+file+"}}\n  tcp: {prober: tcp}\n")
	if _, err := m.Current().Module("tcp"); err != nil {
		t.Errorf("the other module: %v", err)
	}
	if _, err := m.Current().Module("web"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path+":2: modules.web.http.bearer_token_file: ") {
		t.Errorf("without its file: %v", err)
	}
	writeFile(t, file, "secret")
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Current().Module("web"); err != nil {
		t.Errorf("with its file: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(); err != nil {
		t.Errorf("a reload takes the rest: %v", err)
	}
	if ok, _ := m.LastReload(); !ok || len(m.Current().Unusable()) != 1 {
		t.Errorf("successful: %t, unusable: %v", ok, m.Current().Unusable())
	}
}

// TestUnusableAnchorConcernsEveryModule: an error in an anchor is said once, and every module that has it cannot be used.
func TestUnusableAnchorConcernsEveryModule(t *testing.T) {
	c := load(t, `
modules:
  a: {prober: http, http: &http {basic_auth: {username: u, password: "${ROLLCALL_TEST_UNDEFINED}"}}}
  b: {prober: http, http: *http}
  c: {prober: http, http: {<<: *http, method: POST}}
  d: {prober: http}
`)
	for _, name := range c.Names() {
		if _, err := c.Module(name); (err == nil) != (name == "d") {
			t.Errorf("module %s: %v", name, err)
		}
	}
	if got := len(c.Unusable()); got != 3 {
		t.Errorf("%d modules cannot be used: %v", got, c.Unusable())
	}
}

// TestOnlyModulesAreUnusable: what is ours alone must be right, or a mail would not be sent on the night it should.
func TestOnlyModulesAreUnusable(t *testing.T) {
	_, err := Parse("test.yml", []byte(`
modules: {m: {prober: tcp}}
alert: {email: {to: [a@example.com], smtp: {address: "mail.example.com:25", username: u, password: "${ROLLCALL_TEST_UNDEFINED}"}}}
`))
	if err == nil || !strings.Contains(err.Error(), "test.yml:3: alert.email.smtp.password: the environment variable") {
		t.Errorf("got %v", err)
	}
}

func TestTargetOfAnUnusableModuleIsAWarning(t *testing.T) {
	c := load(t, "modules:\n  a: {prober: http, http: {body_file: /does/not/exist}}\ntargets:\n  - {target: host, module: a}\n")
	want := []string{`test.yml:4: targets[0].module: is not probed until the module "a" can be used`}
	if diff := cmp.Diff(want, c.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

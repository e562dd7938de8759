package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/config/strictyaml"
	"rollcall/probe"
	"rollcall/probe/guard"
)

// TestDefaultHasThePeersModules: but for four values they are the same, and all can be used.
func TestDefaultHasThePeersModules(t *testing.T) {
	ours, theirs := Default(), load01(t)
	if diff := cmp.Diff(theirs.Names(), ours.Names()); diff != "" {
		t.Fatalf("names (-peer +rollcall):\n%s", diff)
	}
	different := strings.NewReplacer(
		`expect: ^+OK`, `expect: ^\+OK`, // which matches no greeting
		`^SSH-2.0-`, `^SSH-2\.0-`, "SSH-2.0-blackbox-ssh-check", "SSH-2.0-rollcall",
		"send: !!binary", "send_bytes: !!binary", // a newline behind it is an error to PostgreSQL
	)
	for _, name := range ours.Names() {
		if _, err := ours.Module(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(different.Replace(string(WithSent{theirs}.ModuleYAML(name))), string(WithSent{ours}.ModuleYAML(name))); diff != "" {
			t.Errorf("%s (-peer +rollcall):\n%s", name, diff)
		}
	}
}

func load01(t *testing.T) *Config {
	c, err := Load("testdata/blackbox/01-peer-default.yml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestResolverIsAnAddress(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.53": "192.0.2.53:53", "192.0.2.53:5353": "192.0.2.53:5353", "2001:db8::53": "[2001:db8::53]:53",
		"[2001:db8::53]": "[2001:db8::53]:53", "[2001:db8::53]:5353": "[2001:db8::53]:5353",
		"ns.example.com": "", "192.0.2.53:0": "", "192.0.2.53:x": "", "0.0.0.0": "", "ff02::1": "", "192.0.2.53, 192.0.2.54": "",
	} {
		c, err := Parse("test.yml", []byte("modules: {m: {prober: tcp, resolver: \""+text+"\"}}\n"))
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "test.yml:1: modules.m.resolver: ") || !strings.Contains(err.Error(), "accepted: an IP address")):
			t.Errorf("%q: %v", text, err)
		case want == "":
		case err != nil:
			t.Errorf("%q: %v", text, err)
		default:
			m, err := c.Module("m")
			if err != nil || m.NameServer != want || !strings.Contains(string(c.YAML()), want) {
				t.Errorf("%q: %+v, %v, want %s", text, m, err, want)
			}
		}
	}
}

func TestModuleNamesWhatItCannotGive(t *testing.T) {
	c := load(t, "modules:\n  ping:\n    prober: grpc\n")
	if _, err := c.Module("pong"); !errors.Is(err, probe.ErrUnknownModule) || !strings.Contains(err.Error(), `"pong"; accepted: ping`) {
		t.Errorf("an unknown module: %v", err)
	}
}

func TestLoadOfAMissingFileSaysSo(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// TestProblems compares everything that is said of each testdata/bad/NAME.yml with NAME.problems.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file)
			var problems strictyaml.Errors
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want strictyaml.Errors", err)
			}
			golden := strings.TrimSuffix(file, "yml") + "problems"
			if *update {
				writeFile(t, golden, err.Error()+"\n")
			}
			want, readErr := os.ReadFile(golden)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestModulesKeepTheOrderOfTheFile(t *testing.T) {
	c := load(t, "modules:\n  z: {prober: http}\n  a: {prober: tcp}\n  m: {prober: grpc}\n")
	if got, want := c.Names(), []string{"z", "a", "m"}; !slices.Equal(got, want) {
		t.Errorf("names: got %v, want %v", got, want)
	}
	if got := string(c.YAML()); strings.Index(got, "z:") > strings.Index(got, "a:") {
		t.Errorf("the shown configuration has another order:\n%s", got)
	}
}

func TestAcceptedAndRefusedAsByThePeer(t *testing.T) {
	module := func(option string) string { return "modules: {a: {prober: http, " + option + "}}" }
	for text, want := range map[string]string{
		"modules:":                      "",
		"modules: {}":                   "",
		"{}":                            "",
		"---\nmodules:\n...\n":          "",
		"modules: ~\n---\n":             "",
		"modules: ~\n---\nmodules: 1\n": "", // the first document counts
		"modules: ~\n...\ngarbage: [\n": "",
		"modules: {a: ~}":               "",
		module("http: {valid_status_codes: [200.5]}"): "",
		module("timeout: 1d"):                         "", // refused there, although documented
		module("timeout: ~"):                          "",
		module("http: ~"):                             "",
		module("http: {body_size_limit: 0}"):          "",
		module("http: {fail_if_ssl: 'yes'}"):          "",
		module("http: {body: 12}"):                    "",
		module("http: {body: 2024-01-01}"):            "",
		"":                                            "is empty",
		"~":                                           "is empty",
		module("timeout: 5"):                          "not a duration",
		module("timeout: 0"):                          "not a positive duration",
		module("timeout: 0s"):                         "",
		module("timeout: -5s"):                        "",
		module("timeout: [5s]"):                       "is a list; accepted: a single value",
		module("http: {body_size_limit: 10}"):         "not a size",
		module("http: {body_size_limit: -1MB}"):       "",
		module("http: {fail_if_ssl: 1}"):              "accepted: true or false",
		module("http: {fail_if_ssl: 'true'}"):         "accepted: true or false",
		module("http: {valid_status_codes: 200}"):     "is a number; accepted: a list",
		module("http: {headers: [a]}"):                "is a list; accepted: a mapping",
		module("http: {body: !!int x}"):               "accepted: text",
		strings.Repeat("#", strictyaml.MaxBytes+1):    "is larger than 4 MiB",
	} {
		_, err := Parse("test.yml", []byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80s\ngot %v, want %q", text, err, want)
		}
	}
}

func TestGuardHoldsForEveryModule(t *testing.T) {
	metadata := "169.254.169.254:80"
	for name, test := range map[string]struct {
		file   string
		target string
		denied bool
	}{
		"the default denies metadata addresses": {"modules: {a: {prober: tcp}}", metadata, true},
		"the default allows others":             {"modules: {a: {prober: tcp}}", "127.0.0.1:80", false},
		"an empty list denies nothing":          {"modules: {a: {prober: tcp}}\nguard: {deny: []}", metadata, false},
		"a list of one's own":                   {"modules: {a: {prober: tcp}}\nguard: {deny: [127.0.0.1]}", "127.0.0.1:80", true},
		"a module cannot widen it":              {"modules: {a: {prober: tcp, guard: {deny: []}}}", metadata, true},
		"a module can narrow it":                {"modules: {a: {prober: tcp, guard: {allow: [10.0.0.0/8]}}}", "127.0.0.1:80", true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := load(t, test.file).Module("a")
			if err != nil {
				t.Fatal(err)
			}
			verdicts, err := guard.Explain(t.Context(), m, test.target)
			if err != nil {
				t.Fatal(err)
			}
			if len(verdicts) != 1 || verdicts[0].Allowed == test.denied {
				t.Errorf("got %v, want denied %v", verdicts, test.denied)
			}
		})
	}
}

// load parses a configuration that must be right.
func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yml", []byte(text))
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestComposeFile: every mounted file exists, and each program accepts its flags, with the files at their paths in the
// container.
func TestComposeFile(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image, Build any
			Command      []string
			Ports        []string
			Volumes      []string
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "../deploy/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	programs := map[string]func(args []string){
		"rollcall": func(args []string) { run(t, rollcall, append(args, "--config.check")...) },
		"prometheus": func(args []string) {
			knowsFlags(t, find(t, "prometheus", "prometheus"), args)
			run(t, find(t, "promtool", "prometheus"), "check", "config", flagIn(args, "--config.file"))
		},
		"alertmanager": func(args []string) {
			knowsFlags(t, find(t, "prometheus-alertmanager", "prometheus-alertmanager"), args)
			run(t, find(t, "amtool", "prometheus-alertmanager"), "check-config", flagIn(args, "--config.file"))
		},
	}
	if len(file.Services) != len(programs) {
		t.Errorf("%d services, want %d", len(file.Services), len(programs))
	}
	for name, service := range file.Services {
		places := []string{}
		for _, volume := range service.Volumes {
			from, rest, _ := strings.Cut(volume, ":")
			to, mode, _ := strings.Cut(rest, ":")
			path, isFile := strings.CutPrefix(from, "./")
			if !isFile {
				if _, ok := file.Volumes[from]; !ok {
					t.Errorf("%s: the volume %q is not declared", name, from)
				}
				continue
			}
			path, err := filepath.Abs(filepath.Join("../deploy", path))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); err != nil || mode != "ro" {
				t.Errorf("%s: %s: %v, want an existing file, mounted read-only", name, volume, err)
			}
			places = append(places, to, path)
		}
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: the port %s is not bound to loopback", name, port)
			}
		}
		args := make([]string, len(service.Command))
		for i, arg := range service.Command {
			args[i] = strings.NewReplacer(places...).Replace(arg)
		}
		if try := programs[name]; try != nil {
			try(args)
		} else {
			t.Errorf("the test has no case for %s", name)
		}
	}
	if root, err := filepath.Abs(filepath.Join("../deploy", file.Services["rollcall"].Build.(map[string]any)["context"].(string))); err != nil {
		t.Fatal(err)
	} else if _, err := os.Stat(filepath.Join(root, "Dockerfile")); err != nil {
		t.Errorf("the build context of rollcall: %v", err)
	}
}

func flagIn(args []string, flag string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			return value
		}
	}
	return ""
}

// knowsFlags fails for a flag that the program's --help does not list.
func knowsFlags(t *testing.T, program string, args []string) {
	t.Helper()
	help := run(t, program, "--help")
	for _, arg := range args {
		if flag, _, _ := strings.Cut(arg, "="); !strings.Contains(help, flag+"=") {
			t.Errorf("%s has no flag %s", filepath.Base(program), flag)
		}
	}
}

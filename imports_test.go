package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ourImports says which of our packages a package may use; one that is not listed may not exist. The programs among
// them (package main) put things together and may use every one.
var ourImports = map[string][]string{
	"probe":                {},
	"probe/option":         {"probe"},
	"probe/network":        {"probe", "probe/option"},
	"probe/guard":          {"probe", "probe/network", "probe/option"},
	"probe/tlsclient":      {"probe", "probe/network", "probe/option"},
	"probe/tcpprobe":       {"probe", "probe/network", "probe/option", "probe/tlsclient"},
	"probe/httpprobe":      {"probe", "probe/network", "probe/option", "probe/tlsclient", "redact"},
	"probe/dnsprobe":       {"probe", "probe/network", "probe/option", "probe/tlsclient"},
	"probe/icmpprobe":      {"probe", "probe/guard", "probe/network", "probe/option"},
	"probe/unixprobe":      {"probe", "probe/network", "probe/tcpprobe"},
	"probe/grpcprobe":      {"probe", "probe/network", "probe/option", "probe/tlsclient", "redact"},
	"probe/websocketprobe": {"probe", "probe/httpprobe", "probe/network", "probe/option", "probe/tcpprobe", "redact"},
	"probe/probetest":      {"probe", "probe/option"},
	"redact":               {},
	"collector":            {"probe", "redact"},
	"alert":                {"probe", "probe/option", "redact"},
	"schedule":             {"probe", "probe/option", "redact"},
	"config":               {"alert", "probe", "probe/dnsprobe", "probe/grpcprobe", "probe/guard", "probe/httpprobe", "probe/icmpprobe", "probe/option", "probe/tcpprobe", "probe/unixprobe", "probe/websocketprobe", "redact", "schedule"},
	"web":                  {"collector", "probe", "probe/network", "redact"},
}

// theirImports says which of our packages may use a module (by the beginning of its import path) that has its one
// place. "" is the program itself.
var theirImports = map[string][]string{
	"github.com/prometheus/client_golang/":    {"", "collector", "web"},
	"github.com/alecthomas/kingpin/":          {""},
	"github.com/prometheus/exporter-toolkit/": {""},
	"go.yaml.in/yaml/":                        {"config"},
}

func TestPackagesImportOnlyWhatTheDesignAllows(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range imports(t) {
		if f.test {
			continue
		}
		seen[f.pkg] = true
		for _, imported := range f.imports {
			judgeImport(t, f, imported)
		}
	}
	for _, pkg := range []string{"", "probe", "collector", "config", "web"} {
		if !seen[pkg] {
			t.Errorf("no file of package %q was looked at: the test looks in the wrong place", pkg)
		}
	}
}

// TestDesignListsEveryDirectDependency: what is imported, and nothing else.
func TestDesignListsEveryDirectDependency(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for _, line := range regexp.MustCompile(`(?m)^\t(\S+) v\S+`).FindAllStringSubmatch(string(mod), -1) {
		modules = append(modules, line[1])
	}
	direct := map[string]bool{}
	for _, f := range imports(t) {
		for _, imported := range f.imports {
			for _, module := range modules {
				if imported == module || strings.HasPrefix(imported, module+"/") {
					direct[module] = true
				}
			}
		}
	}
	design, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "dependencies", direct, rows(section(t, string(design), "## Dependencies")))
}

// goFile is a file of ours and what it imports.
type goFile struct {
	path, pkg string // "" is the program's package
	program   bool   // package main
	test      bool
	imports   []string
}

func imports(t *testing.T) (files []goFile) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "." {
				return filepath.SkipDir // a module of its own, with its own dependencies
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		f := goFile{path: path, pkg: filepath.ToSlash(filepath.Dir(path)), program: parsed.Name.Name == "main", test: strings.HasSuffix(name, "_test.go")}
		if f.pkg == "." {
			f.pkg = ""
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func judgeImport(t *testing.T, f goFile, imported string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(imported, "rollcall/"); ok && !f.program {
		allowed, known := ourImports[f.pkg]
		if !known {
			t.Errorf("%s: package %q has no rule in ourImports", f.path, f.pkg)
		} else if !slices.Contains(allowed, ours) {
			t.Errorf("%s imports %s; package %s may import %q of ours", f.path, imported, f.pkg, allowed)
		}
	}
	for module, allowed := range theirImports {
		if strings.HasPrefix(imported, module) && !slices.Contains(allowed, f.pkg) {
			t.Errorf("%s imports %s, which only these packages may: %q", f.path, imported, allowed)
		}
	}
}

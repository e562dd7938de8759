package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ourImports says which of our packages a package may use; one that is not listed may not exist. The programs among
// them (package main) put things together and may use every one.
var ourImports = map[string][]string{
	"probe":     {},
	"collector": {"probe"},
	"alert":     {"probe"},
	"schedule":  {"probe"},
	"config":    {"alert", "probe", "schedule"},
	"web":       {"collector", "probe"},
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
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		if pkg == "." {
			pkg = ""
		}
		seen[pkg] = true
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			judgeImport(t, path, pkg, file.Name.Name == "main", imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"", "probe", "collector", "config", "web"} {
		if !seen[pkg] {
			t.Errorf("no file of package %q was looked at: the test looks in the wrong place", pkg)
		}
	}
}

func judgeImport(t *testing.T, path, pkg string, program bool, imported string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(imported, "rollcall/"); ok && !program {
		allowed, known := ourImports[pkg]
		if !known {
			t.Errorf("%s: package %q has no rule in ourImports", path, pkg)
		} else if !slices.Contains(allowed, ours) {
			t.Errorf("%s imports %s; package %s may import %q of ours", path, imported, pkg, allowed)
		}
	}
	for module, allowed := range theirImports {
		if strings.HasPrefix(imported, module) && !slices.Contains(allowed, pkg) {
			t.Errorf("%s imports %s, which only these packages may: %q", path, imported, allowed)
		}
	}
}

package cli

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

type layer struct {
	packages []string
	with     map[string][]string // what a package of this line may import of it
}

// layers are our packages from the top to the bottom, as docs/design.md draws them. A package imports only from lines
// below its own, and from those of its own line that "with" allows. A package that is in no line may not exist.
var layers = []layer{
	{packages: []string{""}}, // main.go
	{packages: []string{"cli"}},
	{packages: []string{"server"}},
	{
		packages: []string{"web", "web/chart", "web/badge", "web/port", "config", "history/store", "history/prometheus", "collector", "schedule", "alert"},
		with: map[string][]string{
			"web":    {"collector", "web/chart", "web/badge", "web/port"},
			"config": {"alert", "schedule", "history/prometheus"},
		},
	},
	{packages: []string{"alert/alertmanager"}}, // writes what a mail writes
	{packages: []string{"alert/mail"}},
	{packages: []string{"alert/outbox", "history/block"}},
	{packages: []string{"alert/witness", "alert/maintenance"}},
	{packages: []string{"alert/incident", "schedule/discovery", "config/strictyaml", "report", "history", "boltfile"}},
	{
		packages: []string{
			"probe/httpprobe", "probe/tcpprobe", "probe/dnsprobe", "probe/icmpprobe",
			"probe/grpcprobe", "probe/unixprobe", "probe/websocketprobe",
		},
		with: map[string][]string{
			"probe/unixprobe": {"probe/tcpprobe"}, // the conversation of stream protocols
			// A WebSocket begins as an HTTP request, through the proxies and with the credentials of an http_config.
			"probe/websocketprobe": {"probe/httpprobe", "probe/tcpprobe"},
		},
	},
	{packages: []string{"probe/httpprobe/checks"}}, // among others by expressions over JSON
	{packages: []string{"probe/httpprobe/content", "probe/httpprobe/frames", "probe/httpprobe/jsoncel", "probe/httpprobe/weburl"}},
	{packages: []string{"probe/tlsclient", "probe/guard", "probe/probetest"}},
	{packages: []string{"probe/network"}},
	{packages: []string{"probe/option"}},
	{packages: []string{"probe"}},
	{packages: []string{"redact"}},
}

// assembles says that a package may import everything: programs and tests that put parts together.
func assembles(pkg string) bool {
	top, _, _ := strings.Cut(pkg, "/")
	return top == "e2e" || top == "bench"
}

// theirImports names the packages that may use a module (by the beginning of its import path) that has its one place.
var theirImports = map[string][]string{
	"github.com/alecthomas/kingpin/":                 {"cli"},
	"github.com/prometheus/exporter-toolkit/":        {"server"},
	"github.com/prometheus/client_golang/prometheus": {"collector", "web", "server", "schedule/discovery"}, // Prometheus's discovery has metrics
	"github.com/prometheus/client_golang/api":        {"history/prometheus"},
	"go.yaml.in/yaml/":                               {"config", "config/strictyaml"},
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
	if top, err := filepath.Glob("../*.go"); err != nil || !slices.Equal(top, []string{"../main.go"}) {
		t.Errorf("beside main.go there is %q (%v); commands belong into cli, the rest into server", top, err)
	}
	for _, pkg := range []string{"", "cli", "server", "probe", "collector", "config", "web"} {
		if !seen[pkg] {
			t.Errorf("no file of package %q was looked at: the test looks in the wrong place", pkg)
		}
	}
}

// TestDesignListsEveryDirectDependency: what is imported, and nothing else.
func TestDesignListsEveryDirectDependency(t *testing.T) {
	var modules []string
	for _, line := range regexp.MustCompile(`(?m)^\t(\S+) v\S+`).FindAllStringSubmatch(readFile(t, "../go.mod"), -1) {
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
	compare(t, "dependencies", direct, rows(section(t, readFile(t, "../docs/design.md"), "## Dependencies")))
}

// goFile is a file of ours and what it imports.
type goFile struct {
	path, pkg string // "" is main.go's package
	test      bool
	imports   []string
}

func imports(t *testing.T) (files []goFile) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != ".." && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != ".." {
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
		f := goFile{path: path, pkg: strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../"), test: strings.HasSuffix(name, "_test.go")}
		if f.pkg == ".." {
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
	if ours, ok := strings.CutPrefix(imported, "rollcall/"); ok && !assembles(f.pkg) {
		from, known := layerOf(f.pkg)
		to, exists := layerOf(ours)
		switch {
		case !known:
			t.Errorf("%s: package %q stands in no line of layers", f.path, f.pkg)
		case !exists:
			t.Errorf("%s imports %s, which stands in no line of layers", f.path, imported)
		case to < from, to == from && !slices.Contains(layers[from].with[f.pkg], ours):
			t.Errorf("%s imports %s, against the direction of layers", f.path, imported)
		}
	}
	for module, allowed := range theirImports {
		if strings.HasPrefix(imported, module) && !slices.Contains(allowed, f.pkg) {
			t.Errorf("%s imports %s, which only these packages may: %q", f.path, imported, allowed)
		}
	}
}

func layerOf(pkg string) (line int, known bool) {
	line = slices.IndexFunc(layers, func(l layer) bool { return slices.Contains(l.packages, pkg) })
	return line, line >= 0
}

package deploy

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestProgramTypeChecksOnOtherPlatforms type-checks the program and all its imports for platforms that `make vet` does not
// cover. Compiling for them would take minutes.
func TestProgramTypeChecksOnOtherPlatforms(t *testing.T) {
	for _, platform := range []string{"windows/amd64", "freebsd/amd64"} {
		t.Run(platform, func(t *testing.T) {
			os, arch, _ := strings.Cut(platform, "/")
			program := load(t, os, arch)
			packages.Visit([]*packages.Package{program}, nil, func(p *packages.Package) {
				for _, err := range p.Errors {
					t.Errorf("%s: %v", p.PkgPath, err)
				}
			})
		})
	}
}

func load(t *testing.T, goos, goarch string) *packages.Package {
	t.Helper()
	loaded, err := packages.Load(&packages.Config{
		Context: t.Context(), Dir: "..",
		Env:  append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOWORK=off"),
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedTypesSizes,
	}, ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) != 1 || loaded[0].Name != "main" {
		t.Fatalf("loaded %v, want the program", loaded)
	}
	return loaded[0]
}

//go:build unix

package e2e

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// makeDist builds the packages for this machine's platform and returns their directory.
func makeDist(t *testing.T, shell string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "dist")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", shell+` exec make -s dist VERSION=v1.2.3-rc1 REVISION=abcdef`)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "PLATFORMS=linux/amd64", "DIST="+dir, "LEVEL=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make dist: %v\n%s", err, out)
	}
	return dir
}

const (
	archive       = "rollcall-1.2.3-rc1.linux-amd64.tar.gz"
	billOfContent = "rollcall-1.2.3-rc1.linux-amd64.cdx.json"
	debianPackage = "rollcall_1.2.3~rc1_amd64.deb"
)

func TestPackages(t *testing.T) {
	t.Parallel()
	find(t, "dpkg-deb", "dpkg")
	dist := makeDist(t, "")
	sums := readFile(t, filepath.Join(dist, "SHA256SUMS"))
	for _, name := range []string{archive, billOfContent, debianPackage} {
		if !regexp.MustCompile(`(?m)^[0-9a-f]{64}  ` + regexp.QuoteMeta(name) + `$`).MatchString(sums) {
			t.Errorf("SHA256SUMS lacks %s:\n%s", name, sums)
		}
	}

	t.Run("another builder gets the same", func(t *testing.T) {
		again := readFile(t, filepath.Join(makeDist(t, "umask 077; export TZ=Pacific/Auckland LC_ALL=C;"), "SHA256SUMS"))
		if sums != again {
			t.Errorf("two builds of the same source differ:\n%s\n%s", sums, again)
		}
	})
	t.Run("archive", func(t *testing.T) { tryArchive(t, dist) })
	t.Run("debian package", func(t *testing.T) { tryDebianPackage(t, filepath.Join(dist, debianPackage)) })
}

func TestPackageVersionsSortByAge(t *testing.T) {
	find(t, "dpkg", "dpkg")
	const year = 365 * 24 * 60 * 60
	ages := []struct { // the oldest first
		version string
		commit  int
		want    string
	}{
		{"f00dbab", 50 * year, "0~20191220.000000+f00dbab"},
		{"481d088", 51 * year, "0~20201219.000000+481d088"},
		{"000e123-dirty", 52 * year, "0~20211219.000000+000e123+dirty"},
		{"v1.0.0-rc1", 53 * year, "1.0.0~rc1"},
		{"v1.0.0", 54 * year, "1.0.0"},
		{"v1.0.0-5-gf00dbab", 55 * year, "1.0.0+5+gf00dbab"},
		{"v1.1.0", 56 * year, "1.1.0"},
	}
	for i, age := range ages {
		cmd := exec.CommandContext(t.Context(), "sh", "../deploy/package/debian-version", age.version)
		cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", age.commit), "TZ=Pacific/Auckland")
		out, err := cmd.Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != age.want {
			t.Errorf("%s becomes %q (%v), want %q", age.version, got, err, age.want)
		}
		if i > 0 {
			run(t, "dpkg", "--compare-versions", ages[i-1].want, "lt", age.want)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tryArchive unpacks the archive, runs its binary and compares the binary's modules with the SBOM.
func tryArchive(t *testing.T, dist string) {
	dir := t.TempDir()
	run(t, "tar", "-C", dir, "-xzf", filepath.Join(dist, archive))
	tree := filepath.Join(dir, strings.TrimSuffix(archive, ".tar.gz"))
	binary := filepath.Join(tree, "rollcall")
	if out := run(t, binary, "--version"); !strings.HasPrefix(out, "rollcall, version v1.2.3-rc1 (branch: , revision: abcdef)") {
		t.Errorf("--version says %q", out)
	}
	run(t, binary, "--config.check", "--config.file="+filepath.Join(tree, "deploy/rollcall.yml"))
	for _, name := range []string{"LICENSE", "README.md", "rollcall.1", "completions/_rollcall", "deploy/systemd/rollcall.service"} {
		if readFile(t, filepath.Join(tree, name)) == "" {
			t.Errorf("%s is empty", name)
		}
	}

	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"std": strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		want[m.Path] = m.Version
	}
	var bill struct {
		BOMFormat, SpecVersion string
		Components             []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(dist, billOfContent))), &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BOMFormat != "CycloneDX" || bill.SpecVersion != "1.6" || len(bill.Components) != len(want) {
		t.Errorf("%s %s with %d components, want %d", bill.BOMFormat, bill.SpecVersion, len(bill.Components), len(want))
	}
	for _, c := range bill.Components {
		if want[c.Name] != c.Version || !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("listed %+v, the binary has %q", c, want[c.Name])
		}
	}
}

// tryDebianPackage installs the package into a separate root, checks every part, and removes it completely.
func tryDebianPackage(t *testing.T, deb string) {
	root := t.TempDir()
	for _, dir := range []string{"info", "updates"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) {
		run(t, "dpkg", append([]string{"--root=" + root, "--log=" + filepath.Join(root, "log"), "--force-not-root", "--force-script-chrootless"}, args...)...)
	}
	dpkg("--install", deb)
	for _, path := range []string{"usr/bin/rollcall", "etc/rollcall/rollcall.yml", "usr/share/man/man1/rollcall.1.gz", "usr/lib/systemd/system/rollcall.socket"} {
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Mode()&0o004 == 0 || info.Mode()&0o022 != 0 {
			t.Errorf("/%s: %v %v, want a file that is readable for all and writable for root only", path, info, err)
		}
	}

	run(t, filepath.Join(root, "usr/bin/rollcall"), "--config.check", "--config.file="+filepath.Join(root, "etc/rollcall/rollcall.yml"))

	manual := exec.CommandContext(t.Context(), find(t, "man", "man-db"), "--warnings", "--encoding=UTF-8", "--local-file", filepath.Join(root, "usr/share/man/man1/rollcall.1.gz"))
	// Wide enough for the longest word; otherwise man warns that it cannot adjust a line.
	manual.Env = append(os.Environ(), "MANWIDTH=250")
	var complaints strings.Builder
	manual.Stderr = &complaints
	if page, err := manual.Output(); err != nil || complaints.Len() > 0 || !strings.Contains(string(page), "--config.file") {
		t.Errorf("man: %v %s\nand a page of %d bytes", err, complaints.String(), len(page))
	}

	completion := exec.CommandContext(t.Context(), find(t, "bash", "bash"), "-c", `
		. "$1"
		complete -p rollcall
		COMP_WORDS=(rollcall --config.f) COMP_CWORD=1
		_rollcall_bash_autocomplete
		echo "${COMPREPLY[@]}"`, "-", filepath.Join(root, "usr/share/bash-completion/completions/rollcall"))
	completion.Env = append(os.Environ(), "PATH="+filepath.Join(root, "usr/bin")+":"+os.Getenv("PATH"))
	if out, err := completion.CombinedOutput(); err != nil || !strings.Contains(string(out), "\n--config.file") {
		t.Errorf("the completion of --config.f: %v\n%s", err, out)
	}

	config := filepath.Join(root, "etc/rollcall/rollcall.yml")
	if err := os.WriteFile(config, []byte("modules: {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg("--install", deb) // an upgrade
	if text := readFile(t, config); text != "modules: {}\n" {
		t.Errorf("an upgrade overwrites the changed configuration:\n%s", text)
	}
	if err := os.MkdirAll(filepath.Join(root, "var/lib/private/rollcall"), 0o700); err != nil {
		t.Fatal(err)
	}
	dpkg("--purge", "rollcall")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.Contains(entry.Name(), "rollcall") {
			t.Errorf("%s is not removed", strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

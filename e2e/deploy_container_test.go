//go:build unix

package e2e

import (
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// maxImageBytes is the limit for all files in the image, uncompressed.
const maxImageBytes = 45_000_000

// buildah builds and runs images without a daemon, in a store that is deleted after the test.
type buildah struct {
	command []string
}

func newBuildah(t *testing.T) buildah {
	t.Helper()
	program := find(t, "buildah", "buildah")
	// In a short directory: the store has sockets, whose paths are limited.
	dir, err := os.MkdirTemp("", "rollcall-image")
	if err != nil {
		t.Fatal(err)
	}
	b := buildah{command: []string{program, "--storage-driver=vfs", "--root=" + filepath.Join(dir, "root"), "--runroot=" + filepath.Join(dir, "run")}}
	if os.Getuid() != 0 {
		b.command = append([]string{program, "unshare"}, b.command...) // in a new user namespace
	}
	t.Setenv("BUILDAH_ISOLATION", "chroot")
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b buildah) args(args ...string) (program string, all []string) {
	all = append(slices.Clone(b.command), args...)
	return all[0], all[1:]
}

// do runs a buildah command and returns its stdout.
func (b buildah) do(t *testing.T, args ...string) string {
	t.Helper()
	program, all := b.args(args...)
	return run(t, program, all...)
}

// run runs a program in the repository's root and returns its stdout.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// buildImage builds the Dockerfile. Instead of golang:… it uses an image with this machine's Go, modules and shell, so that
// nothing is pulled.
func buildImage(t *testing.T, b buildah) (image string) {
	t.Helper()
	run(t, "go", "mod", "download")
	env := strings.Split(strings.TrimSpace(run(t, "go", "env", "GOROOT", "GOMODCACHE", "GOCACHE")), "\n")
	base := t.TempDir()
	for _, dir := range []string{"usr", "tmp", "go/root", "go/modules", "go/cache", "etc/ssl/certs"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	authorities, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "etc/ssl/certs/ca-certificates.crt"), authorities, 0o644); err != nil {
		t.Fatal(err)
	}
	recipe := writeFile(t, "Dockerfile", "FROM scratch\nCOPY . /\nENV PATH=/go/root/bin:/usr/bin GOPROXY=off GOMODCACHE=/go/modules GOCACHE=/go/cache\n")
	b.do(t, "bud", "-q", "-t", "localhost/go", "-f", recipe, base)
	b.do(t, "bud", "-q", "-t", "localhost/rollcall", "--format=docker", "--build-arg=GO_IMAGE=localhost/go",
		"--build-arg=VERSION=1.2.3", "--build-arg=REVISION=abcdef", "--build-arg=SOURCE_DATE_EPOCH=1700000000",
		"-v=/usr:/usr:ro", "-v="+env[0]+":/go/root:ro", "-v="+env[1]+":/go/modules", "-v="+env[2]+":/go/cache", ".")
	return "localhost/rollcall"
}

func TestImage(t *testing.T) {
	b := newBuildah(t)
	image := buildImage(t, b)

	t.Run("settings", func(t *testing.T) {
		var got struct {
			Docker struct {
				Config struct {
					User, WorkingDir string
					Entrypoint, Env  []string
					Volumes          map[string]struct{}
					ExposedPorts     map[string]struct{}
					Labels           map[string]string
					Healthcheck      struct{ Test []string }
				}
			}
		}
		if err := json.Unmarshal([]byte(b.do(t, "inspect", "--type=image", image)), &got); err != nil {
			t.Fatal(err)
		}
		c := got.Docker.Config
		if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/rollcall"}) || !slices.Contains(c.Env, "ZONEINFO=/zoneinfo.zip") {
			t.Errorf("user %q, entry point %q, environment %q", c.User, c.Entrypoint, c.Env)
		}
		if _, ok := c.Volumes["/data"]; !ok {
			t.Errorf("volumes %v, want /data", c.Volumes)
		}
		if _, ok := c.ExposedPorts["9115/tcp"]; !ok {
			t.Errorf("ports %v, want 9115", c.ExposedPorts)
		}
		if want := []string{"CMD", "/rollcall", "healthcheck"}; !slices.Equal(c.Healthcheck.Test, want) {
			t.Errorf("health check %q, want %q", c.Healthcheck.Test, want)
		}
		for name, want := range map[string]string{"title": "rollcall", "licenses": "Apache-2.0", "version": "1.2.3", "revision": "abcdef"} {
			if got := c.Labels["org.opencontainers.image."+name]; got != want {
				t.Errorf("label %s is %q, want %q", name, got, want)
			}
		}
	})

	container := strings.TrimSpace(b.do(t, "from", image))
	root := strings.TrimSpace(b.do(t, "mount", container))

	t.Run("content", func(t *testing.T) { checkContent(t, root) })

	t.Run("the same binary as make build", func(t *testing.T) {
		binary := filepath.Join(t.TempDir(), "rollcall")
		run(t, "make", "-s", "build", "VERSION=1.2.3", "REVISION=abcdef", "SOURCE_DATE_EPOCH=1700000000", "BINARY="+binary)
		here, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		inside, err := os.ReadFile(filepath.Join(root, "rollcall"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(here, inside) {
			t.Errorf("two builds of the same source differ: %d and %d bytes", len(here), len(inside))
		}
	})

	t.Run("serves", func(t *testing.T) {
		program, args := b.args("run", container, "--", "/rollcall", "--web.listen-address=127.0.0.1:0")
		server := start(t, program, args...)
		t.Cleanup(func() { // buildah ends its container only on SIGTERM
			_ = server.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-server.done:
			case <-time.After(patience):
				t.Error("the container does not end")
			}
		})
		address := server.await(t, `msg="rollcall listens" address=(\S+)`)[1]
		up := zoo.HTTP(t, zoo.Site())
		if reply := get(t, "http://"+address+"/probe?target="+up); !strings.Contains(reply, "\nprobe_success 1\n") {
			t.Errorf("a good target is down:\n%s", reply)
		}
		if out := b.do(t, "run", container, "--", "/rollcall", "healthcheck", "--web.listen-address="+address); out != "alive\n" {
			t.Errorf("the health check says %q", out)
		}
	})
}

// checkContent checks every file in the image.
func checkContent(t *testing.T, root string) {
	var size int64
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		files = append(files, strings.TrimPrefix(path, root))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/etc/ssl/certs/ca-certificates.crt", "/rollcall", "/zoneinfo.zip"}; !slices.Equal(files, want) {
		t.Errorf("files %q, want %q", files, want)
	}
	if size > maxImageBytes {
		t.Errorf("%d bytes, want at most %d", size, maxImageBytes)
	}
	data, err := os.Stat(filepath.Join(root, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := data.Sys().(*syscall.Stat_t); os.Getuid() == 0 && (owner.Uid != 65532 || owner.Gid != 65532) {
		t.Errorf("/data belongs to %d:%d: the outbox cannot be written", owner.Uid, owner.Gid)
	}
	binary, err := elf.Open(filepath.Join(root, "rollcall"))
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the binary needs a dynamic linker")
	}
	authorities, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(authorities)
	if block == nil {
		t.Fatal("there are no CA certificates")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Errorf("the first CA certificate: %v", err)
	}
}

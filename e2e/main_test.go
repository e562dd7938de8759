//go:build unix

// Package e2e tests the real binary with real programs, e.g. Prometheus, Alertmanager and a browser. `make peers` installs
// them. It does not test packages from inside.
package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// rollcall is the path of the binary under test, built once like a release.
var rollcall string

// patience bounds every wait for another process, which may start slowly on a busy machine.
const patience = 60 * time.Second

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rollcall-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	rollcall = filepath.Join(dir, "rollcall")
	build := exec.Command("go", "build", "-trimpath", "-o", rollcall, "rollcall")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building rollcall: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a program in the background.
type process struct {
	name string
	cmd  *exec.Cmd
	out  zoo.Output    // stdout and stderr
	done chan struct{} // closed when it has ended
}

func (p *process) text() string { return p.out.String() }

// find returns the path of a program of another project.
func find(t *testing.T, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is needed: install the Debian package %s, or run `make peers` as root", name, debianPackage)
	}
	return path
}

// start runs a program until the test ends, and kills it then if it is still running.
func start(t *testing.T, path string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(path, args...))
}

func startCommand(t *testing.T, command *exec.Cmd) *process {
	t.Helper()
	p := &process{name: filepath.Base(command.Path), cmd: command, done: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // ProcessState has the result
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended already
		<-p.done
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.text())
		}
	})
	return p
}

// await waits for the first match of pattern in the output and returns its groups.
func (p *process) await(t *testing.T, pattern string) []string {
	t.Helper()
	match := p.out.Await(regexp.MustCompile(pattern), p.done, patience)
	if match == nil {
		t.Fatalf("%s does not print %q", p.name, pattern)
	}
	return match
}

// startRollcall serves on a free loopback port and returns the base URL with the process.
func startRollcall(t *testing.T, args ...string) (url string, p *process) {
	t.Helper()
	p = start(t, rollcall, append([]string{"--web.listen-address=127.0.0.1:0"}, args...)...)
	return "http://" + p.await(t, `msg="rollcall listens" address=(\S+)`)[1], p
}

// stop sends SIGTERM to a process, like an operator, and wants exit code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s does not end", p.name)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s ended with %d", p.name, code)
	}
}

// get returns the body of a reply with status 200.
func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s\n%s", url, resp.Status, body)
	}
	return string(body)
}

// writeFile writes a file into a directory that is removed after the test.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// eventually calls check until it succeeds, and fails with its last message.
func eventually(t *testing.T, ask func() (yes bool, said string)) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		yes, said := ask()
		if yes {
			return
		}
		select {
		case <-every.C:
		case <-deadline.C:
			t.Fatalf("the condition is not met; last: %s", said)
		}
	}
}

// browserProfile is a directory for chromium, whose helpers may still write into it for a moment after the browser has
// ended: t.TempDir would fail the test for that.
func browserProfile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rollcall-browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for tries := 0; os.RemoveAll(dir) != nil && tries < 50; tries++ {
			time.Sleep(100 * time.Millisecond)
		}
	})
	return dir
}

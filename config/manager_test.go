package config

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	oneModule  = "modules:\n  one: {prober: grpc}\n"
	twoModules = "modules:\n  one: {prober: grpc}\n  two: {prober: grpc}\n"
	broken     = "modules:\n  one: {prober: gopher}\n"
)

func TestReloadReplacesTheConfigurationAsAWhole(t *testing.T) {
	path, m := manage(t, oneModule)
	var handed *Config
	m.OnReload(func(c *Config) { handed = c })
	before := m.Current()
	writeFile(t, path, twoModules)
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := len(m.Current().Names()); got != 2 {
		t.Errorf("modules after the reload: got %d, want 2", got)
	}
	if handed != m.Current() {
		t.Error("the hook did not get the configuration in force")
	}
	if len(before.Names()) != 1 {
		t.Error("the configuration that a request may still use was changed")
	}
}

func TestReloadOfABrokenFileChangesNothing(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"broken":       func(t *testing.T, path string) { writeFile(t, path, broken) },
		"half-written": func(t *testing.T, path string) { writeFile(t, path, "modules:\n  one: {pro") },
		"empty":        func(t *testing.T, path string) { writeFile(t, path, "") },
		"gone": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"a directory": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, m := manage(t, oneModule)
			reloads := 0
			m.OnReload(func(*Config) { reloads++ })
			before := m.Current()
			_, loaded := m.LastReload()
			spoil(t, path)
			err := m.Reload()
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("error: got %v, want one that names %s", err, path)
			}
			if m.Current() != before || reloads != 0 {
				t.Error("the configuration changed")
			}
			if ok, at := m.LastReload(); ok || !at.Equal(loaded) {
				t.Errorf("last reload: got %v at %v, want a failure, and the success at %v", ok, at, loaded)
			}
			_ = os.Remove(path)
			writeFile(t, path, oneModule)
			if err := m.Reload(); err != nil {
				t.Fatal(err)
			}
			if ok, _ := m.LastReload(); !ok || reloads != 1 {
				t.Error("the repaired file did not count as a success")
			}
		})
	}
}

func TestOptionalFileMayComeLaterAndThenMustStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rollcall.yml")
	m, err := NewOptionalManager(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(m.Current().Names()), len(Default().Names()); got != want {
		t.Errorf("modules without a file: got %d, want the built-in %d", got, want)
	}
	if err := m.Reload(); err != nil {
		t.Errorf("reloading without a file: %v", err)
	}
	writeFile(t, path, oneModule)
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(); err == nil || len(m.Current().Names()) != 1 {
		t.Errorf("a file that vanished: got %v and %v, want an error and the file's last module", err, m.Current().Names())
	}
}

func TestConfigurationThatIsRefusedIsNotUsed(t *testing.T) {
	path, m := manage(t, oneModule)
	refusal := errors.New("no room")
	m.BeforeReload(func(*Config) error { return refusal })
	m.OnReload(func(*Config) { t.Error("a refused configuration was handed out") })
	writeFile(t, path, twoModules)
	if err := m.Reload(); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
	if ok, _ := m.LastReload(); ok || len(m.Current().Names()) != 1 {
		t.Errorf("the reload counts as a success: %v, modules %v", ok, m.Current().Names())
	}
}

func TestReloadsFromManySidesDoNotMix(t *testing.T) {
	path, m := manage(t, oneModule)
	running := 0
	m.OnReload(func(c *Config) {
		if running++; running != 1 {
			t.Error("two reloads ran at once")
		}
		if c != m.Current() {
			t.Error("the hook got another configuration than the one in force")
		}
		running--
	})
	var reloads sync.WaitGroup
	for i := range 8 {
		reloads.Go(func() {
			writeFile(t, path, []string{oneModule, twoModules, broken}[i%3])
			_ = m.Reload() // a file in the middle of being written may be broken
			if n := len(m.Current().Names()); n != 1 && n != 2 {
				t.Errorf("a mixed configuration of %d modules", n)
			}
		})
	}
	reloads.Wait()
}

func TestWatchReloadsWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 30 * time.Second
		dir := t.TempDir()
		path, secret := filepath.Join(dir, "rollcall.yml"), filepath.Join(dir, "secret")
		writeFile(t, path, oneModule)
		var log bytes.Buffer
		m, err := NewManager(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		reloads := 0
		m.OnReload(func(*Config) { reloads++ })
		ctx, cancel := context.WithCancel(t.Context())
		var watch sync.WaitGroup
		watch.Go(func() { m.Watch(ctx, interval) })
		expect := func(what string, want int, ok bool) {
			t.Helper()
			time.Sleep(2 * interval) // in the bubble's clock: nothing waits
			synctest.Wait()
			if reloads != want {
				t.Errorf("%s: %d reloads, want %d", what, reloads, want)
			}
			if got, _ := m.LastReload(); got != ok {
				t.Errorf("%s: last reload ok: got %v, want %v", what, got, ok)
			}
		}
		expect("nothing changed", 0, true)
		writeFile(t, path, twoModules)
		expect("changed", 1, true)
		expect("not changed again", 1, true)
		writeFile(t, path, broken)
		expect("broken", 1, false)
		said := log.Len()
		expect("still broken", 1, false)
		if log.Len() != said {
			t.Error("the same broken file was complained about twice")
		}
		writeFile(t, path, "modules:\n  one: {prober: http, http: {basic_auth: {username: u, password_file: "+secret+"}}}\n")
		writeFile(t, secret, "first")
		expect("repaired, names a file", 2, true)
		writeFile(t, secret, "second")
		expect("the named file changed", 3, true)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expect("gone", 3, false)
		writeFile(t, path, oneModule)
		expect("back", 4, true)
		cancel()
		watch.Wait()
	})
}

// TestWatchTakesNoHalfFile: each part of a file that is written slowly is valid, and has no guard.
func TestWatchTakesNoHalfFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 30 * time.Second
		whole := oneModule + "guard: {deny: [127.0.0.1]}\ntargets:\n- {module: one, target: 'a:1'}\n"
		path := filepath.Join(t.TempDir(), "rollcall.yml")
		writeFile(t, path, whole)
		m, err := NewManager(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var taken []string
		m.OnReload(func(c *Config) { taken = append(taken, string(c.YAML())) })
		ctx, cancel := context.WithCancel(t.Context())
		var watch sync.WaitGroup
		watch.Go(func() { m.Watch(ctx, interval) })
		changed := strings.ReplaceAll(whole, "a:1", "b:1")
		lines := strings.SplitAfter(changed, "\n")
		for n := 1; n <= len(lines); n++ {
			writeFile(t, path, strings.Join(lines[:n], ""))
			time.Sleep(interval)
			synctest.Wait()
		}
		time.Sleep(2 * interval)
		synctest.Wait()
		cancel()
		watch.Wait()
		if len(taken) != 1 || !strings.Contains(taken[0], "b:1") || !strings.Contains(taken[0], "deny") {
			t.Errorf("taken: %q", taken)
		}
	})
}

// manage starts a Manager for a file with that content.
func manage(t *testing.T, content string) (string, *Manager) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rollcall.yml")
	writeFile(t, path, content)
	m, err := NewManager(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return path, m
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Error(err)
	}
}

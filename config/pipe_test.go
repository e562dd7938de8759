//go:build unix

package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A shell's <(…) is a pipe: it can be loaded, but not again, and a reload does not wait for it.
func TestPipeIsLoadedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(path, []byte("modules: {a: {prober: tcp}}"), 0) }()
	m, err := NewManager(path, slog.New(slog.DiscardHandler))
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(); err == nil || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("the reload: %v", err)
	}
	if _, err := m.Current().Module("a"); err != nil {
		t.Error(err)
	}
}

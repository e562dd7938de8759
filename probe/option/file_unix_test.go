//go:build unix

package option

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe may take the place of a file that was read before.
func TestPipeInPlaceOfAFileBlocksNoProbe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "secret")
	f, err := OpenFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Unlink(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f.files.next.Store(0) // it is time to look
	if content, err := f.Read(); err != nil || string(content) != "secret" {
		t.Errorf("it says %q, %v", content, err)
	}
	if err := f.files.state.Load().err; err == nil || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("the pipe was noticed as %v", err)
	}
}

//go:build unix

package probe

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Opening a pipe waits for its other end, and reading a device may never end.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	pipe, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, kind := range map[string]string{pipe: "a pipe", socket: "a socket", dir: "a directory", "/dev/zero": "a device"} {
		_, err := ReadFile(path)
		if err == nil || !strings.Contains(err.Error(), kind+"; accepted: a regular file") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", kind, err)
		}
		for option, yaml := range map[string]string{
			"body_file":                "body_file: %s",
			"basic_auth.password_file": "basic_auth: {username: u, password_file: %s}",
			"http_headers.X.files[0]":  "http_headers: {X: {files: [%s]}}",
			"tls_config.ca_file":       "tls_config: {ca_file: %s}",
		} {
			if _, err := compileHTTP(fmt.Sprintf(yaml, path)); err == nil || !strings.Contains(err.Error(), option+": ") {
				t.Errorf("%s as %s: %v", kind, option, err)
			}
		}
	}
}

// Somebody may put a pipe in the place of a file that was read before.
func TestPipeInPlaceOfAFileBlocksNoProbe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "secret")
	f, err := watchFile(path, true)
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
	if content, err := f.read(); err != nil || string(content) != "secret" {
		t.Errorf("it says %q, %v", content, err)
	}
	if err := f.files.state.Load().err; err == nil || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("the pipe was noticed as %v", err)
	}
}

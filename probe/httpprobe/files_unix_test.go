//go:build unix

package httpprobe

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rollcall/probe/option"
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
		_, err := option.ReadFile(path)
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

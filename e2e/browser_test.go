//go:build unix

package e2e

import (
	"bytes"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// TestBrowserShowsProbes: the page has its content, and the browser's console is empty; it would name e.g. a style sheet
// that the page's security policy forbids.
func TestBrowserShowsProbes(t *testing.T) {
	base, _ := startRollcall(t)
	target := zoo.Refused(t)
	get(t, base+"/probe?module=tcp_connect&target="+target)

	page, console := browse(t, base+"/probes")
	for _, want := range []string{"<form", target, "connection refused"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	if console != "" {
		t.Errorf("the console is not empty:\n%s", console)
	}
}

// TestBrowserConsoleIsRead makes sure that the other test can fail: a forbidden style sheet appears in the console.
func TestBrowserConsoleIsRead(t *testing.T) {
	site := zoo.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<style>p { color: red }</style><p>forbidden`))
	}))
	if _, console := browse(t, "http://"+site+"/"); console == "" {
		t.Error("a forbidden style sheet left the console empty")
	}
}

// browse returns the document that the browser built and the lines of its console.
func browse(t *testing.T, url string) (page, console string) {
	t.Helper()
	chromium := find(t, "chromium", "chromium")
	command := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-extensions", "--user-data-dir="+browserProfile(t), "--enable-logging=stderr", "--dump-dom", url)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.Contains(line, "CONSOLE") {
			console += line
		}
	}
	return stdout.String(), console
}

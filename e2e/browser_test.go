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

// TestABrowserShowsTheLandingPage: the page holds what it should, and the browser has nothing to complain of, such as
// a style sheet that the page's own security policy forbids.
func TestABrowserShowsTheLandingPage(t *testing.T) {
	base, _ := startRollcall(t)
	target := zoo.Refused(t)
	get(t, base+"/probe?module=tcp_connect&target="+target)

	page, complaints := browse(t, base+"/")
	for _, want := range []string{"<form", target, "connection_refused"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	if complaints != "" {
		t.Errorf("the browser complains:\n%s", complaints)
	}
}

// TestABrowserComplains holds the other test upright: what it looks for is said when there is cause.
func TestABrowserComplains(t *testing.T) {
	site := zoo.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<style>p { color: red }</style><p>forbidden`))
	}))
	if _, complaints := browse(t, "http://"+site+"/"); complaints == "" {
		t.Error("a forbidden style sheet brought no complaint")
	}
}

// browse returns the page as the browser understood it, and the lines of its console.
func browse(t *testing.T, url string) (page, console string) {
	t.Helper()
	chromium := find(t, "chromium", "chromium")
	command := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-extensions", "--user-data-dir="+t.TempDir(), "--enable-logging=stderr", "--dump-dom", url)
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

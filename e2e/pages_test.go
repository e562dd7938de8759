//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/e2e/devtools"
	"rollcall/e2e/past"
)

var looks = []devtools.View{
	{Name: "light", Width: 1280, Scale: 1, Scheme: "light"},
	{Name: "dark", Width: 1280, Scale: 1, Scheme: "dark"},
	{Name: "phone", Width: 360, Scale: 1, Scheme: "light", Mobile: true},
}

// startWithPast starts rollcall with n targets of which a past is known. They are on loopback, and probed once a day.
func startWithPast(t *testing.T, n int) (base string, targets []past.Target) {
	t.Helper()
	storage, now := t.TempDir(), time.Now()
	length, every := 8*24*time.Hour, 30*time.Minute
	if n > 100 {
		length, every = 24*time.Hour, time.Hour
	}
	targets = past.Sample(n, every, now)
	for i := range targets {
		targets[i].Target.Target = fmt.Sprintf("127.%d.%d.%d:9", 1+i>>14, i>>7&127, 1+i&127)
		targets[i].Module, targets[i].Prober = "tcp_connect", "tcp"
		if targets[i].Stage == "check" {
			targets[i].Reason = "body_regexp"
		}
	}
	if n > 0 {
		if err := past.Write(t.Context(), storage, targets, length, now); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(storage, "rollcall.yml")
	if err := os.WriteFile(file, past.Config(targets, 24*time.Hour), 0o600); err != nil {
		t.Fatal(err)
	}
	base, _ = startRollcall(t, "--config.file="+file, "--storage.path="+storage)
	eventually(t, func() (bool, string) {
		metrics := get(t, base+"/metrics")
		return n == 0 || strings.Contains(metrics, fmt.Sprintf("\nrollcall_history_targets %d\n", n)) ||
			strings.Contains(metrics, fmt.Sprintf("\nrollcall_history_targets %g\n", float64(n))), "the history is not read"
	})
	return base, targets
}

func startBrowser(t *testing.T) *devtools.Browser {
	t.Helper()
	find(t, "chromium", "chromium")
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	browser, err := devtools.Start(ctx, &running, browserProfile(t))
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	if err != nil {
		t.Fatal(err)
	}
	return browser
}

// inspect opens a page and wants an empty console and nothing wider than the window.
func inspect(t *testing.T, browser *devtools.Browser, url string, v devtools.View) {
	t.Helper()
	if err := browser.Open(url, v); err != nil {
		t.Fatalf("%s, %s: %v", url, v.Name, err)
	}
	var width struct{ Content, Window int }
	if err := browser.Evaluate(`({Content: document.documentElement.scrollWidth, Window: window.innerWidth})`, &width); err != nil {
		t.Fatal(err)
	}
	if width.Content > v.Width {
		t.Errorf("%s, %s: %d pixels wide in a window of %d", url, v.Name, width.Content, v.Width)
	}
	if console := browser.Console(); len(console) > 0 {
		t.Errorf("%s, %s: the console is not empty: %s", url, v.Name, console)
	}
}

// follow gets what the page links to, at most twenty links of the same kind.
func follow(t *testing.T, browser *devtools.Browser, page string) {
	t.Helper()
	var links []string
	script := `[...new Set([...document.querySelectorAll("[href],[src]")].map(e => (e.href || e.src).split("#")[0]))]`
	if err := browser.Evaluate(script, &links); err != nil || len(links) < 5 {
		t.Fatalf("%s has %d links: %v", page, len(links), err)
	}
	kinds := map[string]int{}
	for _, link := range links {
		kind := regexp.MustCompile(`[0-9a-f]{16}|=.*`).ReplaceAllString(link, "")
		if kinds[kind]++; kinds[kind] > 20 || strings.Contains(link, "debug=true") || strings.Contains(link, "/probe?") {
			continue
		}
		reply, err := http.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, reply.Body)
		reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			t.Errorf("%s links to %s, which is %s", page, link, reply.Status)
		}
	}
}

// TestPagesInBrowser opens the pages with few and many targets in a real browser.
func TestPagesInBrowser(t *testing.T) {
	browser := startBrowser(t)
	for _, n := range []int{0, 3, 30, 1000, 10_000} {
		base, targets := startWithPast(t, n)
		paths := []string{"/", "/incidents", "/probes", "/config"}
		if n > 0 {
			paths = append(paths, "/?range=7d&sort=uptime", "/?state=down", "/target/"+targets[2].ID(), "/incident/"+incidentOf(t, base))
		}
		for _, path := range paths {
			for _, v := range looks {
				inspect(t, browser, base+path, v)
			}
			follow(t, browser, path)
		}
		if n == 10_000 {
			begin := time.Now()
			page := get(t, base+"/")
			t.Logf("/ with %d targets: %d bytes in %v", n, len(page), time.Since(begin))
			if len(page) > 1<<20 {
				t.Errorf("/ with %d targets has %d bytes", n, len(page))
			}
		}
	}
}

func incidentOf(t *testing.T, base string) string {
	t.Helper()
	var reply struct{ Incidents []struct{ ID string } }
	if err := json.Unmarshal([]byte(get(t, base+"/api/v1/incidents")), &reply); err != nil || len(reply.Incidents) == 0 {
		t.Fatalf("%d incidents: %v", len(reply.Incidents), err)
	}
	return reply.Incidents[0].ID
}

// TestFilterWhileTyping: the script reads the page again without loading it.
func TestFilterWhileTyping(t *testing.T) {
	base, _ := startWithPast(t, 30)
	browser := startBrowser(t)
	inspect(t, browser, base+"/", looks[0])
	var found struct {
		Before, After        int
		Address, Kept, Range string
	}
	err := browser.Evaluate(`(async () => {
		const rows = () => document.querySelectorAll("#all ~ table .c-beats svg").length;
		const input = document.querySelector("input[name=q]");
		const before = rows();
		window.kept = "yes";
		input.value = "gateway";
		input.dispatchEvent(new Event("input", {bubbles: true}));
		for (let i = 0; i < 200 && rows() === before; i++) await new Promise(r => setTimeout(r, 50));
		return {Before: before, After: rows(), Address: location.search, Kept: window.kept, Range: document.querySelector("#ranges a:last-child").search};
	})()`, &found)
	if err != nil {
		t.Fatal(err)
	}
	if found.Before != 30 || found.After != 6 || found.Address != "?q=gateway" || found.Kept != "yes" || found.Range != "?q=gateway&range=90d" {
		t.Errorf("%+v", found)
	}
	if console := browser.Console(); len(console) > 0 {
		t.Errorf("the console is not empty: %s", console)
	}
}

// TestRefreshInPlace: the script puts new parts in place of the old without loading the page, and keeps the focus.
func TestRefreshInPlace(t *testing.T) {
	base, targets := startWithPast(t, 3)
	browser := startBrowser(t)
	for _, path := range []string{"/", "/target/" + targets[2].ID(), "/incidents"} {
		inspect(t, browser, base+path, looks[0])
		var found struct {
			Before, After, Kept, Focus string
			Parts                      int
		}
		err := browser.Evaluate(`(async () => {
			const updated = () => document.getElementById("updated").dateTime;
			const link = document.querySelector("[data-live] a");
			const focus = link ? link.getAttribute("href") : "";
			if (link) link.focus();
			window.kept = "yes";
			const before = updated();
			for (let i = 0; i < 200 && updated() === before; i++) {
				document.dispatchEvent(new Event("visibilitychange")); // as when the tab is looked at again
				await new Promise(r => setTimeout(r, 100));
			}
			const now = document.activeElement.getAttribute("href") || "";
			return {Before: before, After: updated(), Kept: window.kept, Focus: now === focus ? "kept" : now + " instead of " + focus, Parts: document.querySelectorAll("[data-live]").length};
		})()`, &found)
		if err != nil {
			t.Fatal(err)
		}
		if found.Before == found.After || found.Kept != "yes" || found.Focus != "kept" || found.Parts == 0 {
			t.Errorf("%s: %+v", path, found)
		}
		if console := browser.Console(); len(console) > 0 {
			t.Errorf("%s: the console is not empty: %s", path, console)
		}
	}
}

// TestPagesPrint: on paper there are the facts and no controls, and nothing is wider than a page.
func TestPagesPrint(t *testing.T) {
	base, targets := startWithPast(t, 30)
	browser := startBrowser(t)
	paper := devtools.View{Name: "print", Media: "print", Width: 794, Scale: 1, Scheme: "light"} // A4 at 96 dots an inch
	for path, text := range map[string]string{
		"/": "Uptime", "/target/" + targets[2].ID(): "Response time", "/incidents": "Lasted", "/incident/" + incidentOf(t, base): "First failing probe",
	} {
		inspect(t, browser, base+path, paper)
		var found struct {
			Text     string
			Controls []string
		}
		err := browser.Evaluate(`({
			Text: document.body.innerText,
			Controls: [...document.querySelectorAll("nav, form, .skip, button")].filter(e => e.checkVisibility()).map(e => e.outerHTML.slice(0, 80)),
		})`, &found)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(found.Text, text) || len(found.Controls) > 0 {
			t.Errorf("%s: %q is missing from %.300q, or there are controls: %q", path, text, found.Text, found.Controls)
		}
	}
}

// TestPagesAreAccessible has axe-core look at each page, in each look. npm installs it once into a cache.
func TestPagesAreAccessible(t *testing.T) {
	axe := axeCore(t)
	base, targets := startWithPast(t, 30)
	browser := startBrowser(t)
	get(t, base+"/probe?module=tcp_connect&target=127.0.0.1:9")
	for _, path := range []string{"/", "/?group=Web", "/target/" + targets[2].ID(), "/incidents", "/incident/" + incidentOf(t, base), "/probes", "/config", "/logs?id=1", "/logs?id=99"} {
		for _, v := range looks {
			if err := browser.Open(base+path, v); err != nil {
				t.Fatal(err)
			}
			if err := browser.Evaluate(axe+"; undefined", nil); err != nil {
				t.Fatal(err)
			}
			var violations []struct {
				ID, Help string
				Nodes    []struct{ HTML, FailureSummary string }
			}
			if err := browser.Evaluate(`axe.run().then(r => r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.slice(0, 3).map(n => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`, &violations); err != nil {
				t.Fatal(err)
			}
			for _, found := range violations {
				t.Errorf("%s, %s: %s: %s", path, v.Name, found.ID, found.Help)
				for _, node := range found.Nodes {
					t.Logf("%.200s\n%s", node.HTML, node.FailureSummary)
				}
			}
		}
	}
}

// axeVersion is the version that looks at the pages.
const axeVersion = "4.14.1"

// axeCore returns axe-core's script.
func axeCore(t *testing.T) string {
	t.Helper()
	cache, err := filepath.Abs("../.cache/axe-" + axeVersion)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cache, "node_modules", "axe-core", "axe.min.js")
	if _, err := os.Stat(file); err != nil {
		npm := find(t, "npm", "npm")
		if err := os.MkdirAll(cache, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), npm, "install", "--prefix", cache, "--no-fund", "--no-audit", "--ignore-scripts", "axe-core@"+axeVersion).CombinedOutput(); err != nil {
			t.Fatalf("installing axe-core: %v\n%s", err, out)
		}
	}
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

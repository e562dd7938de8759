//go:build unix

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// docPages returns the path of every Markdown page for users, relative to this directory.
func docPages(t *testing.T) []string {
	t.Helper()
	var pages []string
	for _, pattern := range []string{"../*.md", "../docs/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 10 {
		t.Fatalf("found only %q", pages)
	}
	return pages
}

// TestDocsCommands runs every command of the docs and compares its output; times may differ. The servers that the docs
// name are loopback servers here. The YAML examples of the guides must load; those of SECURITY.md are tested by
// TestStrictSetting.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	find(t, "promtool", "prometheus")
	find(t, "amtool", "prometheus-alertmanager")
	find(t, "curl", "curl")
	deploy, err := filepath.Abs("../deploy")
	if err != nil {
		t.Fatal(err)
	}
	servers := strings.NewReplacer(
		"localhost:9115", sampleRollcall(t),
		"www.example.com", zoo.HTTPS(t, zoo.Config(zoo.Good()), zoo.Site()),
		"old.example.com", zoo.HTTPS(t, zoo.Config(zoo.Expired()), zoo.Site()),
		"db.example.com:5432", zoo.TCP(t, zoo.SayAndClose("hello\r\n")),
		"mail.example.com:25", zoo.Refused(t),
	)
	env := append(os.Environ(), "PATH="+filepath.Dir(rollcall)+":"+os.Getenv("PATH"), "SSL_CERT_FILE="+zoo.CAFile(t), "LC_ALL=C.UTF-8")
	for _, page := range docPages(t) {
		text := readFile(t, page)
		t.Run(filepath.Base(filepath.Dir(page))+"/"+filepath.Base(page), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Symlink(deploy, filepath.Join(dir, "deploy")); err != nil {
				t.Fatal(err)
			}
			for _, step := range steps(text) {
				cmd := exec.CommandContext(t.Context(), "bash", "-c", servers.Replace(step.command))
				cmd.Dir, cmd.Env = dir, env
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%s: %v", step.command, err)
				}
				if !comparable(servers.Replace(step.prints)).MatchString(normal(string(out))) {
					t.Errorf("$ %s\nprints\n%s\nbut the page says\n%s", step.command, out, step.prints)
				}
			}
			if filepath.Base(page) == "SECURITY.md" {
				return
			}
			for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
				checkExample(t, block[1])
			}
		})
	}
}

// checkExample fails t when the program that an example is for refuses it: Prometheus or rollcall.
func checkExample(t *testing.T, text string) {
	t.Helper()
	file := writeFile(t, "example.yml", text)
	cmd := exec.CommandContext(t.Context(), rollcall, "--config.check", "--config.file="+file)
	if strings.HasPrefix(text, "scrape_configs:") {
		cmd = exec.CommandContext(t.Context(), find(t, "promtool", "prometheus"), "check", "config", file)
	}
	cmd.Env = append(os.Environ(), "STATUS_PASSWORD=secret", "API_TOKEN=secret")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, text)
	}
}

type step struct{ command, prints string }

// steps returns the commands of a page: a line that begins with $, continued by lines that begin with >, and the output
// that follows.
func steps(text string) (all []step) {
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, step{command: command})
				continue
			}
			last := &all[len(all)-1]
			if more, ok := strings.CutPrefix(line, "> "); ok {
				last.command += more
			} else {
				last.prints += line
			}
		}
	}
	return all
}

var (
	numbers = regexp.MustCompile(`\d+\.[\d.]+(e[+-]?\d+)?`)
	units   = regexp.MustCompile(`N (µs|ms|s)\b`)
	spaces  = regexp.MustCompile(`[ \t]+`)
)

// normal removes what differs between runs: numbers with a fraction, their units and the width of columns.
func normal(text string) string {
	text = numbers.ReplaceAllString(text, "N")
	text = units.ReplaceAllString(text, "N s")
	return strings.TrimSpace(spaces.ReplaceAllString(text, " "))
}

// comparable turns the output that a page shows into a pattern; a line of three dots stands for any lines.
func comparable(prints string) *regexp.Regexp {
	if strings.TrimSpace(prints) == "..." {
		return regexp.MustCompile(`.`)
	}
	pattern := regexp.QuoteMeta(normal(prints))
	pattern = strings.ReplaceAll(pattern, "\n\\.\\.\\.", `(?s:.*)`)
	pattern = regexp.MustCompile(`^\\\.\\\.\\\.\n`).ReplaceAllString(pattern, `(?s:.*)`)
	return regexp.MustCompile(`^` + pattern + `$`)
}

// TestDocsLinks checks that every relative link and every anchor on the pages leads somewhere.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, page := range docPages(t) {
		for _, link := range links(readFile(t, page)) {
			path, anchor, _ := strings.Cut(link, "#")
			if path == "" {
				path = page
			} else {
				path = filepath.Join(filepath.Dir(page), path)
			}
			checked++
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: the link to %s: %v", page, link, err)
				continue
			}
			if anchor != "" && !anchors(readFile(t, path))[anchor] {
				t.Errorf("%s: the link to %s: %s has no heading with the anchor #%s", page, link, path, anchor)
			}
		}
	}
	if checked < 50 {
		t.Errorf("found only %d links", checked)
	}
}

// TestDocsLinksAreFound makes sure that TestDocsLinks sees links and computes anchors like GitHub does.
func TestDocsLinksAreFound(t *testing.T) {
	text := "[a](b.md#c), ![d](e.png) and [f](https://example.com/)\n# A `probe_x` heading: yes, one\n```\n# no heading\n```\n## rollcall check\n## rollcall check\n"
	if got, want := links(text), []string{"b.md#c", "e.png"}; !slices.Equal(got, want) {
		t.Errorf("links %q, want %q", got, want)
	}
	got := slices.Sorted(maps.Keys(anchors(text)))
	if want := []string{"a-probe_x-heading-yes-one", "rollcall-check", "rollcall-check-1"}; !slices.Equal(got, want) {
		t.Errorf("anchors %q, want %q", got, want)
	}
}

// links returns the targets of the relative links and pictures in a page.
func links(text string) (all []string) {
	for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(link[1], "://") {
			all = append(all, link[1])
		}
	}
	return all
}

// anchors returns the anchors that GitHub gives the headings of a page.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	for _, heading := range regexp.MustCompile(`(?m)^#{1,6} (.+)$`).FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchor = strings.ReplaceAll(anchor, " ", "-")
		name := anchor
		for n := 1; all[name]; n++ {
			name = fmt.Sprintf("%s-%d", anchor, n)
		}
		all[name] = true
	}
	return all
}

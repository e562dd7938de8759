//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// TestGuidesTellTheTruth runs every command of docs/ and compares what it prints. The guides' servers stand on loopback;
// times may differ.
func TestGuidesTellTheTruth(t *testing.T) {
	t.Parallel()
	find(t, "promtool", "prometheus")
	find(t, "amtool", "prometheus-alertmanager")
	find(t, "curl", "curl")
	guides, err := filepath.Glob("../docs/*.md")
	if err != nil || len(guides) < 5 {
		t.Fatalf("found %q (%v): the test looks in the wrong place", guides, err)
	}
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
	for _, guide := range guides {
		text := readFile(t, guide)
		t.Run(filepath.Base(guide), func(t *testing.T) {
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
					t.Errorf("$ %s\nprints\n%s\nnot, as the guide says,\n%s", step.command, out, step.prints)
				}
			}
			for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
				run(t, rollcall, "--config.check", "--config.file="+writeFile(t, "rollcall.yml", block[1]))
			}
			judgeLinks(t, guide, text)
		})
	}
}

type step struct{ command, prints string }

// steps finds the commands: a line that begins with $, those after it that begin with >, and what they print.
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

// normal takes out what differs from run to run: numbers with a fraction, their units and the width of columns.
func normal(text string) string {
	text = numbers.ReplaceAllString(text, "N")
	text = units.ReplaceAllString(text, "N s")
	return strings.TrimSpace(spaces.ReplaceAllString(text, " "))
}

// comparable is what a guide says is printed; a line of three dots stands for any lines.
func comparable(prints string) *regexp.Regexp {
	if strings.TrimSpace(prints) == "..." {
		return regexp.MustCompile(`.`)
	}
	pattern := regexp.QuoteMeta(normal(prints))
	pattern = strings.ReplaceAll(pattern, "\n\\.\\.\\.", `(?s:.*)`)
	pattern = regexp.MustCompile(`^\\\.\\\.\\\.\n`).ReplaceAllString(pattern, `(?s:.*)`)
	return regexp.MustCompile(`^` + pattern + `$`)
}

// judgeLinks: what a guide refers to in this repository is there.
func judgeLinks(t *testing.T, guide, text string) {
	t.Helper()
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
		if strings.Contains(link[1], "://") {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(guide), link[1])); err != nil {
			t.Errorf("the link %s leads nowhere", link[1])
		}
	}
}

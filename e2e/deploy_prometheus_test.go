//go:build unix

package e2e

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rollcall/e2e/zoo"
)

// prometheusWith runs a real Prometheus with a file from deploy/prometheus. The texts in pairs replace the sample's servers
// by those of the test. It returns the address of its API.
func prometheusWith(t *testing.T, file string, replace ...string) (api string) {
	t.Helper()
	program := find(t, "prometheus", "prometheus")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../deploy/prometheus")); err != nil {
		t.Fatal(err)
	}
	replace = append(replace, "scrape_interval: 30s", "scrape_interval: 1s", "scrape_timeout: 10s", "scrape_timeout: 1s")
	used := map[string]bool{}
	for _, pattern := range []string{"*.yml", "*/*.yml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			text := readFile(t, path)
			for i := 0; i < len(replace); i += 2 {
				used[replace[i]] = used[replace[i]] || strings.Contains(text, replace[i])
			}
			if err := os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(text)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for old, ok := range used {
		if !ok {
			t.Fatalf("the sample does not hold %q", old)
		}
	}
	p := start(t, program, "--config.file="+filepath.Join(dir, file), "--storage.tsdb.path="+t.TempDir(), "--web.listen-address=127.0.0.1:0")
	api = "http://" + p.await(t, `msg="Listening on" address=(\S+)`)[1]
	p.await(t, "Server is ready to receive web requests")
	return api
}

// ask returns the expression's value for each instance.
func ask(t *testing.T, api, expr string) map[string]string {
	t.Helper()
	got, err := query(get(t, api+"/api/v1/query?query="+url.QueryEscape(expr)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func awaitAnswer(t *testing.T, api, expr string, want map[string]string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		got := ask(t, api, expr)
		return maps.Equal(got, want), fmt.Sprintf("%s is %v, want %v", expr, got, want)
	})
}

// sampleRollcall starts rollcall with the sample configuration, and more sections if there are any; it trusts the zoo's
// authority.
func sampleRollcall(t *testing.T, more ...string) (address string) {
	t.Helper()
	config := writeFile(t, "rollcall.yml", readFile(t, "../deploy/rollcall.yml")+strings.Join(more, ""))
	command := exec.Command(rollcall, "--web.listen-address=127.0.0.1:0", "--config.file="+config)
	command.Env = append(os.Environ(), "SSL_CERT_FILE="+zoo.CAFile(t))
	return startCommand(t, command).await(t, `msg="rollcall listens" address=(\S+)`)[1]
}

func TestSamplePrometheusScrapesTargets(t *testing.T) {
	t.Parallel()
	address := sampleRollcall(t)
	web, shop := zoo.HTTP(t, zoo.Site()), zoo.HTTP(t, zoo.Site())
	secure := zoo.HTTPS(t, zoo.Config(zoo.Good()), zoo.Site())
	mail := zoo.STARTTLS(t, zoo.Config(zoo.Good()), "")
	database := zoo.Refused(t)
	api := prometheusWith(t, "prometheus.yml",
		"rollcall:9115", address, "alertmanager:9093", zoo.Refused(t),
		"https://example.com/", "http://"+web+"/", "https://shop.example.com/", "http://"+shop+"/", "db.example.com:5432", database,
		"https://files.example.com/", "https://"+secure+"/", "mail.example.com:25", mail)
	for expr, want := range map[string]map[string]string{
		`up{job="rollcall"}`:                            {address: "1"},
		`probe_success{job="http",team=""}`:             {"http://" + web + "/": "1"},
		`probe_success{job="http",team="shop"}`:         {"http://" + shop + "/": "1"},
		`probe_success{job="tcp"}`:                      {database: "0"},
		`probe_success{job="files",module="https_2xx"}`: {"https://" + secure + "/": "1"},
		`probe_success{job="files",team="mail"}`:        {mail: "1"},
		`probe_ssl_earliest_cert_expiry{team="mail"}`:   {mail: "2208988800"},
	} {
		awaitAnswer(t, api, expr, want)
	}
}

func TestTwoExportersShareTargets(t *testing.T) {
	t.Parallel()
	first, second := sampleRollcall(t), sampleRollcall(t)
	var targets []string
	want := map[string]string{}
	for range 20 { // ports are random: one run in half a million gives all targets to one exporter
		target := zoo.TCP(t, zoo.Close)
		targets = append(targets, target)
		want[target] = "1"
	}
	api := prometheusWith(t, "two-exporters.yml", "rollcall-0:9115", first, "rollcall-1:9115", second,
		"  - db-0.example.com:5432\n  - db-1.example.com:5432\n", "  - "+strings.Join(targets, "\n  - ")+"\n")
	awaitAnswer(t, api, `count by (instance) (probe_success)`, want)
	awaitAnswer(t, api, `rollcall_probes_total{prober="tcp",result="up"} > bool 0`, map[string]string{first: "1", second: "1"})
}

// TestEveryRuleHasACase breaks the rules one by one and expects that rules_test.yml fails: comparisons are inverted, each line
// of an expression with several is removed, and `for` is removed.
func TestEveryRuleHasACase(t *testing.T) {
	t.Parallel()
	promtool := find(t, "promtool", "prometheus")
	const source = "../deploy/prometheus/"
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Record, Expr, For string }
		}
	}
	text := readFile(t, source+"rules.yml")
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules_test.yml"), []byte(readFile(t, source+"rules_test.yml")), 0o600); err != nil {
		t.Fatal(err)
	}
	passes := func(rules string) bool {
		if err := os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), promtool, "test", "rules", filepath.Join(dir, "rules_test.yml")).Run() == nil
	}
	if !passes(text) {
		t.Fatal("the unchanged rules do not pass")
	}
	turned := strings.NewReplacer(" > ", " < ", " < ", " > ", "== 0", "== 1", "avg", "max", "count by", "max by", "unless", "and")
	waits := regexp.MustCompile(`\n    for: \S+`)
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			written := writtenExpr(rule.Expr)
			at := strings.Index(text, written)
			if at < 0 {
				t.Errorf("the rule %s%s is not written like %q", rule.Alert, rule.Record, written)
				continue
			}
			end := at + len(written)
			broken := []string{turned.Replace(rule.Expr)}
			if lines := strings.Split(strings.TrimSpace(rule.Expr), "\n"); len(lines) > 1 {
				for i := range lines {
					without := strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "\n") + "\n"
					broken = append(broken, strings.TrimPrefix(without, "or ignoring (test) "))
				}
			}
			for _, expr := range broken {
				if passes(text[:at] + writtenExpr(expr) + text[end:]) {
					t.Errorf("%s%s: broken it passes: %s", rule.Alert, rule.Record, expr)
				}
			}
			if rule.For == "" {
				continue
			}
			wait := waits.FindStringIndex(text[end-1:])
			if passes(text[:end-1+wait[0]] + text[end-1+wait[1]:]) {
				t.Errorf("%s: without `for: %s` it passes", rule.Alert, rule.For)
			}
		}
	}
}

// writtenExpr is a rule's expression as it stands in the file: on one line, or as a block with an indent of six spaces.
func writtenExpr(expr string) string {
	if !strings.Contains(expr, "\n") {
		return "expr: " + expr
	}
	return "expr: |\n      " + strings.ReplaceAll(strings.TrimSuffix(expr, "\n"), "\n", "\n      ") + "\n"
}

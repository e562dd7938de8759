//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// startAlertmanager runs a real one with the sample in deploy/, whose mail server is the postbox. Without flags for a cluster
// it is alone.
func startAlertmanager(t *testing.T, to *postbox, cluster ...string) (url string) {
	t.Helper()
	if len(cluster) == 0 {
		cluster = []string{"--cluster.listen-address="}
	}
	program := find(t, "prometheus-alertmanager", "prometheus-alertmanager")
	sample, err := os.ReadFile("../deploy/alertmanager/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mine := strings.Replace(string(sample), "localhost:25", to.address, 1)
	if mine == string(sample) {
		t.Fatal("the sample names no mail server on localhost:25")
	}
	// One second instead of ten, and no minute between two mails: the test need not wait for company.
	mine = strings.NewReplacer("group_wait: 10s", "group_wait: 1s", "group_interval: 1m", "group_interval: 1s").Replace(mine)
	if err := os.WriteFile(filepath.Join(dir, "alertmanager.yml"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	template, err := os.ReadFile("../deploy/alertmanager/rollcall.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rollcall.tmpl"), template, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, program, append(cluster, "--config.file="+filepath.Join(dir, "alertmanager.yml"), "--storage.path="+t.TempDir(),
		"--web.listen-address=127.0.0.1:0")...)
	return "http://" + p.await(t, `msg="?Listening on"? address=(\S+)`)[1]
}

// awaitLetters returns the postbox's letters once there are n.
func awaitLetters(t *testing.T, p *postbox, n int) []letter {
	t.Helper()
	var kept []letter
	eventually(t, func() (bool, string) {
		kept = p.kept()
		return len(kept) >= n, fmt.Sprintf("%d letters, want %d", len(kept), n)
	})
	return kept
}

func TestRollcallTellsAlertmanagerTellsPeople(t *testing.T) {
	t.Parallel()
	postbox := newPostbox(t, nil)
	am := startAlertmanager(t, postbox)
	pages := newFlicker(t, 1)
	file := writeFile(t, "rollcall.yml", fmt.Sprintf(`
modules: {web: {prober: http}}
targets: [{target: %q, module: web, interval: 1s, labels: {team: web}}]
alert: {alertmanager: {urls: [%q], labels: {severity: page}}}
`, pages.targets[0], am))
	pages.stuck.Store(true)
	base, exporter := startRollcall(t, "--config.file="+file, "--storage.path="+t.TempDir())

	wantDown(t, awaitLetters(t, postbox, 1)[0], "HTTP", pages.targets[0])
	alerts := get(t, am+"/api/v2/alerts")
	for _, want := range []string{`"alertname":"TargetDown"`, `"team":"web"`, `"severity":"page"`, `"module":"web"`, `"target":"` + pages.targets[0] + `"`} {
		if !strings.Contains(alerts, want) {
			t.Errorf("the alert lacks %s: %s", want, alerts)
		}
	}
	pages.stuck.Store(false)
	pages.calm.Store(true)
	up := awaitLetters(t, postbox, 2)[1]
	if !strings.HasSuffix(up.subject, ": HTTP "+pages.targets[0]+" is up again") {
		t.Errorf("the second subject is %q", up.subject)
	}
	if metrics := get(t, base+"/metrics"); !strings.Contains(metrics, `rollcall_alert_outbox_pending{channel="alertmanager"} 0`) {
		t.Error("news is still pending")
	}
	test := exec.CommandContext(t.Context(), rollcall, "alert", "test", "--config.file="+file)
	if out, err := test.CombinedOutput(); err != nil || !strings.Contains(string(out), "accepted") {
		t.Errorf("alert test: %v\n%s", err, out)
	}
	exporter.stop(t)
}

// TestManyAlertsAreAMailThatCanBeRead: Alertmanager writes it by the template in deploy/.
func TestManyAlertsAreAMailThatCanBeRead(t *testing.T) {
	t.Parallel()
	postbox := newPostbox(t, nil)
	am := startAlertmanager(t, postbox)
	type alert struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		StartsAt    time.Time         `json:"startsAt"`
	}
	var alerts []alert
	for n := range 1000 {
		target := fmt.Sprintf("https://host-%04d.example.com/%s", n, strings.Repeat("x", 200))
		alerts = append(alerts, alert{
			map[string]string{"alertname": "TargetDown", "target": target, "module": "web"},
			map[string]string{"summary": "Sun Mar  1 13:00:00 2026: HTTP " + target + " is down", "description": strings.Repeat("Last results: … ", 60)}, time.Now(),
		})
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(am+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	var l letter
	eventually(t, func() (bool, string) { // on a busy machine a first mail has those that Alertmanager took in by then
		kept := postbox.kept()
		if len(kept) > 0 {
			l = kept[len(kept)-1]
		}
		return strings.HasPrefix(l.body, "1000 firing, 0 resolved. All of them: http"), fmt.Sprintf("the last of %d mails begins with %.100s", len(kept), l.body)
	})
	if lines := strings.Count(l.body, "\n"); len(l.raw) > 100<<10 || lines < 100 || lines > 210 {
		t.Errorf("the mail has %d bytes in %d lines:\n%.500s", len(l.raw), lines, l.body)
	}
}

// TestTargetThatLeavesItsFileIsNoLongerAnAlert: a dead server that is taken out of the file fires no more, and no post
// says that it is up.
func TestTargetThatLeavesItsFileIsNoLongerAnAlert(t *testing.T) {
	t.Parallel()
	behindAlertmanager, direct := newPostbox(t, nil), newPostbox(t, nil)
	am := startAlertmanager(t, behindAlertmanager)
	down := zoo.Refused(t)
	content := fmt.Sprintf(`
modules: {tcp: {prober: tcp}}
alert:
  alertmanager: {urls: [%q]}
  email: {to: [ops@example.com], smtp: {address: %q, tls: none}}
  group_wait: 0s
  group_interval: 0s
`, am, direct.address)
	file := writeFile(t, "rollcall.yml", content+fmt.Sprintf("targets: [{target: %q, module: tcp, interval: 1s}]\n", down))
	_, exporter := startRollcall(t, "--config.file="+file, "--storage.path="+t.TempDir())
	for _, postbox := range []*postbox{behindAlertmanager, direct} {
		wantDown(t, awaitLetters(t, postbox, 1)[0], "TCP", down)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exporter.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for _, postbox := range []*postbox{behindAlertmanager, direct} {
		if over := awaitLetters(t, postbox, 2)[1]; !strings.HasSuffix(over.subject, ": TCP "+down+" is no longer reported") {
			t.Errorf("the second subject is %q", over.subject)
		}
	}
	exporter.stop(t)
	if n := len(direct.kept()); n != 2 {
		t.Errorf("there were %d mails", n)
	}
}

// TestPrometheusRulesAlertmanagerMail is the way of teams that have both: Prometheus scrapes /probe, the rules in
// deploy/ judge, and Alertmanager with the sample in deploy/ writes the old script's line.
func TestPrometheusRulesAlertmanagerMail(t *testing.T) {
	t.Parallel()
	program := find(t, "prometheus", "prometheus")
	postbox := newPostbox(t, nil)
	am := startAlertmanager(t, postbox)
	base, exporter := startRollcall(t)
	down := zoo.Refused(t)
	rules, err := filepath.Abs("../deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := writeFile(t, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%s]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs:
- job_name: roll
  metrics_path: /probe
  params: {module: [tcp_connect]}
  static_configs: [{targets: [%q]}]
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: %q}
- job_name: rollcall
  static_configs: [{targets: [%[4]q]}]
`, rules, strings.TrimPrefix(am, "http://"), down, strings.TrimPrefix(base, "http://")))
	start(t, program, "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address=127.0.0.1:0")

	l := awaitLetters(t, postbox, 1)[0]
	wantDown(t, l, "TCP", down)
	if !regexp.MustCompile(`(?m)^Reason: connection_refused \(at stage connect\)$`).MatchString(l.body) {
		t.Errorf("the mail does not say why:\n%s", l.body)
	}
	exporter.stop(t)
}

// TestMailOfAThousandAlertsIsSmall posts alerts like those of a rule, and like Rollcall's own, and wants a mail about each
// thousand that is under 100 KB and says how many there are.
func TestMailOfAThousandAlertsIsSmall(t *testing.T) {
	t.Parallel()
	postbox := newPostbox(t, nil)
	am := startAlertmanager(t, postbox)
	type alert struct {
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		GeneratorURL string            `json:"generatorURL"`
	}
	long := strings.Repeat("a=b&", 100)
	for name, annotate := range map[string]func(target string) map[string]string{
		"TargetDown": func(target string) map[string]string {
			return map[string]string{"server": "HTTP " + target, "reason": "connection_refused (at stage connect)", "description": strings.Repeat("The server is down. ", 20)}
		},
		"FromRollcall": func(target string) map[string]string {
			return map[string]string{"summary": "Sun Nov 22 18:00:09 2026: HTTP " + target[:300] + " is down", "description": strings.Repeat("The server is down. ", 60)}
		},
	} {
		var alerts []alert
		for n := range 1000 {
			target := fmt.Sprintf("https://shop%d.example.com/?%s", n, long)
			alerts = append(alerts, alert{map[string]string{"alertname": name, "instance": target}, annotate(target), "http://prometheus:9090/graph?g0.expr=" + long})
		}
		body, err := json.Marshal(alerts)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(am+"/api/v2/alerts", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("the alerts are answered with %s", resp.Status)
		}
	}
	for _, l := range awaitLetters(t, postbox, 2) {
		if len(l.raw) >= 100_000 || !strings.Contains(l.subject, "1000 firing") || !strings.HasPrefix(l.body, "1000 firing, 0 resolved.") {
			t.Errorf("the mail has %d bytes; it begins:\n%s\n%.300s", len(l.raw), l.subject, l.body)
		}
		if lines := strings.Count(l.body, " is down"); lines != 150 {
			t.Errorf("the mail names %d targets, want 150", lines)
		}
	}
}

// TestDeployedAlertingFilesPassTheirTools: what people copy is what the tools accept, and each rule fires when and only
// when it should.
func TestDeployedAlertingFilesPassTheirTools(t *testing.T) {
	promtool, amtool := find(t, "promtool", "prometheus"), find(t, "amtool", "prometheus-alertmanager")
	for _, args := range [][]string{
		{promtool, "check", "rules", "../deploy/prometheus/rules.yml"},
		{promtool, "test", "rules", "../deploy/prometheus/rules_test.yml"},
		{promtool, "check", "rules", "../deploy/prometheus/slo.yml"},
		{promtool, "test", "rules", "../deploy/prometheus/slo_test.yml"},
		{promtool, "test", "rules", "../deploy/prometheus/slo_windows_test.yml"},
		{amtool, "check-config", "../deploy/alertmanager/alertmanager.yml"},
		{amtool, "config", "routes", "test", "--config.file=../deploy/alertmanager/alertmanager.yml", "--verify.receivers=operators", "alertname=TargetDown"},
	} {
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		for again := 0; err != nil && again < 2 && slices.Contains(args, "test"); again++ {
			// promtool's store compacts three days of samples beside the evaluation, which on a busy machine finds nothing then.
			out, err = exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestLinksLeadToTheIncident: the link in a mail and in Alertmanager is that of the page, also after a restart in the
// middle of the incident, and after its end.
func TestLinksLeadToTheIncident(t *testing.T) {
	t.Parallel()
	postbox := newPostbox(t, nil)
	am := startAlertmanager(t, newPostbox(t, nil))
	pages := newFlicker(t, 1)
	pages.stuck.Store(true)
	file := writeFile(t, "rollcall.yml", fmt.Sprintf(`
modules: {web: {prober: http}}
targets: [{target: %q, module: web, interval: 1s, down_after: 3}]
alert:
  alertmanager: {urls: [%q]}
  email: {to: [ops@example.com], smtp: {address: %q, tls: none}}
  group_wait: 0s
  group_interval: 0s
`, pages.targets[0], am, postbox.address))
	args := []string{"--config.file=" + file, "--storage.path=" + t.TempDir(), "--web.external-url=https://status.example.com/"}
	base, exporter := startRollcall(t, args...)
	link := incidentLink(t, awaitLetters(t, postbox, 1)[0])
	leads := func(says string) {
		t.Helper()
		if page := get(t, base+link); !strings.Contains(page, says) || !strings.Contains(page, pages.targets[0]) {
			t.Errorf("%s does not say %q:\n%s", link, says, page)
		}
	}
	leads("is down")
	if page := get(t, base+"/"); !strings.Contains(page, strings.TrimPrefix(link, "/")) {
		t.Error("the first page links to another incident")
	}
	eventually(t, func() (bool, string) {
		alerts := get(t, am+"/api/v2/alerts")
		return strings.Contains(alerts, `"generatorURL":"https://status.example.com`+link+`"`), alerts
	})
	exporter.stop(t)
	base, exporter = startRollcall(t, args...)
	leads("is down")
	pages.stuck.Store(false)
	pages.calm.Store(true)
	if up := incidentLink(t, awaitLetters(t, postbox, 2)[1]); up != link {
		t.Errorf("the second mail links to %s, the first to %s", up, link)
	}
	leads("was down")
	exporter.stop(t)
	base, exporter = startRollcall(t, args...)
	leads("was down")
	exporter.stop(t)
}

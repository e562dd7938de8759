//go:build unix

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// growth is the smallest form of docs/production.md's large one: three shards, a Prometheus with the sample's jobs and rules,
// two Alertmanagers in a cluster, and one mail server. All but one target are up.
type growth struct {
	postbox       *postbox
	alertmanagers []string // base URLs
	shards        []*process
	addresses     []string // of the shards
	targets       []string
	down          string
	api           string // Prometheus's
}

// startGrowth starts one in which each target is probed by replicas of the shards.
func startGrowth(t *testing.T, replicas int) *growth {
	t.Helper()
	g := &growth{postbox: newPostbox(t, nil), down: zoo.Refused(t)}
	g.startAlertmanagers(t)
	g.targets = []string{g.down}
	for range 12 {
		g.targets = append(g.targets, zoo.TCP(t, zoo.Close))
	}
	file := writeFile(t, "rollcall.yml", fmt.Sprintf("modules: {tcp: {prober: tcp}}\ndefaults: {module: tcp, interval: 1s}\ntargets: [%s]\nalert: {alertmanager: {urls: [%s]}}\n",
		quoted(g.targets), quoted(g.alertmanagers)))
	for n := range 3 {
		base, shard := startRollcall(t, "--config.file="+file, "--storage.path="+t.TempDir(), fmt.Sprintf("--shard=rollcall-%d/3", n), fmt.Sprintf("--shard.replicas=%d", replicas))
		g.shards = append(g.shards, shard)
		g.addresses = append(g.addresses, strings.TrimPrefix(base, "http://"))
	}

	sample, rules := readFile(t, "../deploy/prometheus/prometheus.yml"), readFile(t, "../deploy/prometheus/rules.yml")
	others := sample[strings.Index(sample, "\n# A list of targets."):]
	targetRules := rules[strings.Index(rules, "- name: targets\n"):strings.Index(rules, "- name: availability\n")]
	var managers []string
	for _, url := range g.alertmanagers {
		managers = append(managers, strings.TrimPrefix(url, "http://"))
	}
	g.api = prometheusWith(t, "prometheus.yml", others, "\n", targetRules, "", "rule_files: [rules.yml, slo.yml]", "rule_files: [rules.yml]",
		"[rollcall:9115]", "["+quoted(g.addresses)+"]", "[alertmanager:9093]", "["+quoted(managers)+"]",
		"  # If two rollcalls probe the same targets, add first: ", "  - ",
		"global:\n", "global:\n  evaluation_interval: 1s\n", "for: 2m", "for: 1s")
	return g
}

// startAlertmanagers starts two that know each other.
func (g *growth) startAlertmanagers(t *testing.T) {
	t.Helper()
	// The second waits so long for the first one to say that it has sent a notification.
	flags := []string{"--cluster.listen-address=127.0.0.1:0", "--cluster.peer-timeout=10s"}
	first := startAlertmanager(t, g.postbox, flags...)
	var status struct {
		Cluster struct{ Peers []struct{ Address string } }
	}
	if err := json.Unmarshal([]byte(get(t, first+"/api/v2/status")), &status); err != nil || len(status.Cluster.Peers) != 1 {
		t.Fatalf("the first Alertmanager's cluster is %+v (%v)", status, err)
	}
	second := startAlertmanager(t, g.postbox, append(slices.Clone(flags), "--cluster.peer="+status.Cluster.Peers[0].Address)...)
	g.alertmanagers = []string{first, second}
	for _, url := range g.alertmanagers {
		eventually(t, func() (bool, string) {
			members := metricOf(t, url, "alertmanager_cluster_members")
			return members == "2", "an Alertmanager sees " + members + " members"
		})
	}
}

func quoted(all []string) string { return `"` + strings.Join(all, `", "`) + `"` }

// metricOf returns the value of a metric as it is written, or "".
func metricOf(t *testing.T, url, series string) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(get(t, url+"/metrics"))
	if match == nil {
		return ""
	}
	return match[1]
}

// awaitDecisions waits until each Alertmanager has looked up n more times whether a mail was sent already: with two groups of
// alerts and n 3, at least once for each of them.
func (g *growth) awaitDecisions(t *testing.T, n float64) {
	t.Helper()
	lookups := func(url string) float64 {
		count, err := strconv.ParseFloat(cmp.Or(metricOf(t, url, "alertmanager_nflog_queries_total"), "0"), 64)
		if err != nil {
			t.Fatal(err)
		}
		return count
	}
	before := map[string]float64{}
	for _, url := range g.alertmanagers {
		before[url] = lookups(url)
	}
	for _, url := range g.alertmanagers {
		eventually(t, func() (bool, string) {
			now := lookups(url)
			return now >= before[url]+n, fmt.Sprintf("an Alertmanager has looked up %v times, at first %v", now, before[url])
		})
	}
}

// of returns the targets of a shard, counted from 0.
func (g *growth) of(t *testing.T, shard int) []string {
	t.Helper()
	var own []string
	for line := range strings.Lines(get(t, "http://"+g.addresses[shard]+"/metrics/targets")) {
		if match := regexp.MustCompile(`^rollcall_target_interval_seconds\{.*target="([^"]+)"`).FindStringSubmatch(line); match != nil {
			own = append(own, match[1])
		}
	}
	return own
}

// kill ends a shard as a machine does that fails.
func (g *growth) kill(t *testing.T, shard int) {
	t.Helper()
	if err := g.shards[shard].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// results are the values of probe_success as Prometheus has them now, by target.
func (g *growth) results(t *testing.T, without []string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, target := range g.targets {
		all[target] = "1"
	}
	all[g.down] = "0"
	for _, target := range without {
		delete(all, target)
	}
	return all
}

// wantLetters wants one mail about the target that is down and one about the shard, and no other.
func (g *growth) wantLetters(t *testing.T, killed int) {
	t.Helper()
	letters := awaitLetters(t, g.postbox, 2)
	wantDown(t, letters[0], "TCP", g.down)
	if want := "rollcall " + g.addresses[killed] + " does not answer"; letters[1].subject != want || !strings.Contains(letters[1].body, "Their state is unknown; they do not count as down.") {
		t.Errorf("the second mail is %q, want %q\n%s", letters[1].subject, want, letters[1].body)
	}
	g.awaitDecisions(t, 3)
	if n := len(g.postbox.kept()); n != 2 {
		t.Errorf("%d mails, want 2", n)
	}
}

// TestTwoReplicasMakeOneNotification: each target is probed by two shards, both report the one that is down to both
// Alertmanagers, and there is one mail. Without one of the shards every target still has a result.
func TestTwoReplicasMakeOneNotification(t *testing.T) {
	t.Parallel()
	g := startGrowth(t, 2)
	twice := map[string]string{}
	for _, target := range g.targets {
		twice[target] = "2"
	}
	awaitAnswer(t, g.api, `count by (instance) (probe_success)`, twice)
	awaitAnswer(t, g.api, `min by (instance) (probe_success)`, g.results(t, nil))
	wantDown(t, awaitLetters(t, g.postbox, 1)[0], "TCP", g.down)
	g.awaitDecisions(t, 1)
	if n := len(g.postbox.kept()); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}

	killed := slices.IndexFunc([]int{0, 1, 2}, func(shard int) bool { return slices.Contains(g.of(t, shard), g.down) })
	g.kill(t, killed)
	awaitAnswer(t, g.api, `up{job="targets"} == 0`, map[string]string{g.addresses[killed]: "0"})
	awaitAnswer(t, g.api, `min by (instance) (probe_success)`, g.results(t, nil))
	g.wantLetters(t, killed)
}

// TestShardThatDiesCallsNothingDown: each target is probed by one shard. When a shard dies its targets have no result, an alert
// says so, and none of them is down.
func TestShardThatDiesCallsNothingDown(t *testing.T) {
	t.Parallel()
	g := startGrowth(t, 1)
	awaitAnswer(t, g.api, `probe_success`, g.results(t, nil))
	wantDown(t, awaitLetters(t, g.postbox, 1)[0], "TCP", g.down)

	parts := [][]string{g.of(t, 0), g.of(t, 1), g.of(t, 2)}
	if all := slices.Sorted(slices.Values(slices.Concat(parts...))); !slices.Equal(all, slices.Sorted(slices.Values(g.targets))) {
		t.Fatalf("the shards probe %q, want %q", all, g.targets)
	}
	killed := slices.IndexFunc(parts, func(own []string) bool { return len(own) > 0 && !slices.Contains(own, g.down) })
	g.kill(t, killed)
	awaitAnswer(t, g.api, `probe_success`, g.results(t, parts[killed]))
	awaitAnswer(t, g.api, `up{job="rollcall"} == 0`, map[string]string{g.addresses[killed]: "0"})
	g.wantLetters(t, killed)
	if got, want := ask(t, g.api, `probe_success == 0`), (map[string]string{g.down: "0"}); !maps.Equal(got, want) {
		t.Errorf("%v are down, want %v", got, want)
	}
	amtool := exec.CommandContext(t.Context(), find(t, "amtool", "prometheus-alertmanager"), "--alertmanager.url="+g.alertmanagers[1], "alert", "query", "--output=json")
	out, err := amtool.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range parts[killed] {
		if strings.Contains(string(out), target) {
			t.Errorf("Alertmanager has an alert about %s: %s", target, out)
		}
	}
}

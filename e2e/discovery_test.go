//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDiscoveryIsThatOfPrometheus gives one job to both: `rollcall targets` prints the targets that Prometheus's API has. Their
// results, scraped by protobuf, are a native histogram there.
func TestDiscoveryIsThatOfPrometheus(t *testing.T) {
	t.Parallel()
	list := writeFile(t, "list.yml", `
- targets: [127.0.0.1:1, 127.0.0.1:2]
  labels: {team: web, instance_name: "a b"}
- targets: [127.0.0.1:3]
  labels: {team: dropped}
- targets: [127.0.0.1:4, 127.0.0.1:5]
`)
	job := fmt.Sprintf(`
- job_name: websites
  scrape_interval: 1s
  scrape_timeout: 1s
  metrics_path: /probe
  params: {module: [tcp_connect]}
  static_configs: [{targets: ["127.0.0.1:6"], labels: {team: static}}]
  file_sd_configs: [{files: ["%s/*.yml"]}]
  relabel_configs:
  - {source_labels: [team], regex: dropped, action: drop}
  - {source_labels: [__meta_filepath], regex: '.*/(\w+)\.yml', target_label: file}
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: ADDRESS}
`, filepath.Dir(list))
	file := writeFile(t, "rollcall.yml", "modules: {tcp_connect: {prober: tcp}}\ntargets:"+job)
	out, err := exec.CommandContext(t.Context(), rollcall, "targets", "--config.file="+file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n")[1:] {
		fields := strings.Fields(line)
		ours = append(ours, fields[0]+" "+strings.NewReplacer(`group="websites", `, "", `, group="websites"`, "").Replace(strings.Join(fields[4:], " ")))
	}

	p := start(t, rollcall, "--web.listen-address=127.0.0.1:0", "--config.file="+file)
	address := p.await(t, `msg="rollcall listens" address=(\S+)`)[1]
	config := writeFile(t, "prometheus.yml", "scrape_configs:"+strings.Replace(job, "ADDRESS", address, 1)+
		fmt.Sprintf("- {job_name: targets, scrape_interval: 1s, metrics_path: /metrics/targets, honor_labels: true, static_configs: [{targets: [%q]}]}\n", address))
	prometheus := start(t, find(t, "prometheus", "prometheus"), "--config.file="+config, "--storage.tsdb.path="+t.TempDir(),
		"--web.listen-address=127.0.0.1:0", "--enable-feature=native-histograms")
	api := "http://" + prometheus.await(t, `msg="Listening on" address=(\S+)`)[1]
	prometheus.await(t, "Server is ready to receive web requests")
	eventually(t, func() (bool, string) {
		diff := cmp.Diff(targetsOf(t, api, "websites"), slices.Sorted(slices.Values(ours)))
		return diff == "", "(-Prometheus +rollcall targets):\n" + diff
	})
	for _, expr := range []string{
		`count(histogram_count(rollcall_target_probe_duration_seconds)) == 5`,
		`count(rollcall_target_probes_total{result="down"} > 0) == 5`,
	} {
		eventually(t, func() (bool, string) {
			got, err := query(get(t, api+"/api/v1/query?query="+url.QueryEscape(expr)))
			return err == nil && len(got) == 1, fmt.Sprintf("%s is %v", expr, got)
		})
	}
}

// targetsOf returns the targets of a job by Prometheus's API, as `rollcall targets` prints them.
func targetsOf(t *testing.T, api, job string) []string {
	t.Helper()
	var reply struct {
		Data struct {
			ActiveTargets []struct {
				ScrapePool string
				Labels     map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(get(t, api+"/api/v1/targets?state=active")), &reply); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, target := range reply.Data.ActiveTargets {
		if target.ScrapePool != job {
			continue
		}
		instance := target.Labels["instance"]
		delete(target.Labels, "instance")
		delete(target.Labels, "job")
		var labels []string
		for name, value := range target.Labels {
			labels = append(labels, fmt.Sprintf("%s=%q", name, value))
		}
		slices.Sort(labels)
		all = append(all, instance+" {"+strings.Join(labels, ", ")+"}")
	}
	slices.Sort(all)
	return all
}

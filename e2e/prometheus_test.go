//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// TestPrometheusScrapesWithRelabelling is the usual setup: Prometheus passes the target as a parameter and keeps it as the
// instance.
func TestPrometheusScrapesWithRelabelling(t *testing.T) {
	t.Parallel()
	program := find(t, "prometheus", "prometheus")
	base, exporter := startRollcall(t)
	up, down := zoo.HTTP(t, zoo.Site()), zoo.Refused(t)

	config := writeFile(t, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: roll
  metrics_path: /probe
  params: {module: [http_2xx]}
  static_configs:
  - targets: ["http://%s/", "http://%s/"]
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: %s}
- job_name: rollcall
  static_configs:
  - targets: [%[3]s]
`, up, down, strings.TrimPrefix(base, "http://")))
	prometheus := start(t, program, "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address=127.0.0.1:0")
	api := "http://" + prometheus.await(t, `msg="Listening on" address=(\S+)`)[1]
	prometheus.await(t, "Server is ready to receive web requests")

	for _, c := range []struct {
		query string
		want  map[string]string // what the series' labels say: the value
	}{
		{"probe_success", map[string]string{"http://" + up + "/": "1", "http://" + down + "/": "0"}},
		{`up{job="roll"}`, map[string]string{"http://" + up + "/": "1", "http://" + down + "/": "1"}},
		{`probe_failure_info{stage="connect",reason="connection_refused"}`, map[string]string{"http://" + down + "/": "1"}},
		{`rollcall_probes_total{prober="http",result="down"} > bool 0`, map[string]string{strings.TrimPrefix(base, "http://"): "1"}},
	} {
		eventually(t, func() (bool, string) {
			got, err := query(get(t, api+"/api/v1/query?query="+url.QueryEscape(c.query)))
			if err != nil {
				t.Fatal(err)
			}
			return maps.Equal(got, c.want), fmt.Sprintf("%s is %v, want %v", c.query, got, c.want)
		})
	}
	exporter.stop(t)
}

// query reads a reply of Prometheus's API and returns the value for each instance.
func query(body string) (map[string]string, error) {
	var reply struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &reply); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, series := range reply.Data.Result {
		values[series.Metric["instance"]] = fmt.Sprint(series.Value[1])
	}
	return values, nil
}

// TestPromtoolAcceptsMetrics runs Prometheus's linter over the names, types and HELP texts.
func TestPromtoolAcceptsMetrics(t *testing.T) {
	promtool := find(t, "promtool", "prometheus")
	base, _ := startRollcall(t)
	web := zoo.HTTP(t, zoo.Site())
	banner := zoo.TCP(t, zoo.Say("SSH-2.0-zoo comment\r\n"))
	for name, path := range map[string]string{
		"http up":        "/probe?module=http_2xx&target=" + web,
		"http down":      "/probe?module=http_2xx&target=" + zoo.Refused(t),
		"tcp labels":     "/probe?module=ssh_banner_extract&target=" + banner,
		"tcp down":       "/probe?module=tcp_connect&target=" + zoo.Refused(t),
		"the exporter's": "/metrics",
	} {
		t.Run(name, func(t *testing.T) {
			check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
			check.Stdin = strings.NewReader(get(t, base+path))
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("promtool check metrics: %v\n%s", err, out)
			}
		})
	}
}

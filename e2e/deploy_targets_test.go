//go:build unix

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// TestTargetsEndpointWithPrometheus runs a real Prometheus with only the sample's job for /metrics/targets: it has a series for each
// configured target, the rules fire, and the dashboard has data.
func TestTargetsEndpointWithPrometheus(t *testing.T) {
	t.Parallel()
	web, database, denied := "http://"+zoo.HTTP(t, zoo.Site())+"/", zoo.Refused(t), "localhost:80"
	secure := "https://" + zoo.HTTPS(t, zoo.Config(zoo.Good()), zoo.Site()) + "/"
	const entry = "- {target: %q, module: %s, interval: 1s, labels: {team: %s}}\n"
	kept := fmt.Sprintf("modules: {web: {prober: http}, port: {prober: tcp}, far: {prober: tcp, guard: {deny: [127.0.0.0/8, '::1']}}}\ntargets:\n"+
		entry+entry+entry, web, "web", "shop", database, "port", "data", denied, "far", "data")
	file := writeFile(t, "rollcall.yml", kept+fmt.Sprintf(entry, secure, "web", "shop"))
	command := exec.Command(rollcall, "--web.listen-address=127.0.0.1:0", "--config.file="+file)
	command.Env = append(os.Environ(), "SSL_CERT_FILE="+zoo.CAFile(t))
	p := startCommand(t, command)
	address := p.await(t, `msg="rollcall listens" address=(\S+)`)[1]

	sample := readFile(t, "../deploy/prometheus/prometheus.yml")
	others := sample[strings.Index(sample, "\n# A list of targets."):]
	api := prometheusWith(t, "prometheus.yml", others, "\n", "rollcall:9115", address, "alertmanager:9093", zoo.Refused(t),
		"global:\n", "global:\n  evaluation_interval: 1s\n", "for: 30s", "for: 1s", "for: 15m", "for: 1s")
	for _, c := range []struct {
		expr string
		want map[string]string
	}{
		{`up{job="targets"}`, map[string]string{address: "1"}},
		{`probe_success`, map[string]string{web: "1", secure: "1", database: "0"}},
		{`probe_http_status_code{job="targets",module="web",team="shop"}`, map[string]string{web: "200", secure: "200"}},
		{`probe_ssl_earliest_cert_expiry`, map[string]string{secure: "2208988800"}},
		{`probe_failure_info{stage="connect",reason="connection_refused"}`, map[string]string{database: "1"}},
		{`rollcall_target_interval_seconds{team="data",target=""}`, map[string]string{database: "1", denied: "1"}},
		{`time() - rollcall_target_last_probe_timestamp_seconds < bool 30`, map[string]string{web: "1", secure: "1", database: "1"}},
		{`ALERTS{alertname="TargetDown",alertstate="firing"}`, map[string]string{database: "1"}},
		{`ALERTS{alertname="RollcallTargetUnknown",alertstate="firing"}`, map[string]string{denied: "1"}},
	} {
		awaitAnswer(t, api, c.expr, c.want)
	}
	checkDashboard(t, api, "port", web)

	rewrite(t, file, kept)
	reload(t, &exporter{p, "http://" + address})
	awaitAnswer(t, api, `probe_success{job="targets"}`, map[string]string{web: "1", database: "0"})
}

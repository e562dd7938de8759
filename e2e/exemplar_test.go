//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestExemplarLeadsToTheIncident: from a counter in Prometheus to the page of the incident that made it grow.
func TestExemplarLeadsToTheIncident(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file := writeFile(t, "rollcall.yml", fmt.Sprintf("modules: {tcp_connect: {prober: tcp}}\ntargets: [{module: tcp_connect, target: %q, interval: 1s}]\n", listener.Addr()))
	p := start(t, rollcall, "--web.listen-address=127.0.0.1:0", "--config.file="+file, "--storage.path="+t.TempDir())
	address := p.await(t, `msg="rollcall listens" address=(\S+)`)[1]
	config := writeFile(t, "prometheus.yml",
		fmt.Sprintf("scrape_configs: [{job_name: targets, scrape_interval: 1s, metrics_path: /metrics/targets, honor_labels: true, static_configs: [{targets: [%q]}]}]\n", address))
	prometheus := start(t, find(t, "prometheus", "prometheus"), "--config.file="+config, "--storage.tsdb.path="+t.TempDir(),
		"--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage")
	api := "http://" + prometheus.await(t, `msg="Listening on" address=(\S+)`)[1]
	prometheus.await(t, "Server is ready to receive web requests")
	eventually(t, func() (bool, string) {
		text := get(t, "http://"+address+"/metrics/targets")
		return strings.Contains(text, `result="up"} 1`), text
	})
	listener.Close()
	var reply struct {
		Data []struct {
			SeriesLabels map[string]string
			Exemplars    []struct{ Labels map[string]string }
		}
	}
	eventually(t, func() (bool, string) {
		text := get(t, fmt.Sprintf("%s/api/v1/query_exemplars?query=rollcall_target_probes_total&start=%d&end=%d", api, time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Minute).Unix()))
		if err := json.Unmarshal([]byte(text), &reply); err != nil {
			t.Fatal(err)
		}
		return len(reply.Data) == 1, text
	})
	found := reply.Data[0]
	if found.SeriesLabels["result"] != "down" || found.SeriesLabels["target"] != listener.Addr().String() {
		t.Errorf("the exemplar is of %v", found.SeriesLabels)
	}
	page := get(t, "http://"+address+"/incident/"+url.PathEscape(found.Exemplars[0].Labels["incident"]))
	if !strings.Contains(page, listener.Addr().String()) || !strings.Contains(page, "connection_refused") {
		t.Errorf("the page of the incident:\n%s", page)
	}
}

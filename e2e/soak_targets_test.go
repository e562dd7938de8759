//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// soakTargets are the configured targets of a soak: a good and a bad peer of each protocol, and a list that discovery reads
// from a file, which changes all the time.
type soakTargets struct {
	p      *park
	visits []visit
	list   string // the file that discovery reads
}

// discovered is how many targets the list has.
const discovered = 50

func newSoakTargets(t *testing.T, p *park, all []visit) *soakTargets {
	t.Helper()
	s := &soakTargets{p: p, list: filepath.Join(t.TempDir(), "list.yml")}
	for _, name := range []string{
		"http_up", "http_connect_refused", "tcp_up", "tcp_connect_refused", "dns_up", "dns_connect_refused", "grpc_up", "grpc_connect_refused",
		"unix_up", "unix_expect_bytes_mismatch", "websocket_up", "websocket_connect_refused", "icmp_up", "icmp_refused",
	} {
		if i := slices.IndexFunc(all, func(v visit) bool { return v.name == name }); i >= 0 {
			s.visits = append(s.visits, all[i])
		} else if !strings.HasPrefix(name, "icmp_") {
			t.Fatalf("there is no visit %s", name)
		}
	}
	s.write(t, 0)
	return s
}

func (s *soakTargets) section() string {
	var b strings.Builder
	b.WriteString("defaults: {interval: 2s}\ntargets:\n")
	for _, v := range s.visits {
		fmt.Fprintf(&b, "- {target: %q, module: %s}\n", s.p.fill(v.target), v.name)
	}
	fmt.Fprintf(&b, "- {module: http_up, file_sd_configs: [{files: [%q], refresh_interval: 1s}]}\n", s.list)
	return b.String()
}

// write writes the list with the targets from the given number on.
func (s *soakTargets) write(t *testing.T, from int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("- targets:\n")
	for n := range discovered {
		fmt.Fprintf(&b, "  - http://%s/?n=%d\n", s.p.at("site"), from+n)
	}
	if err := os.WriteFile(s.list+".new", []byte(b.String()), 0o600); err != nil {
		t.Error(err)
	} else if err := os.Rename(s.list+".new", s.list); err != nil {
		t.Error(err)
	}
}

// swap replaces half of the list every second until stop is called.
func (s *soakTargets) swap(t *testing.T) (stop func()) {
	end := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for n := 1; ; n++ {
			select {
			case <-every.C:
				s.write(t, n%4*discovered/2)
			case <-end:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(end)
		swapping.Wait()
	})
}

// check wants every configured and discovered target probed with the right result, and a history without a loss.
func (s *soakTargets) check(t *testing.T, e *exporter, wanted map[string]string) {
	t.Helper()
	reply, err := e.get(t.Context(), "/metrics/targets")
	if err != nil {
		t.Fatal(err)
	}
	families, err := parseExposition(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]map[string]float64{} // by target and module, by result
	for _, m := range families["rollcall_target_probes_total"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		key := labels["target"] + " " + labels["module"]
		if results[key] == nil {
			results[key] = map[string]float64{}
		}
		results[key][labels["result"]] = m.GetCounter().GetValue()
	}
	for _, v := range s.visits {
		verdict, _, _ := strings.Cut(wanted[v.name], " ")
		got := results[s.p.fill(v.target)+" "+v.name]
		// A turn is unknown when the machine was busy.
		if got[verdict] == 0 || got["up"]+got["down"] != got[verdict] || got["unknown"] > got[verdict] {
			t.Errorf("the target %s is always %s, but the results were %v", v.name, verdict, got)
		}
	}
	if n := len(results) - len(s.visits); n != discovered {
		t.Errorf("%d targets are discovered, want %d", n, discovered)
	}
	for name, want := range map[string]float64{
		"rollcall_discovery_failures_total": 0, "rollcall_discovery_targets_refused": 0, "rollcall_history_writable": 1,
		"rollcall_history_write_failures_total": 0, "rollcall_history_results_dropped_total": 0, "rollcall_history_damaged_rows_total": 0,
	} {
		if got := e.metric(t, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if n := e.metric(t, "rollcall_history_results_total"); n == 0 {
		t.Error("the history has no results")
	}
}

//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestIncidentsFollowDiscovery: an incident of a target that a source found outlives a restart at which the source does not
// answer for a while, and ends when the source no longer has the target.
func TestIncidentsFollowDiscovery(t *testing.T) {
	t.Parallel()
	var list atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := list.Load()
		if text == nil {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, *text)
	}))
	defer server.Close()
	found := func(targets ...string) *string {
		text, err := json.Marshal([]map[string]any{{"targets": targets}})
		if err != nil {
			t.Fatal(err)
		}
		s := string(text)
		return &s
	}
	const down, other = "127.0.0.1:1", "127.0.0.1:2"
	list.Store(found(down))
	mail := newMailbox(t)
	up, err := net.Listen("tcp", "127.0.0.1:0") // the history is open before the source answers
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	file := writeFile(t, "rollcall.yml", "modules: {tcp_connect: {prober: tcp}}\ntargets:\n"+
		fmt.Sprintf("- {module: tcp_connect, target: %q, interval: 1s}\n", up.Addr())+
		fmt.Sprintf("- {job_name: found, scrape_interval: 1s, params: {module: [tcp_connect]}, http_sd_configs: [{url: %q, refresh_interval: 1s}]}\n", server.URL)+
		mail.section()+"  probe_requests: false\n")
	data := t.TempDir()
	begin := func() (*process, string) {
		p := start(t, rollcall, "--web.listen-address=127.0.0.1:0", "--config.file="+file, "--storage.path="+data)
		return p, "http://" + p.await(t, `msg="rollcall listens" address=(\S+)`)[1]
	}
	incidents := func(address string) (all []struct{ ID, To string }) {
		var reply struct {
			Incidents []struct{ ID, To string }
		}
		if err := json.Unmarshal([]byte(get(t, address+"/api/v1/incidents")), &reply); err != nil {
			t.Fatal(err)
		}
		return reply.Incidents
	}
	mailed := func(words ...string) {
		t.Helper()
		eventually(t, func() (bool, string) {
			text := mail.mails(t)
			for _, w := range words {
				if !strings.Contains(text, w) {
					return false, fmt.Sprintf("no %q in\n%s", w, text)
				}
			}
			return true, ""
		})
	}
	p, address := begin()
	mailed(down + " is down")
	before := incidents(address)
	if len(before) != 1 || before[0].To != "" {
		t.Fatalf("%+v", before)
	}
	p.stop(t)

	list.Store(nil)
	p, address = begin()
	p.await(t, "a source of targets fails")
	time.Sleep(3 * time.Second) // in which the end of the incident would be mailed
	list.Store(found(down))
	eventually(t, func() (bool, string) {
		text := get(t, address+"/metrics/targets")
		return strings.Contains(text, `result="down"} 2`), text
	})
	if after := incidents(address); len(after) != 1 || after[0] != before[0] {
		t.Errorf("after the restart %+v, want %+v", after, before)
	}
	if text := mail.mails(t); strings.Count(text, "=== ") != 1 {
		t.Errorf("a restart is no news:\n%s", text)
	}

	list.Store(found(other))
	mailed("is no longer reported", other+" is down")
	eventually(t, func() (bool, string) {
		all := incidents(address)
		return len(all) == 2, fmt.Sprint(all)
	})
	for _, i := range incidents(address) {
		if (i.ID == before[0].ID) != (i.To != "") {
			t.Errorf("%+v", i)
		}
	}
	if text, err := os.ReadFile(mail.file); err != nil || strings.Contains(string(text), "is up again") {
		t.Errorf("%v\n%s", err, text)
	}
	p.stop(t)
}

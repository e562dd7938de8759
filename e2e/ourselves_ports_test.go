//go:build unix

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// withinNamespace marks the process that runs in a network namespace with few ports.
const withinNamespace = "ROLLCALL_FEW_PORTS"

// TestOurselves46WithoutPortsNothingIsDown runs itself again in a network namespace with 64 local ports and lets probes use
// all of them.
func TestOurselves46WithoutPortsNothingIsDown(t *testing.T) {
	if os.Getenv(withinNamespace) != "" {
		withoutPorts(t)
		return
	}
	if os.Getuid() != 0 {
		t.Fatal("this test makes a network namespace, which needs root (or: go test -skip WithoutPorts)")
	}
	unshare := find(t, "unshare", "util-linux")
	script := `ip link set lo up && echo "40000 40063" >/proc/sys/net/ipv4/ip_local_port_range && exec "$0" "$@"`
	inside := exec.CommandContext(t.Context(), unshare, "--net", "sh", "-c", script, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	inside.Env = append(os.Environ(), withinNamespace+"=1")
	out, err := inside.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in the network namespace: %v\n%s", err, out)
	}
}

func withoutPorts(t *testing.T) {
	mail := newMailbox(t)
	target := zoo.TCP(t, ready(2*time.Second))
	var config strings.Builder
	config.WriteString("modules:\n  tcp: {prober: tcp}\n")
	for i := range 100 {
		fmt.Fprintf(&config, "  hold%d: %s\n", i, readyModule)
	}
	config.WriteString("targets:\n")
	for i := range 100 {
		fmt.Fprintf(&config, "- {target: '%s', module: hold%d, interval: 3s}\n", target, i)
	}
	config.WriteString(mail.section())
	file := writeFile(t, "rollcall.yml", config.String())
	e := startWithFile(t, rollcall, file, []string{"--storage.path=" + t.TempDir()})
	e.await(t, `rollcall itself cannot probe.*fault=ports`)

	client := &http.Client{Timeout: patience} // one connection for all requests, because the client needs ports, too
	defer client.CloseIdleConnections()
	probe := func() (status int, body string) {
		t.Helper()
		reply, err := client.Get(e.URL + "/probe?module=tcp&target=" + target)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(text)
	}
	reported := 0
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
		status, body := probe()
		switch {
		case status == http.StatusInternalServerError && strings.Contains(body, "assign requested address"):
			reported++
		case status != http.StatusOK || !strings.Contains(body, "\nprobe_success 1\n"):
			t.Errorf("%d %s", status, body)
		}
	}
	if reported == 0 {
		t.Error("no reply reported missing ports")
	}
	if n := e.metric(t, "rollcall_exporter_errors_total", `reason="ports"`); n == 0 {
		t.Error("no exporter error is counted for ports")
	}
	if n := e.metric(t, "rollcall_probes_total", `result="down"`); n != 0 {
		t.Errorf("%v probes were recorded as down", n)
	}
	if text := mail.mails(t); text != "" {
		t.Errorf("a mail was sent:\n%s", text)
	}
	rewrite(t, file, "modules: {tcp: {prober: tcp}}\n"+mail.section())
	reload(t, e)
	within(t, patience, func() error {
		if status, body := probe(); status != http.StatusOK || !strings.Contains(body, "\nprobe_success 1\n") {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}

//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// ourFault requests a probe and wants the exporter error.
func ourFault(t *testing.T, e *exporter, path, fault string) {
	t.Helper()
	before := e.metric(t, "rollcall_exporter_errors_total", `reason="`+fault+`"`)
	reply, err := e.get(t.Context(), path)
	if err != nil || reply.Status != http.StatusInternalServerError {
		t.Errorf("%v %d %s, want status 500", err, reply.Status, reply.Body)
	}
	if after := e.metric(t, "rollcall_exporter_errors_total", `reason="`+fault+`"`); after != before+1 {
		t.Errorf("exporter errors for %s: %v before, %v after", fault, before, after)
	}
}

// TestStoppedProcessReportsNothingDown stops the exporter in the middle of probes. Each target loses patience meanwhile
// and resets its connection; on a process that ran, that would be a verdict.
func TestStoppedProcessReportsNothingDown(t *testing.T) {
	const probes = 24
	var arrived, stopped sync.WaitGroup
	arrived.Add(probes)
	stopped.Add(1)
	target := zoo.TCP(t, zoo.AfterRequest(func(c net.Conn) {
		arrived.Done()
		stopped.Wait()
		zoo.Reset(c)
	}))
	e := startExporter(t, rollcall, "modules: {web: {prober: http, timeout: 8s}}\n", nil)
	var asking sync.WaitGroup
	replies := make([]string, probes)
	for i := range probes {
		asking.Go(func() {
			reply, err := e.get(t.Context(), probePath("module", "web", "target", "http://"+target+"/"))
			replies[i] = fmt.Sprint(err, reply.Status, reply.Body)
		})
	}
	arrived.Wait()
	stop(t, e.cmd.Process.Pid)
	stopped.Done()
	<-time.After(3 * time.Second)
	if err := syscall.Kill(e.cmd.Process.Pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	for _, reply := range replies {
		if strings.Contains(reply, "probe_success 0") {
			t.Fatalf("a target is down because the exporter was stopped:\n%s", reply)
		}
	}
	if n := e.metric(t, "rollcall_exporter_errors_total", `reason="stalled"`); n != probes {
		t.Errorf("%v exporter errors for a stalled process, want %d; a reply: %s", n, probes, replies[0])
	}
}

// stop stops a process and waits until none of its threads runs: one on another processor goes on for a moment.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(threads) == 0 {
			return fmt.Errorf("process %d has no threads: %w", pid, err)
		}
		for _, thread := range threads {
			if status, err := os.ReadFile(thread); err != nil || !strings.Contains(string(status), "\nState:\tT") {
				return fmt.Errorf("a thread of process %d still runs: %w", pid, err)
			}
		}
		return nil
	})
}

// TestClockBeforeTheBuildJudgesNoCertificate builds a rollcall of the far future, for which this machine's clock is wrong.
func TestClockBeforeTheBuildJudgesNoCertificate(t *testing.T) {
	future := filepath.Join(t.TempDir(), "rollcall")
	build := exec.Command("go", "build", "-ldflags=-X github.com/prometheus/common/version.BuildDate=2100-01-02T03:04:05Z", "-o", future, "rollcall")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := newPark(t)
	v := visit{name: "secure", module: `{prober: http, http: {tls_config: {ca_file: "<ca>"}}}`}
	e := startExporter(t, future, modulesFile(p, []visit{v}), nil)
	for _, target := range []string{"notyetvalid", "expired"} {
		ourFault(t, e, probePath("module", "secure", "target", "https://"+p.at(target)+"/"), "clock")
	}
	if verdict := verdictOf(t, e, probePath("module", "secure", "target", "https://"+p.at("wrongname")+"/")); verdict != "down tls/certificate_name" {
		t.Errorf("the name does not depend on the clock: %s", verdict)
	}
	if !strings.Contains(e.text(), "before rollcall was built") {
		t.Error("the log does not say that the clock is wrong")
	}
}

// TestNamesThatThisMachineCannotResolve has a resolv.conf that names no server, and then a firewall of our own.
func TestNamesThatThisMachineCannotResolve(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	iptables := find(t, "iptables", "iptables")
	if out, err := exec.CommandContext(t.Context(), iptables, "-A", "OUTPUT", "-d", "127.0.0.9", "-j", "DROP").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	site := portOf(zoo.HTTP(t, zoo.Site()))
	for fault, servers := range map[string]string{"resolver": "", "permission": "nameserver 127.0.0.9\n", "route": "nameserver 203.0.113.9\n"} {
		t.Run(fault, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(file, []byte(servers), 0o644); err != nil {
				t.Fatal(err)
			}
			script := `mount --bind "$0" /etc/resolv.conf && exec "$@"`
			e := startExporter(t, rollcall, "modules: {web: {prober: http, timeout: 8s}, ping: {prober: icmp, timeout: 8s}}\n", nil, "unshare", "--mount", "sh", "-c", script, file)
			ourFault(t, e, probePath("module", "web", "target", "http://shop.example:"+site+"/"), fault)
			if fault == "route" {
				ourFault(t, e, probePath("module", "ping", "target", "203.0.113.1"), fault)
			}
			if verdict := verdictOf(t, e, probePath("module", "web", "target", "http://127.0.0.1:"+site+"/")); verdict != "up" {
				t.Errorf("an address: %s", verdict)
			}
		})
	}
}

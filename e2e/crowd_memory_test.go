//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"rollcall/e2e/zoo"
)

// little is a memory of 256 MiB: GOMEMLIMIT, as people set it for such a container, and the address space that a Go
// program has before it does anything with 256 MiB more.
func little(t *testing.T) (wrap []string) {
	t.Helper()
	t.Setenv("GOMEMLIMIT", "230MiB")
	idle := startExporter(t, rollcall, "modules: {}\n", nil)
	space := idle.residentKiB(t, "VmPeak")<<10 + littleMemory
	idle.stop(t)
	return []string{find(t, "prlimit", "util-linux"), fmt.Sprintf("--as=%d", space)}
}

const littleMemory = 256 << 20

// company probes a small server that is up while crowd does its worst, and requires that the process lives, answers,
// reports nothing down, and stays within its memory.
func company(t *testing.T, e *exporter, small string, crowd func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); crowd() }()
	up, refused := 0, 0
	for more := true; more; {
		select {
		case <-done:
			more = false
		default:
		}
		switch reply, err := e.get(t.Context(), probePath("module", "web", "target", "http://"+small+"/")); {
		case err == nil && strings.Contains(reply.Body, "\nprobe_success 1\n"):
			up++
		case err == nil && (reply.Status == http.StatusServiceUnavailable || reply.Status == http.StatusInternalServerError):
			refused++
		default:
			t.Fatalf("a small probe: %v %d %s", err, reply.Status, reply.Body)
		}
		if reply, err := e.get(t.Context(), "/-/healthy"); err != nil || reply.Status != http.StatusOK {
			t.Fatalf("/-/healthy: %v %d", err, reply.Status)
		}
	}
	within(t, patience, func() error { // until clients that do not read have made room
		reply, err := e.get(t.Context(), "/metrics")
		if err == nil && reply.Status != http.StatusOK {
			err = fmt.Errorf("/metrics: status %d", reply.Status)
		}
		return err
	})
	resident, memory := e.residentKiB(t, "VmHWM")>>10, e.metric(t, "rollcall_exporter_errors_total", `reason="memory"`)
	t.Logf("%d MiB were resident; %d small probes were up, %d refused; %v errors for memory", resident, up, refused, memory)
	if resident > littleMemory>>20 {
		t.Errorf("%d MiB were resident", resident)
	}
	if memory == 0 {
		t.Error("all of it fits, so this shows nothing")
	}
	if verdict := verdictOf(t, e, probePath("module", "web", "target", "http://"+small+"/")); verdict != "up" {
		t.Errorf("afterwards: %s", verdict)
	}
}

// probeMany probes target so many times at once. Each reply is a verdict that is true, or an exporter error.
func probeMany(t *testing.T, e *exporter, n int, module, target, truth string) {
	var asking sync.WaitGroup
	for range n {
		asking.Go(func() {
			reply, err := e.get(t.Context(), probePath("module", module, "target", target))
			if err != nil || reply.Status == http.StatusOK && !strings.Contains(reply.Body, truth) {
				t.Errorf("%v %d %s", err, reply.Status, reply.Body)
			}
		})
	}
	asking.Wait()
}

// TestWaitingProbesHaveSmallStacks: a goroutine of net/http with a whole probe on it waits on a stack of 8 KiB, and one that
// reads from the client on 2 KiB. A few more frames in between, or larger ones, double the first. (A
// TLS handshake takes 16 in any case.)
func TestWaitingProbesHaveSmallStacks(t *testing.T) {
	const probes = 300
	silent := zoo.TCP(t, zoo.Silent)
	for module, target := range map[string]string{"http": "http://" + silent + "/", "tcp": silent} {
		e := startExporter(t, rollcall, "modules: {http: {prober: http, timeout: 100s}, tcp: {prober: tcp, timeout: 100s, tcp: {query_response: [{expect: x}]}}}\n", nil)
		stacks := func() float64 { return e.metric(t, "go_memstats_stack_inuse_bytes") }
		before := stacks()
		ctx, goAway := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for range probes {
			clients.Go(func() { _, _ = e.get(ctx, probePath("module", module, "target", target)) })
		}
		within(t, patience, func() error {
			if n := e.metric(t, "process_open_fds"); n < 2*probes {
				return fmt.Errorf("%s: %v descriptors are open", module, n)
			}
			return nil
		})
		each := (stacks() - before) / probes / 1024
		goAway()
		clients.Wait()
		t.Logf("%s: %.1f KiB of stacks for each probe", module, each)
		if each > 14 {
			t.Errorf("%s: %.1f KiB of stacks for each probe, want about 10", module, each)
		}
	}
}

// TestLargeHeadersTogether probes servers that send headers of almost 1 MiB in lines of four bytes.
func TestLargeHeadersTogether(t *testing.T) {
	flood := zoo.TCP(t, zoo.RawHTTP("HTTP/1.1 200 OK\r\n"+strings.Repeat("a:\r\n", 255<<10)+"Content-Length: 0\r\n\r\n"))
	e := startExporter(t, rollcall, "modules: {web: {prober: http, timeout: 60s}}\n", nil, little(t)...)
	company(t, e, zoo.HTTP(t, zoo.Site()), func() { probeMany(t, e, 100, "web", "http://"+flood+"/", "\nprobe_success 1\n") })
}

// TestStalledCertificatesTogether probes 900 servers that send most of a large certificate and stop. That they are down is
// true for those for which there is memory to wait.
func TestStalledCertificatesTogether(t *testing.T) {
	stalled := zoo.TCP(t, zoo.StalledCertificate)
	e := startExporter(t, rollcall, "modules: {web: {prober: http, timeout: 60s}, held: {prober: tcp, timeout: 20s, tcp: {tls: true}}}\n", nil, little(t)...)
	company(t, e, zoo.HTTP(t, zoo.Site()), func() { probeMany(t, e, 900, "held", stalled, `reason="timeout",stage="tls"`) })
}

// TestUnreadStreamsTogether has 20 clients that request long pages 250 times each over HTTP/2 and take nothing of them.
func TestUnreadStreamsTogether(t *testing.T) {
	cert, key := zoo.ClientFiles(t)
	web := writeFile(t, "web.yml", fmt.Sprintf("tls_server_config: {cert_file: '%s', key_file: '%s'}\n", cert, key))
	file := writeFile(t, "rollcall.yml", manyTargets(8_000, strings.Repeat("a", 400)))
	wrap := append(little(t), rollcall, "--web.listen-address=127.0.0.1:0", "--web.config.file="+web, "--config.file="+file)
	process := start(t, wrap[0], wrap[1:]...)
	e := &exporter{process, "https://" + process.await(t, `msg="rollcall listens" address=(\S+)`)[1]}
	company(t, e, zoo.HTTP(t, zoo.Site()), func() {
		for _, path := range []string{"/metrics/targets", "/", "/no/such/page"} {
			for range 20 {
				zoo.UnreadStreams(t, strings.TrimPrefix(e.URL, "https://"), path, 250)
			}
		}
	})
}

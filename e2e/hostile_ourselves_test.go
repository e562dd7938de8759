//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

func ourselvesRows() []row {
	web := visit{name: "o_http", module: `{prober: http, timeout: 3s}`}
	return []row{
		{46, "without descriptors nothing is down", []visit{web}, noDescriptors},
		{47, "a suspended machine makes nothing down", nil, sleepingMachine},
		{48, "a full disk loses no mail", nil, fullDisk},
		{49, "a broken configuration changes nothing", nil, brokenReload},
		{50, "load leaves nothing behind", nil, load},
	}
}

// noDescriptors uses up all descriptors: more probes than the process may have sockets. The default limit of probes in
// flight would prevent this, so it is raised. TestOurselves46 checks mail and recovery as well; this row compares with
// blackbox_exporter.
func noDescriptors(t *testing.T, h *hostile) {
	const descriptors = 64
	bin, args := rollcall, []string{"--probe.max-in-flight=100000"}
	if h.peer {
		bin, args = peer(t), nil
	}
	hold := visit{name: "hold", module: `{prober: http, timeout: 3s}`}
	p := startExporter(t, bin, modulesFile(h.park, []visit{hold}), args, "sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, descriptors))
	slow := probePath("module", "hold", "target", "http://"+h.park.at("slowhead")+"/")
	var holding sync.WaitGroup
	for range descriptors {
		holding.Go(func() { p.get(t.Context(), slow) })
	}
	statuses := storm(p, 500, probePath("module", "hold", "target", "http://"+h.park.at("site")+"/"))
	holding.Wait()
	t.Logf("500 probes of a server that is up, with %d descriptors: %v", descriptors, statuses)
	if statuses["down"] > 0 {
		t.Errorf("%d of them were down", statuses["down"])
	}
	if h.peer {
		return
	}
	if statuses["500"]+statuses["503"] == 0 {
		t.Error("descriptors never ran out")
	}
	if n := p.metric(t, "rollcall_exporter_errors_total", `reason="descriptors"`); n == 0 {
		t.Error("no exporter error was counted")
	}
	after := &hostile{p, h.park, h.peer}
	after.probe(t, probePath("module", "hold", "target", "http://"+h.park.at("site")+"/"), 10*time.Second, "up")
}

// mailTo is an alert section that sends mail to box soon after a result.
func mailTo(box *zoo.Mailbox) string {
	return "alert: {group_wait: 100ms, email: {to: [admin@zoo.test], from: rollcall@zoo.test, smtp: {address: \"" + box.Addr + "\", tls: none}}}\n"
}

// fullDisk gives the outbox a separate file system, fills it completely and lets a target go down.
func fullDisk(t *testing.T, h *hostile) {
	if h.peer {
		t.Skip("blackbox_exporter sends no mail")
	}
	if os.Getuid() != 0 {
		t.Fatal("this test mounts a small file system, which needs root")
	}
	disk, box := t.TempDir(), zoo.NewMailbox(t)
	hold := visit{name: "hold", module: `{prober: http, timeout: 3s}`}
	mount := `mount -t tmpfs -o size=512k none "$0" && exec "$@"`
	p := startExporter(t, rollcall, modulesFile(h.park, []visit{hold})+mailTo(box), []string{"--storage.path=" + disk}, "unshare", "--mount", "sh", "-c", mount, disk)
	filler := fmt.Sprintf("/proc/%d/root%s/filler", p.cmd.Process.Pid, disk)
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	refused := h.park.at("refused")
	after := &hostile{p, h.park, h.peer}
	after.probe(t, probePath("module", "hold", "target", "http://"+refused+"/"), 10*time.Second, "down connect/connection_refused")
	within(t, 20*time.Second, func() error {
		if mails := strings.Join(box.Mails(), "\n"); !strings.Contains(mails, refused) {
			return fmt.Errorf("no mail names %s: %q", refused, mails)
		}
		return nil
	})
	if n := p.metric(t, "rollcall_alert_store_failures_total"); n == 0 {
		t.Error("no metric reports the full disk")
	}
	if !strings.Contains(p.text(), "no space left on device") {
		t.Error("the log does not report the full disk")
	}
}

// sleepingMachine stops the process during a probe for longer than the probe's timeout, like a suspended laptop or a paused
// virtual machine. The target answers in time.
func sleepingMachine(t *testing.T, h *hostile) {
	hold := visit{name: "hold", module: `{prober: http, timeout: 1s}`}
	bin := rollcall
	if h.peer {
		bin = peer(t)
	}
	p := startExporter(t, bin, modulesFile(h.park, []visit{hold}), nil)
	arrived := make(chan struct{})
	reply := make(chan struct{})
	slow := zoo.TCP(t, zoo.AfterRequest(func(c net.Conn) {
		close(arrived)
		<-reply
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}))
	replied := make(chan answer, 1) // the reply
	go func() {
		r, _ := p.get(t.Context(), probePath("module", "hold", "target", "http://"+slow+"/"))
		replied <- r
	}()
	await(t, arrived, "the probe never reached its target")
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	close(reply)
	wake := time.NewTimer(2500 * time.Millisecond)
	<-wake.C
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r := <-replied
	if strings.Contains(r.Body, "\nprobe_success 0\n") {
		t.Errorf("the process was suspended and the target is down:\n%s", r.Body)
	}
	if !h.peer && r.Status != 200 && r.Status != 500 {
		t.Errorf("status %d: %s", r.Status, r.Body)
	}
}

func brokenReload(t *testing.T, h *hostile) {
	hold := visit{name: "hold", module: `{prober: http, timeout: 3s}`}
	bin := rollcall
	if h.peer {
		bin = peer(t)
	}
	good := modulesFile(h.park, []visit{hold})
	file := filepath.Join(t.TempDir(), "blackbox.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(good)
	p := &hostile{startWithFile(t, bin, file, nil), h.park, h.peer}
	site := probePath("module", "hold", "target", "http://"+h.park.at("site")+"/")
	for name, spoil := range map[string]func(){
		"broken":       func() { write("modules: [\n") },
		"half-written": func() { write(good[:len(good)-8]) },
		"empty":        func() { write("") },
		"vanished":     func() { os.Remove(file) },
		"a directory":  func() { os.Remove(file); os.Mkdir(file, 0o755) },
		"full of nonsense": func() {
			os.Remove(file)
			write(strings.Repeat("a: &a [*a, *a]\n", 1000))
		},
	} {
		spoil()
		p.status(t, "POST", "/-/reload", 500)
		if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.probe(t, site, 5*time.Second, "up")
		if ok := p.metric(t, "rollcall_config_last_reload_successful"); !h.peer && ok != 0 {
			t.Errorf("%s: the reload is reported as successful", name)
		}
	}
	os.Remove(file)
	write(good)
	p.status(t, "POST", "/-/reload", 200)
	p.probe(t, site, 5*time.Second, "up")
}

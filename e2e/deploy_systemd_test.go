//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

const unitDir = "../deploy/systemd"

// TestUnitsAreValidAndHardened runs systemd-analyze on the units, in a tree that has their binaries in place.
func TestUnitsAreValidAndHardened(t *testing.T) {
	analyze := find(t, "systemd-analyze", "systemd")
	root := t.TempDir()
	units := filepath.Join(root, "usr/lib/systemd/system")
	if err := os.CopyFS(units, os.DirFS("/usr/lib/systemd/system")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(units, os.DirFS(unitDir)); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"usr/bin/rollcall", "bin/kill"} {
		path := filepath.Join(root, program)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}

	verify := func() {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", "--root="+root, "rollcall.service", "rollcall.socket").CombinedOutput()
		if err != nil || len(out) > 0 { // it only warns about unknown settings
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
	verify()
	// The scale is 0 to 100; a service without hardening has more than 90.
	security := func(threshold string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--no-pager", "--threshold="+threshold, "--root="+root, "rollcall.service").CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze security: %v\n%s", err, out)
		}
	}
	security("15")
	dropIn := filepath.Join(units, "rollcall.service.d")
	if err := errors.Join(os.Mkdir(dropIn, 0o755), os.Rename(filepath.Join(units, "ping.conf"), filepath.Join(dropIn, "ping.conf"))); err != nil {
		t.Fatal(err)
	}
	verify()
	security("25")
}

// notifications receives a service's notifications like systemd does.
func notifications(t *testing.T) (socket string, states <-chan string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rollcall-notify") // socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return // closed below
			}
			received <- string(buffer[:n])
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
		os.RemoveAll(dir)
	})
	return socket, received
}

// awaitState reads notifications until one begins with want, and fails for any other except those for the watchdog.
func awaitState(t *testing.T, states <-chan string, want string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case state := <-states:
			if strings.HasPrefix(state, want) {
				return
			}
			if state != "WATCHDOG=1" {
				t.Fatalf("notified %q, want %q", state, want)
			}
		case <-timeout:
			t.Fatalf("never notified %q", want)
		}
	}
}

func TestServiceNotifications(t *testing.T) {
	socket, states := notifications(t)
	const watchdog = 2 * time.Second
	config := writeFile(t, "rollcall.yml", "modules: {}\n")
	address := zoo.Free(t)
	server := start(t, find(t, "env", "coreutils"), "NOTIFY_SOCKET="+socket, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()),
		rollcall, "--web.listen-address="+address, "--config.file="+config)
	awaitState(t, states, "READY=1")
	if conn, err := net.Dial("tcp", address); err != nil {
		t.Errorf("it is ready before it listens: %v", err)
	} else {
		conn.Close()
	}
	awaitState(t, states, "WATCHDOG=1")

	for _, text := range []string{"modules: {}\n", "broken\n"} {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := server.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		awaitState(t, states, "RELOADING=1\nMONOTONIC_USEC=")
		awaitState(t, states, "READY=1")
	}

	// Without descriptors it accepts no connection and looks hung to clients.
	pid := fmt.Sprintf("--pid=%d", server.cmd.Process.Pid)
	run(t, find(t, "prlimit", "util-linux"), pid, "--nofile=3:")
	for fed := true; fed; {
		select {
		case <-states:
		case <-time.After(watchdog): // systemd would restart the service now
			fed = false
		case <-server.done:
			t.Fatal("rollcall ended")
		}
	}
	run(t, find(t, "prlimit", "util-linux"), pid, "--nofile=512:")
	awaitState(t, states, "WATCHDOG=1")

	server.stop(t)
	awaitState(t, states, "STOPPING=1")
}

func TestSocketActivation(t *testing.T) {
	address := zoo.Free(t)
	server := start(t, find(t, "systemd-socket-activate", "systemd"), "--listen="+address, rollcall, "--web.systemd-socket")
	server.await(t, "Listening on")
	if reply := get(t, "http://"+address+"/-/ready"); reply == "" {
		t.Error("no reply")
	}
	server.await(t, `msg="rollcall listens" address=`+address)
	server.stop(t)
}

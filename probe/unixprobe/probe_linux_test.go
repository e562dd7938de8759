package unixprobe

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/probetest"
)

func TestConnectsToAnAbstractName(t *testing.T) {
	name := listen(t, "@rollcall-test-"+filepath.Base(directory(t)), says(""))
	probetest.WantUp(t, probetest.Ask(t, module(t), probe.Request{Target: name}))
	m := guarded(t, module(t), guard.Options{Deny: []string{"unix:@rollcall-*"}})
	if _, err := m.Prober.Probe(t.Context(), probe.Request{Target: name, Guard: m.Guard}); !probe.Is[*probe.DeniedError](err) {
		t.Errorf("got %v, want a DeniedError", err)
	}
}

// TestPermissionIsOurFault: a socket that this process may not open says nothing about its server.
func TestPermissionIsOurFault(t *testing.T) {
	dir := directory(t)
	path := listen(t, filepath.Join(dir, "s"), says(""))
	for _, name := range []string{path, dir} {
		if err := os.Chmod(name, 0); err != nil {
			t.Fatal(err)
		}
		asUnprivileged(t, func() {
			_, err := module(t).Prober.Probe(t.Context(), probe.Request{Target: path})
			probetest.WantExporterError(t, err, probe.FaultPermission)
		})
	}
}

// asUnprivileged calls f with a file system's view of a user without rights, who root is not.
func asUnprivileged(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	const unprivileged = 65534
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, unprivileged, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	defer syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0)
	f()
}

package network

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/probe/probetest"
)

func TestNameServersOutliveABrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	probetest.WriteFile(t, path, "# none\nnameserver 192.0.2.1\nnameserver 2001:db8::1\noptions rotate\n")
	synctest.Test(t, func(t *testing.T) {
		servers := &nameServers{path: path}
		want := func(asked, want string) {
			t.Helper()
			if got, err := servers.choose(asked); err != nil || got != want {
				t.Errorf("asked for %s: %s, %v; want %s", asked, got, err, want)
			}
		}
		want("192.0.2.1:53", "192.0.2.1:53")
		for _, broken := range []func(){
			func() { probetest.WriteFile(t, path, "") },
			func() { probetest.WriteFile(t, path, "nameserver\nnameserver nowhere\n") },
			func() { os.Remove(path) },
		} {
			broken()
			time.Sleep(reread)
			want("127.0.0.1:53", "192.0.2.1:53")
			want("[::1]:53", "[2001:db8::1]:53")
		}
		probetest.WriteFile(t, path, "nameserver 192.0.2.9\n")
		time.Sleep(reread)
		want("192.0.2.9:53", "192.0.2.9:53")
	})
}

func TestNameServersThatNeverWereAreAnError(t *testing.T) {
	servers := &nameServers{path: filepath.Join(t.TempDir(), "none")}
	if got, err := servers.choose("127.0.0.1:53"); err == nil || got != "127.0.0.1:53" {
		t.Errorf("got %s, %v", got, err)
	}
}

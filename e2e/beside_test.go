//go:build unix

package e2e

import (
	"fmt"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// TestBesidePeer measures rollcall and blackbox_exporter in the same three situations and does not fail for either:
// go test ./e2e -run BesidePeer -peer -v. The target of the last two is up and answers after three seconds.
func TestBesidePeer(t *testing.T) {
	if !*withPeer {
		t.Skip("it compares, and proves nothing: -peer runs it")
	}
	prlimit := find(t, "prlimit", "util-linux")
	p := newPark(t)
	bomb := visit{name: "bomb", module: `{prober: http, timeout: 60s, http: {compression: gzip}}`, target: "http://<gzipbomb>/"}
	looked := visit{name: "looked", module: `{prober: http, timeout: 60s, http: {compression: gzip, fail_if_body_matches_regexp: [nothing]}}`, target: "http://<gzipbomb>/"}
	target := zoo.TCP(t, ready(3*time.Second))
	config := modulesFile(p, []visit{bomb, looked, {name: "ready", module: readyModule}})
	for name, bin := range map[string]string{"rollcall": rollcall, "blackbox_exporter": peer(t)} {
		for _, v := range []visit{bomb, looked} {
			e := startExporter(t, bin, config, nil)
			e.resetPeak(t)
			before, start := e.residentKiB(t, "VmHWM"), time.Now()
			replies := storm(e, 1, v.query(p))
			t.Logf("%s, gzip %s of 2 GiB: %v in %v, %d MiB more resident", name, v.name, replies, time.Since(start).Round(time.Millisecond), (e.residentKiB(t, "VmHWM")-before)>>10)
		}
		for _, c := range []struct {
			probes int
			wrap   []string
		}{
			{10_000, nil},
			{10_000, []string{prlimit, "--nofile=2048:2048"}},

			{500, []string{prlimit, "--nofile=256:256"}},
		} {
			e := startExporter(t, bin, config, nil, c.wrap...)
			start := time.Now()
			replies := storm(e, c.probes, "/probe?module=ready&target="+target)
			t.Logf("%s, %d probes at once of a target that is up, %s: %v in %v, %d MiB resident", name, c.probes, fmt.Sprint(c.wrap), replies,
				time.Since(start).Round(time.Millisecond), e.residentKiB(t, "VmHWM")>>10)
		}
	}
}

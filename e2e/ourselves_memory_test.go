//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestOurselves46LargeBodies lets a hundred targets send more bodies at the same time than there is memory for, to a module
// that must keep them. A body that does not fit is an exporter error; small responses always fit.
func TestOurselves46LargeBodies(t *testing.T) {
	const limit, peak = 64, 160 // MiB: GOMEMLIMIT, and what may be resident
	t.Setenv("GOMEMLIMIT", fmt.Sprintf("%dMiB", limit))
	p := newPark(t)
	bomb := visit{name: "bomb", module: `{prober: http, http: {compression: gzip, fail_if_body_matches_regexp: [nothing]}}`, target: "http://<gzipbomb>/"}
	good := visit{name: "good", module: `{prober: http, http: {fail_if_body_not_matches_regexp: [hello]}}`, target: "http://<site>/"}
	e := startExporter(t, rollcall, modulesFile(p, []visit{bomb, good}), nil)
	var (
		asking sync.WaitGroup
		mu     sync.Mutex
		seen   = make(map[string]int)
	)
	for _, v := range []visit{bomb, good} {
		for range 100 {
			asking.Go(func() {
				verdict := func() string {
					reply, err := e.get(t.Context(), v.query(p))
					switch {
					case err != nil:
						return err.Error()
					case reply.Status == http.StatusInternalServerError && strings.Contains(reply.Body, "bytes more: "):
						return "no room"
					case reply.Status != http.StatusOK:
						return fmt.Sprint(reply.Status, reply.Body)
					}
					families, err := parseExposition(reply.Body)
					if err != nil {
						return err.Error()
					}
					return families.verdict()
				}()
				mu.Lock()
				defer mu.Unlock()
				seen[v.name+" "+verdict]++
			})
		}
	}
	asking.Wait()
	resident := e.residentKiB(t, "VmHWM") >> 10
	t.Logf("%v; %d MiB were resident", seen, resident)
	tooLarge, noRoom := seen["bomb down body/body_too_large"], seen["bomb no room"]
	if tooLarge+noRoom != 100 || tooLarge == 0 || noRoom == 0 || seen["good up"] != 100 {
		t.Errorf("outcomes: %v", seen)
	}
	if resident > peak {
		t.Errorf("%d MiB were resident, with GOMEMLIMIT at %d", resident, limit)
	}
	if n := e.metric(t, "rollcall_exporter_errors_total", `reason="memory"`); int(n) != noRoom {
		t.Errorf("%v exporter errors are counted, there were %d", n, noRoom)
	}
	for range 10 { // sequential bodies fit, if all memory was released
		if verdict := verdictOf(t, e, bomb.query(p)); verdict != "down body/body_too_large" {
			t.Fatalf("afterwards: %s", verdict)
		}
	}
}

// verdictOf runs one probe.
func verdictOf(t *testing.T, e *exporter, path string) string {
	t.Helper()
	reply, err := e.get(t.Context(), path)
	if err != nil || reply.Status != http.StatusOK {
		t.Fatalf("%v %d %s", err, reply.Status, reply.Body)
	}
	families, err := parseExposition(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families.verdict()
}

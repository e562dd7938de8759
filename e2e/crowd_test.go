//go:build unix

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// manyTargets is a configuration of n targets with that path, which are probed once a day.
func manyTargets(n int, path string) string {
	var b strings.Builder
	b.WriteString("modules: {web: {prober: http}}\ntargets:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {target: 'http://127.0.0.1:1/%d/%s', module: web, interval: 24h}\n", i, path)
	}
	return b.String()
}

// slowest asks /-/healthy again and again until ended is closed, and returns the longest time that an answer took.
func slowest(t *testing.T, e *exporter, ended <-chan struct{}) (longest time.Duration) {
	t.Helper()
	for {
		start := time.Now()
		if reply, err := e.get(t.Context(), "/-/healthy"); err != nil || reply.Status != http.StatusOK {
			t.Errorf("%v %d", err, reply.Status)
		}
		longest = max(longest, time.Since(start))
		select {
		case <-ended:
			return longest
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestUnreadTargetsKeepNoClientOut has 25 clients a second that request a long page and read none of it. Probes and health
// checks are answered, and the service manager's watchdog is fed.
func TestUnreadTargetsKeepNoClientOut(t *testing.T) {
	for _, descriptors := range []int{64, 256} {
		t.Run(fmt.Sprint(descriptors), func(t *testing.T) { unreadTargets(t, descriptors) })
	}
}

func unreadTargets(t *testing.T, descriptors int) {
	const watchdog = 20 * time.Second
	socket, states := notifications(t)
	e := startExporter(t, rollcall, manyTargets(8_000, strings.Repeat("a", 400)), []string{"--web.admin-address=127.0.0.1:0"},
		find(t, "env", "coreutils"), "NOTIFY_SOCKET="+socket, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()),
		find(t, "prlimit", "util-linux"), fmt.Sprintf("--nofile=%d:%[1]d", descriptors))
	admin := &exporter{e.process, "http://" + e.await(t, `for its administrator" address=(\S+)`)[1]}
	site := zoo.HTTP(t, zoo.Site())
	ended := make(chan struct{})
	var attack sync.WaitGroup
	attack.Go(func() {
		defer close(ended)
		pace := time.NewTicker(40 * time.Millisecond)
		defer pace.Stop()
		for range 25 * 16 {
			<-pace.C
			c, err := net.Dial("tcp", strings.TrimPrefix(e.URL, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.(*net.TCPConn).SetReadBuffer(4 << 10)
			fmt.Fprint(c, "GET /metrics/targets HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	})
	var here, there time.Duration
	attack.Go(func() { here = slowest(t, e, ended) })
	attack.Go(func() { there = slowest(t, admin, ended) })
	attack.Go(func() {
		for more := true; more; {
			reply, err := e.get(t.Context(), probePath("module", "web", "target", "http://"+site+"/"))
			if err != nil || reply.Status != http.StatusOK || !strings.Contains(reply.Body, "\nprobe_success 1\n") {
				t.Errorf("a probe: %v %d %s", err, reply.Status, reply.Body)
			}
			select {
			case <-ended:
				more = false
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	var starved time.Duration
	attack.Go(func() { starved = longestBetween(states, "WATCHDOG=1", ended) })
	attack.Wait()
	if t.Logf("the watchdog was fed after %v at most", starved); starved > watchdog {
		t.Error("the service manager would have restarted it")
	}
	t.Logf("/-/healthy took at most %v, on the administrator's address %v; %d descriptors", here, there, e.descriptors(t))
	if here > 15*time.Second || there > 10*time.Second {
		t.Error("others were kept out")
	}
	if n := e.metric(t, "rollcall_exporter_errors_total", `reason="descriptors"`); n != 0 {
		t.Errorf("descriptors ran out %v times", n)
	}
}

// longestBetween is the longest time without a state until ended is closed.
func longestBetween(states <-chan string, state string, ended <-chan struct{}) (longest time.Duration) {
	for last := time.Now(); ; {
		select {
		case s := <-states:
			if s != state {
				continue
			}
			longest, last = max(longest, time.Since(last)), time.Now()
		case <-ended:
			return max(longest, time.Since(last))
		}
	}
}

// TestStormOfReloads asks 400 times at once for a reload of 50,000 targets.
func TestStormOfReloads(t *testing.T) {
	e := startExporter(t, rollcall, manyTargets(50_000, ""), nil)
	ended := make(chan struct{})
	var asking sync.WaitGroup
	start := time.Now()
	for range 400 {
		asking.Go(func() {
			if reply, err := e.do(t.Context(), http.MethodPost, "/-/reload"); err != nil || reply.Status != http.StatusOK {
				t.Errorf("%v %d %s", err, reply.Status, reply.Body)
			}
		})
	}
	go func() { asking.Wait(); close(ended) }()
	longest := slowest(t, e, ended)
	reloads := strings.Count(e.text(), "the configuration is reloaded")
	t.Logf("%d reloads in %v; /-/healthy took at most %v", reloads, time.Since(start).Round(time.Millisecond), longest)
	if reloads > 40 {
		t.Errorf("400 requests at once made %d reloads", reloads)
	}
	if longest > 15*time.Second {
		t.Errorf("the port was silent for %v", longest)
	}
}

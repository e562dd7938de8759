package web

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"rollcall/probe"
)

// busy is a prober whose target never answers.
type busy struct{}

func (busy) Probe(ctx context.Context, _ probe.Request) (probe.Result, error) {
	<-ctx.Done()
	return probe.Result{}, ctx.Err()
}

// crowded keeps as many probes in flight as it takes to ask how late a request is.
func crowded(t *testing.T, runner *probe.Runner) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range crowd {
		wg.Go(func() { _, _ = runner.Do(ctx, &probe.Module{Prober: busy{}}, probe.Request{}) })
	}
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	for runner.InFlight() < crowd {
		time.Sleep(time.Millisecond)
	}
}

// TestTimeLimitStartsAtArrival sends two requests at once, the second of which is read only when
// the first has been answered.
func TestTimeLimitStartsAtArrival(t *testing.T) {
	const spent = 300 * time.Millisecond
	for name, c := range map[string]struct {
		crowded  bool
		module   string
		timeout  string
		least    time.Duration // of its time that is over when its probe begins
		want     int
		unprobed bool
	}{
		"in a crowd":                      {crowded: true, module: "tcp_connect", timeout: "10", least: spent - 20*time.Millisecond, want: http.StatusOK},
		"when no time is left":            {crowded: true, module: "tcp_connect", timeout: "0.7", want: http.StatusServiceUnavailable, unprobed: true},
		"when the module's limit is less": {crowded: true, module: "short", timeout: "10", want: http.StatusOK},
		"without a crowd":                 {module: "tcp_connect", timeout: "0.7", want: http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, nil)
			if c.crowded {
				crowded(t, h.runner)
			}
			h.prober.during = func(ctx context.Context) {
				if h.prober.request().Target == "first" {
					select {
					case <-time.After(spent):
					case <-ctx.Done():
					}
				}
			}
			request := func(target string) string {
				return "GET /probe?target=" + target + "&module=" + c.module + " HTTP/1.1\r\nHost: x\r\n" + scrapeTimeoutHeader + ": " + c.timeout + "\r\n\r\n"
			}
			replies := bufio.NewReader(connect(t, listening(t, 10, h), request("first")+request("second")))
			for _, want := range []int{http.StatusOK, c.want} {
				reply, err := http.ReadResponse(replies, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, reply.Body); err != nil {
					t.Error(err)
				}
				if reply.StatusCode != want {
					t.Errorf("%s, want %d", reply.Status, want)
				}
			}
			got := h.prober.request()
			if (got.Target == "first") != c.unprobed {
				t.Errorf("the last probe was of the %s", got.Target)
			}
			if !c.unprobed && (got.Late < c.least || got.Late > c.least+10*time.Second || c.least == 0 && got.Late > 0) {
				t.Errorf("%v of %v were over, want %v", got.Late, got.Timeout, c.least)
			}
		})
	}
}

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is a short soak within the hostile suite.
func load(t *testing.T, h *hostile) {
	if h.peer {
		t.Skip("the soak compares verdicts and reasons, which blackbox_exporter has not")
	}
	soak(t, 5*time.Second)
}

// TestSoak mixes good, broken and hostile peers at full rate and then looks what is left of the process. It runs for
// ROLLCALL_SOAK (`make soak`: ten minutes; in CI one); without it the hostile suite's five seconds must do.
func TestSoak(t *testing.T) {
	text := os.Getenv("ROLLCALL_SOAK")
	if text == "" && !inCI() {
		t.Skip("ROLLCALL_SOAK is not set; row 50 of the hostile suite soaks for five seconds")
	}
	long := time.Minute
	if text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	soak(t, long)
}

// memoryLimit is the GOMEMLIMIT of a soak: little enough that hoarding shows.
const memoryLimit = "128MiB"

// soak runs an exporter of its own under every visit at once.
func soak(t *testing.T, long time.Duration) {
	p := newPark(t)
	all := visits()
	config := modulesFile(p, all)
	t.Setenv("GOMEMLIMIT", memoryLimit)
	ex := startExporter(t, rollcall, config, []string{"--history.limit=100"})
	wanted := make([]string, len(all))
	for i, v := range all { // once around: what each answers, and everything that is made lazily is there
		wanted[i] = verdictOf(t.Context(), ex, v.query(p))
	}
	before, resident := ex.footprint(t), ex.residentKiB(t, "VmRSS")
	var (
		working sync.WaitGroup
		done    atomic.Int64
		next    atomic.Int64
		wrong   atomic.Int64
	)
	ctx, stop := context.WithTimeout(t.Context(), long)
	defer stop()
	for range 32 {
		working.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) % len(all)
				got := verdictOf(t.Context(), ex, all[i].query(p))
				if done.Add(1); got != wanted[i] && wrong.Add(1) <= 20 {
					t.Errorf("%s: %s, at first it was %s", all[i].name, got, wanted[i])
				}
			}
		})
	}
	working.Wait()
	t.Logf("%d probes in %v, %d KiB resident at first, %d at the end, %d at most", done.Load(), long, resident,
		ex.residentKiB(t, "VmRSS"), ex.residentKiB(t, "VmHWM"))
	ex.awaitFootprint(t, before)
	if now := ex.residentKiB(t, "VmRSS"); now > resident+64<<10 {
		t.Errorf("%d KiB are resident, before the load it was %d", now, resident)
	}
	select {
	case <-ex.done:
		t.Error("the exporter ended")
	default:
	}
}

// verdictOf is what one probe says, whatever it is.
func verdictOf(ctx context.Context, p *exporter, path string) string {
	reply, err := p.get(ctx, path)
	switch {
	case err != nil:
		return err.Error()
	case reply.Status != http.StatusOK:
		return fmt.Sprintf("status %d", reply.Status)
	}
	e, err := parseExposition(reply.Body)
	if err != nil {
		return err.Error()
	}
	return e.verdict()
}

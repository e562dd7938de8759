package probe

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// late finds that the time is up so much later than it was.
type late time.Duration

func (l late) Probe(ctx context.Context, _ Request) (Result, error) {
	<-ctx.Done()
	time.Sleep(time.Duration(l))
	return Result{Failure: failf(StageResponse, ReasonTimeout, "waiting for the answer: %w", ctx.Err())}, nil
}

func TestATimeoutThatIsNoticedFarTooLateSaysNothingAboutTheTarget(t *testing.T) {
	for name, c := range map[string]struct {
		overdue time.Duration
		stalled bool
	}{
		"at once":                 {0, false},
		"on a busy machine":       {900 * time.Millisecond, false},
		"after the machine slept": {2 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				record, err := new(Runner).Do(t.Context(), &Module{Timeout: time.Second, Prober: late(c.overdue)}, Request{})
				var fault *ExporterError
				if stalled := errors.As(err, &fault) && fault.Fault == FaultStalled; stalled != c.stalled {
					t.Errorf("got %v and %v", record.Result.Failure, err)
				}
			})
		})
	}
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Runner is the one way to a verdict: it limits time and number, keeps a bug in one probe from ending the process,
// and tells the observers. Its fields are set before the first Do and not changed afterwards.
type Runner struct {
	MaxInFlight int         // probes at the same time; 0: no limit
	Bodies      *BodyMemory // what they may keep of bodies; nil: no limit
	Observers   []Observer
	Logger      *slog.Logger // gets panics, and faults of our own; nil: none

	inFlight atomic.Int64
	closing  atomic.Bool
	toldAt   atomic.Pointer[time.Time] // when a fault was last logged
}

// tellEvery is how often a fault of our own is logged: when descriptors run out, every probe meets it.
const tellEvery = 10 * time.Second

// Do probes req's target once. The error is nil if and only if the Record holds a verdict; then every observer has
// seen it. Otherwise nothing is known about the target, and the error is a *TargetError, a *DeniedError,
// an *ExporterError, or context.Canceled when the asker went away.
func (r *Runner) Do(ctx context.Context, m *Module, req Request) (Record, error) {
	if req.Timeout <= 0 {
		if req.Timeout = m.Timeout; req.Timeout <= 0 {
			req.Timeout = DefaultTimeout
		}
	}
	inFlight := r.inFlight.Add(1)
	defer r.inFlight.Add(-1)
	if err := r.admit(inFlight, req.Timeout, req.Late); err != nil {
		return Record{}, err
	}
	req.Guard, req.Memory = m.Guard, r.Bodies
	probing := NewLimit(ctx, req.Timeout-req.Late)
	defer probing.Release()

	start := time.Now()
	result, err := r.guarded(probing, m, req)
	if err != nil {
		r.tell(m, err)
		return Record{}, err
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) { // whatever its cause
		return Record{}, err // what a cancelled probe found is not the target's doing
	}
	result.Start = start
	if result.Duration == 0 {
		result.Duration = time.Since(start)
	}
	if result.timedOut() {
		if err := judgeTimeout(req.Timeout, req.Late, result.Duration); err != nil {
			r.tell(m, err)
			return Record{}, err
		}
	}
	record := Record{
		Module: m.Name, Prober: m.Kind, Target: req.Target, Hostname: req.Hostname, Timeout: req.Timeout,
		Scheduled: req.Scheduled, Debug: req.Debug, Labels: req.Labels, Result: result, Trace: req.Trace,
	}
	for _, o := range r.Observers {
		o.Observe(record)
	}
	return record, nil
}

// admit returns an error when there is no probing now.
func (r *Runner) admit(inFlight int64, timeout, late time.Duration) error {
	switch {
	case r.closing.Load():
		return &ExporterError{Fault: FaultShutdown, Err: errors.New("rollcall is shutting down")}
	case r.MaxInFlight > 0 && inFlight > int64(r.MaxInFlight):
		return &ExporterError{Fault: FaultBusy, Err: fmt.Errorf("%d probes are in flight, the limit", r.MaxInFlight)}
	case late >= timeout:
		return &ExporterError{Fault: FaultBusy, Err: fmt.Errorf("the request waited for its turn until its %v were over", timeout)}
	}
	return nil
}

// maxOverdue is how late a probe may notice that its time is up. Probers notice within milliseconds; when it takes
// longer, the process was not running (a suspended machine, a stopped container), and the answer may have been
// waiting all the while.
const maxOverdue = time.Second

// judgeTimeout returns an error when a target cannot be blamed for not answering within took: it is to have had at
// least nine tenths of its time, and our attention at the end.
func judgeTimeout(timeout, late, took time.Duration) error {
	if late > timeout/10 {
		return &ExporterError{Fault: FaultStalled, Err: fmt.Errorf("the request waited for its turn for %v of the target's %v: rollcall was suspended, or starved of CPU", late, timeout)}
	}
	if overdue := late + took - timeout; overdue > maxOverdue {
		return &ExporterError{Fault: FaultStalled, Err: fmt.Errorf("the probe ended %v after its time was up: rollcall was suspended, or starved of CPU", overdue)}
	}
	return nil
}

func (r *Result) timedOut() bool { return r.Failure != nil && r.Failure.Reason == ReasonTimeout }

// tell logs a fault of our own now and then; the counters have every one.
func (r *Runner) tell(m *Module, err error) {
	fault, ok := errors.AsType[*ExporterError](err)
	if !ok || r.Logger == nil || fault.Fault == FaultPanic { // a panic was logged with its stack
		return
	}
	now, last := time.Now(), r.toldAt.Load()
	if last != nil && now.Sub(*last) < tellEvery || !r.toldAt.CompareAndSwap(last, &now) {
		return
	}
	r.Logger.Error("rollcall itself cannot probe, which says nothing about the target", "module", m.Name, "fault", fault.Fault, "err", fault.Err)
}

// InFlight is the number of probes running now.
func (r *Runner) InFlight() int { return int(r.inFlight.Load()) }

// Close makes every later Do fail with FaultShutdown; probes in flight end in their own time.
func (r *Runner) Close() { r.closing.Store(true) }

// guarded turns a panic of a prober into an ExporterError: one bad reply must not end the process.
func (r *Runner) guarded(ctx context.Context, m *Module, req Request) (result Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			if r.Logger != nil {
				r.Logger.Error("a probe panicked; this is a bug in rollcall", "module", m.Name, "panic", p, "stack", string(debug.Stack()))
			}
			err = &ExporterError{Fault: FaultPanic, Err: fmt.Errorf("probing with module %q panicked: this is a bug in rollcall", m.Name)}
		}
	}()
	return m.Prober.Probe(ctx, req)
}

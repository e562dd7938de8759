package probe

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Runner is the one way to a verdict: it limits time and number, keeps a panic in one probe from ending the process,
// decides whether a failure is the target's, and calls the observers. Its fields are set before the first Do and not
// changed afterwards.
type Runner struct {
	MaxInFlight int         // probes at the same time; 0: no limit
	Memory      *Memory     // what they may hold; nil: no limit
	PerProbe    int64       // what each holds of it from its beginning, in bytes
	Stalls      *StallMeter // for how long this process did not run; nil: it always did
	Built       time.Time   // a clock before this is wrong; zero: not known
	// Isolated reports whether a failure of the target says nothing about it, because our own line is cut; nil: never.
	Isolated  func(Key) bool
	Observers []Observer
	Logger    *slog.Logger // gets panics and exporter errors; nil: none

	inFlight atomic.Int64
	closing  atomic.Bool
	loggedAt atomic.Pointer[time.Time] // when an exporter error was last logged
}

// logInterval is how often an exporter error is logged: when descriptors run out, every probe meets it.
const logInterval = 10 * time.Second

// Do probes req's target once. The error is nil if and only if there is a Record, which holds a verdict; then every
// observer has got it. Otherwise nothing is known about the target, and the error is a *TargetError, a *DeniedError,
// an *ExporterError, or context.Canceled when the caller went away.
func (r *Runner) Do(ctx context.Context, m *Module, req Request) (*Record, error) {
	if req.Timeout <= 0 {
		req.Timeout = cmp.Or(m.Timeout, DefaultTimeout)
	}
	inFlight := r.inFlight.Add(1)
	defer r.inFlight.Add(-1)
	if err := r.admit(inFlight, req.Timeout, req.Late); err != nil {
		return nil, err
	}
	req.Guard = m.Guard
	if req.Scheduled && req.Trace == nil {
		req.Trace = new(Trace) // the evidence of an incident is what its first failing probe did
	}
	probing := NewLimit(ctx, req.Timeout-req.Late)
	probing.nameServer = m.NameServer
	defer probing.Release()
	if err := probing.HoldFrom(r.Memory, r.PerProbe); err != nil {
		r.logExporterError(m, err)
		return nil, err
	}

	start, stalls := time.Now(), r.Stalls.Total()
	result, err := r.recovering(probing, m, req)
	if err != nil {
		r.logExporterError(m, err)
		return nil, err
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) { // whatever its cause
		return nil, err // what a cancelled probe found is not the target's doing
	}
	result.Start = start
	if result.Duration == 0 {
		result.Duration = time.Since(start)
	}
	if result.Failure != nil {
		if err := r.doubt(m.Name, &result, req, r.Stalls.Total()-stalls); err != nil {
			r.logExporterError(m, err)
			return nil, err
		}
	}
	record := &Record{
		Module: m.Name, Prober: m.Kind, Target: req.Target, Hostname: req.Hostname, Timeout: req.Timeout,
		Scheduled: req.Scheduled, Debug: req.Debug, Result: result, Trace: req.Trace,
	}
	if req.Scheduled && result.Up() {
		record.Trace = nil
	}
	record.Trace.finish()
	for _, o := range r.Observers {
		o.Observe(record)
	}
	return record, nil
}

// admit returns an error when there is no probing now.
func (r *Runner) admit(inFlight int64, timeout, late time.Duration) error {
	switch {
	case r.closing.Load():
		return Faultf(FaultShutdown, "rollcall is shutting down")
	case r.MaxInFlight > 0 && inFlight > int64(r.MaxInFlight):
		return Faultf(FaultBusy, "%d probes are in flight, the limit", r.MaxInFlight)
	case late >= timeout:
		return Faultf(FaultBusy, "the request waited for its turn until its %v were over", timeout)
	}
	return nil
}

const (
	// maxOverdue is how late a probe may notice that its time is up. Probers notice within milliseconds; when it takes
	// longer, the process was not running, and the answer may have been waiting all the while.
	maxOverdue = time.Second
	// minStall is the shortest stall for which a failure is doubted, whatever the probe's limit.
	minStall = 100 * time.Millisecond
)

// doubt returns an error when a failure may be our own: for any reason when this process did not run for a quarter of
// the probe's limit, or our line is cut, and for a timeout also when the request had to wait for its turn or its end was
// noticed late.
func (r *Runner) doubt(module string, result *Result, req Request, stalled time.Duration) error {
	reason, overdue := result.Failure.Reason, req.Late+result.Duration-req.Timeout
	switch timedOut := reason == ReasonTimeout; {
	case stalled >= max(req.Timeout/4, minStall):
		return Faultf(FaultStalled, "rollcall did not run for %v while it probed (stopped, throttled or starved of CPU), so %s says nothing about the target", stalled.Round(time.Millisecond), reason)
	case timedOut && req.Late > req.Timeout/10:
		return Faultf(FaultStalled, "the request waited for its turn for %v of the target's %v: rollcall was suspended, or starved of CPU", req.Late, req.Timeout)
	case timedOut && overdue > maxOverdue:
		return Faultf(FaultStalled, "the probe ended %v after its time was up: rollcall was suspended, or starved of CPU", overdue)
	case r.Isolated != nil && r.Isolated(Key{module, req.Target, req.Hostname}):
		return Faultf(FaultIsolated, "all references are down, so our own line is cut and %s says nothing about the target", reason)
	case (reason == ReasonCertificateNotYetValid || reason == ReasonCertificateExpired) && time.Now().Before(r.Built):
		return Faultf(FaultClock, "this machine's clock says %s, which is before rollcall was built: certificates cannot be judged", time.Now().UTC().Format(time.DateTime))
	}
	return nil
}

// logExporterError logs now and then; the counters have every error.
func (r *Runner) logExporterError(m *Module, err error) {
	e, ok := errors.AsType[*ExporterError](err)
	if !ok || r.Logger == nil || e.Fault == FaultPanic { // a panic was logged with its stack
		return
	}
	now, last := time.Now(), r.loggedAt.Load()
	if last != nil && now.Sub(*last) < logInterval || !r.loggedAt.CompareAndSwap(last, &now) {
		return
	}
	r.Logger.Error("rollcall itself cannot probe, which says nothing about the target", "module", m.Name, "fault", e.Fault, "err", e.Err)
}

// InFlight is the number of probes running now.
func (r *Runner) InFlight() int { return int(r.inFlight.Load()) }

// Close makes every later Do fail with FaultShutdown; probes in flight end in their own time.
func (r *Runner) Close() { r.closing.Store(true) }

// recovering calls the prober and turns a panic of a prober into an ExporterError: one bad reply must not end the process.
func (r *Runner) recovering(ctx context.Context, m *Module, req Request) (result Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			if r.Logger != nil {
				r.Logger.Error("a probe panicked; this is a bug in rollcall", "module", m.Name, "panic", p, "stack", string(debug.Stack()))
			}
			err = Faultf(FaultPanic, "probing with module %q panicked: this is a bug in rollcall", m.Name)
		}
	}()
	return m.Prober.Probe(ctx, req)
}

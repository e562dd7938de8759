//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// load describes a run of probes through one exporter.
type load struct {
	module      string
	target      func(i int) string // of the i-th probe
	expect      expectation
	count       int
	concurrency int
	rate        float64       // probes per second over all connections; 0: no limit
	timeout     time.Duration // in the scrape header
	collect     bool          // keep every reply's figures
}

// load returns a run of c's probes through e; the caller sets number, concurrency and rate.
func (e *exporter) load(c checkCase, target func(i int) string) load {
	return load{
		module: c.module, target: target, expect: expectation{success: c.success, families: e.families(c)},
		timeout: 10 * time.Second,
	}
}

// outcome is the cost of a run for the exporter.
type outcome struct {
	CPU     time.Duration // user and system, of the exporter
	Wall    time.Duration
	Replies []reply // only if collect is set
}

// perProbe returns the CPU time of one probe in microseconds.
func (o outcome) perProbe(count int) float64 {
	return float64(o.CPU.Nanoseconds()) / 1e3 / float64(count)
}

// run probes with persistent connections, one per worker, and checks every reply. The first wrong reply ends it.
func (l load) run(ctx context.Context, e *exporter) (outcome, error) {
	all, err := e.connect(l.concurrency, l.timeout)
	if err != nil {
		return outcome{}, err
	}
	defer all.close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next    atomic.Int64
		wg      sync.WaitGroup
		replies = make([][]reply, l.concurrency)
	)
	before, err := cpuTime(e.process.pid())
	if err != nil {
		return outcome{}, err
	}
	begin := time.Now()
	for worker, s := range all {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= l.count || !l.await(ctx, begin, i) {
					return
				}
				r, err := l.one(s, i)
				if err != nil {
					cancel(fmt.Errorf("%s, module %s, target %s: %w", e.name, l.module, l.target(i), err))
					return
				}
				if l.collect {
					replies[worker] = append(replies[worker], r)
				}
			}
		})
	}
	wg.Wait()
	wall := time.Since(begin)
	if err := context.Cause(ctx); err != nil {
		return outcome{}, err
	}
	after, err := cpuTime(e.process.pid())
	if err != nil {
		return outcome{}, errors.Join(err, errors.New(e.process.stderr.String()))
	}
	result := outcome{CPU: after - before, Wall: wall}
	for _, r := range replies {
		result.Replies = append(result.Replies, r...)
	}
	return result, nil
}

// one makes the i-th probe and checks the reply.
func (l load) one(s *scraper, i int) (reply, error) {
	text, err := s.scrape(l.module, l.target(i), l.timeout+10*time.Second)
	if err != nil {
		return reply{}, err
	}
	r, err := l.expect.check(text)
	if err != nil {
		return reply{}, fmt.Errorf("%w in\n%s", err, text)
	}
	return r, nil
}

// await waits until the i-th probe is due and reports whether to continue.
func (l load) await(ctx context.Context, begin time.Time, i int) bool {
	if ctx.Err() != nil {
		return false
	}
	if l.rate <= 0 {
		return true
	}
	due := begin.Add(time.Duration(float64(i) / l.rate * float64(time.Second)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

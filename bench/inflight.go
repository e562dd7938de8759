//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// inFlight has the resources that an exporter used for many probes that wait for a silent server, and its reply times.
type inFlight struct {
	Case        string
	Exporter    string
	Count       int
	KiBPerProbe float64 // growth of the resident memory to its peak, per probe
	ResidentKB  int64   // before
	PeakKB      int64
	Descriptors int // while they waited
	InTime      int // replies within the scrape timeout, 0.5 s more than the probe's
	Late        int // replies after it, when Prometheus has given up
	Missing     int // no reply at all
	MedianSec   float64
	MaxSec      float64
}

// measureInFlight starts a fresh exporter process for each kind of probe, so that no case reuses memory of another.
func (b *bench) measureInFlight(ctx context.Context) error {
	for _, c := range silentCases {
		for _, e := range b.exporters {
			row, err := b.inFlightOne(ctx, c, e)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.name, e.name, err)
			}
			b.report.InFlight = append(b.report.InFlight, row)
		}
	}
	return nil
}

func (b *bench) inFlightOne(ctx context.Context, c checkCase, e *exporter) (inFlight, error) {
	row := inFlight{Case: c.name, Exporter: e.name, Count: b.options.inFlight}
	if err := e.begin(ctx, b); err != nil {
		return row, err
	}
	defer e.end()
	warm := e.load(http200, b.one(http200))
	warm.count, warm.concurrency = 200, 4
	if _, err := warm.run(ctx, e); err != nil {
		return row, fmt.Errorf("warming up: %w", err)
	}
	if err := resetPeak(e.process.pid()); err != nil {
		return row, err
	}
	before, err := readMemory(e.process.pid())
	if err != nil {
		return row, err
	}

	delays, err := b.burst(ctx, c, e, &row)
	if err != nil {
		return row, err
	}
	after, err := readMemory(e.process.pid())
	if err != nil {
		return row, err
	}
	row.ResidentKB, row.PeakKB = before.RSS, after.Peak
	row.KiBPerProbe = float64(after.Peak-before.RSS) / float64(row.Count)
	row.Missing = row.Count - len(delays)
	for _, d := range delays {
		if d > b.options.timeout {
			row.Late++
		}
	}
	row.InTime = len(delays) - row.Late
	row.MedianSec, row.MaxSec = quantile(delays, 0.5).Seconds(), quantile(delays, 1).Seconds()
	return row, nil
}

// burst sends all requests at once over open connections and returns the time of each reply. A broken connection has none; a
// wrong reply is an error.
func (b *bench) burst(ctx context.Context, c checkCase, e *exporter, row *inFlight) ([]time.Duration, error) {
	all, err := e.connect(row.Count, b.options.timeout)
	if err != nil {
		return nil, err
	}
	defer all.close()
	var (
		expect  = expectation{success: c.success, families: e.families(c)}
		target  = c.target(b.targets, "127.0.0.1")
		begin   = make(chan struct{})
		wg      sync.WaitGroup
		mu      sync.Mutex
		delays  []time.Duration
		wrong   error
		giveUp  = b.options.timeout + 30*time.Second
		stopped = context.AfterFunc(ctx, all.close)
	)
	defer stopped()
	for _, s := range all {
		wg.Go(func() {
			<-begin
			sent := time.Now()
			text, err := s.scrape(c.module, target, giveUp)
			delay := time.Since(sent)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if wrong == nil && len(s.body.Bytes()) > 0 {
					wrong = err
				}
				return
			}
			if _, err := expect.check(text); err != nil && wrong == nil {
				wrong = fmt.Errorf("%w in\n%s", err, text)
			}
			delays = append(delays, delay)
		})
	}
	close(begin)
	timer := time.NewTimer(b.options.timeout / 2)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	row.Descriptors, err = countDescriptors(e.process.pid())
	if b.options.profileDir != "" && e.name == nameRollcall {
		err = errors.Join(err, fetch(ctx, "http://"+e.addr+"/debug/pprof/heap?debug=1", filepath.Join(b.options.profileDir, "inflight_"+c.module+".heap.txt")))
	}
	wg.Wait()
	return delays, errors.Join(err, wrong, context.Cause(ctx))
}

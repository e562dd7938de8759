//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// linearity is the cost of a probe by the number of distinct targets.
type linearity struct {
	Exporter string
	Targets  []int
	Microsec [][]float64 // by Targets, then round
}

// measureLinearity probes 10, 100, 1,000 … distinct targets in turns, each with the same number of probes.
func (b *bench) measureLinearity(ctx context.Context, e *exporter) error {
	result := linearity{Exporter: e.name}
	for n := 10; n <= b.options.linear; n *= 10 {
		result.Targets = append(result.Targets, n)
	}
	result.Microsec = make([][]float64, len(result.Targets))
	for round := -1; round < b.options.rounds; round++ {
		for i, n := range result.Targets {
			l := e.load(http200, b.many(http200, n))
			l.count, l.concurrency = 2*b.options.linear, connections
			o, err := l.run(ctx, e)
			if err != nil {
				return err
			}
			if round >= 0 {
				result.Microsec[i] = append(result.Microsec[i], o.perProbe(l.count))
			}
		}
	}
	b.report.Linearity = &result
	return nil
}

// soaking is the resident memory over many probes, measured ten times.
type soaking struct {
	Exporter   string
	Probes     int
	ResidentKB []int64
	Microsec   float64
}

// soak probes 1,000 distinct targets as often as the option says.
func (b *bench) soak(ctx context.Context, e *exporter) error {
	const parts = 10
	l := e.load(http200, b.many(http200, 1000))
	l.count, l.concurrency = max(b.options.soak/parts, 1), connections
	result := soaking{Exporter: e.name, Probes: l.count * parts}
	var used time.Duration
	for range parts {
		o, err := l.run(ctx, e)
		if err != nil {
			return err
		}
		used += o.CPU
		m, err := readMemory(e.process.pid())
		if err != nil {
			return err
		}
		result.ResidentKB = append(result.ResidentKB, m.RSS)
	}
	result.Microsec = outcome{CPU: used}.perProbe(result.Probes)
	b.report.Soak = &result
	return nil
}

// simulation is one scrape interval with very many distinct targets, evenly spread like Prometheus does.
type simulation struct {
	Exporter    string
	Targets     int
	Interval    time.Duration
	Microsec    float64
	Cores       float64 // CPU time / elapsed time
	WallSec     float64 // about Interval if the exporter and the generator kept up
	RestKB      int64   // resident memory at rest
	PeakKB      int64
	Descriptors int // highest seen
}

// simulate probes every target once in the interval.
func (b *bench) simulate(ctx context.Context, e *exporter) error {
	rest, err := readMemory(e.process.pid())
	if err != nil {
		return err
	}
	result := simulation{Exporter: e.name, Targets: b.options.simulate, Interval: b.options.interval, RestKB: rest.RSS}

	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- e.watchDescriptors(watching, &result.Descriptors) }()
	l := e.load(http200, b.many(http200, result.Targets))
	l.count, l.concurrency, l.rate = result.Targets, 4*connections, float64(result.Targets)/result.Interval.Seconds()
	o, err := l.run(ctx, e)
	stop()
	if err := errors.Join(err, <-watched); err != nil {
		return err
	}
	m, err := readMemory(e.process.pid())
	if err != nil {
		return err
	}
	result.PeakKB = m.Peak
	result.Microsec, result.WallSec = o.perProbe(l.count), o.Wall.Seconds()
	result.Cores = o.CPU.Seconds() / o.Wall.Seconds()
	b.report.Simulation = &result
	return nil
}

// watchDescriptors records the highest number of open files in highest until ctx ends.
func (e *exporter) watchDescriptors(ctx context.Context, highest *int) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		n, err := countDescriptors(e.process.pid())
		if err != nil {
			return err
		}
		*highest = max(*highest, n)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// latency compares the probe durations in replies with and without load.
type latency struct {
	Exporter      string
	Case          string
	RatePerSecond float64
	ReachedPerSec float64
	UnloadedMs    float64 // median of probe_duration_seconds
	LoadedMs      float64
	Loaded99Ms    float64
	PhaseGap      float64 // median of |duration − sum of phases| / duration under load; NaN is written as -1
}

// measureLatency checks whether a busy exporter still measures the target's time and not its own.
func (b *bench) measureLatency(ctx context.Context) error {
	for _, e := range b.exporters {
		if e.name == nameFloor {
			continue
		}
		for _, c := range []checkCase{tcpUp, http200} {
			row, err := b.latencyOne(ctx, e, c)
			if err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
			b.report.Latency = append(b.report.Latency, row)
		}
	}
	return nil
}

func (b *bench) latencyOne(ctx context.Context, e *exporter, c checkCase) (latency, error) {
	row := latency{Exporter: e.name, Case: c.name, RatePerSecond: 2000, PhaseGap: -1}
	if err := e.begin(ctx, b); err != nil {
		return row, err
	}
	defer e.end()
	l := e.load(c, b.many(c, 100))
	l.collect = true
	quiet := l
	quiet.concurrency, quiet.rate = 1, 50
	quiet.count = max(int(quiet.rate*b.options.latency.Seconds()), 10)
	o, err := quiet.run(ctx, e)
	if err != nil {
		return row, err
	}
	row.UnloadedMs = 1e3 * quantile(durations(o.Replies), 0.5)

	l.concurrency, l.rate = 4*connections, row.RatePerSecond
	l.count = int(l.rate * b.options.latency.Seconds())
	if o, err = l.run(ctx, e); err != nil {
		return row, err
	}
	row.ReachedPerSec = float64(l.count) / o.Wall.Seconds()
	loaded := durations(o.Replies)
	row.LoadedMs, row.Loaded99Ms = 1e3*quantile(loaded, 0.5), 1e3*quantile(loaded, 0.99)
	if c.scheme != "" {
		gaps := make([]float64, 0, len(o.Replies))
		for _, r := range o.Replies {
			gaps = append(gaps, math.Abs(r.Duration-r.Phases)/r.Duration)
		}
		row.PhaseGap = quantile(gaps, 0.5)
	}
	return row, nil
}

func durations(replies []reply) []float64 {
	values := make([]float64, 0, len(replies))
	for _, r := range replies {
		values = append(values, r.Duration)
	}
	return values
}

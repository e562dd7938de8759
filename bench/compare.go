//go:build linux

package main

import (
	"context"
	"fmt"
	"log"
	"syscall"
)

const (
	pacedRate   = 300 // probes per second, like some thousand targets at 15 s
	connections = 32
)

// comparison is one kind of probe in one mode: the processor time per probe of each exporter, round by round.
type comparison struct {
	Case       string
	Mode       string  // "1", "32": connections; "300/s": paced
	Goal       float64 // wanted ratio peer/rollcall; 0: none
	Microsec   map[string][]float64
	PerSecond  map[string][]float64 // replies per second that the generator reached
	UserShare  map[string]float64   // of the processor time
	ResidentKB map[string]int64     // after the last round
}

// compare measures the exporters in turns, over all rounds, for every case and mode.
func (b *bench) compare(ctx context.Context) error {
	for _, e := range b.exporters {
		if err := e.begin(ctx, b); err != nil {
			return err
		}
		defer e.end()
	}
	for _, c := range checkCases {
		if c.module == "icmp" && !canPing() {
			log.Print("icmp is left out: no permission to send pings")
			continue
		}
		modes := []load{
			{concurrency: 1, count: max(b.options.probes/4, 1)},
			{concurrency: connections, count: b.options.probes},
		}
		if c.paced {
			modes = append(modes, load{
				concurrency: connections, rate: pacedRate, count: max(int(pacedRate*b.options.pacedTime.Seconds()), 1),
			})
		}
		for i, mode := range modes {
			row, err := b.compareOne(ctx, c, mode)
			if err != nil {
				return err
			}
			row.Goal = c.goals[i]
			b.report.Comparisons = append(b.report.Comparisons, row)
		}
	}
	return nil
}

// canPing reports whether the exporters, which run as we do, can open a socket for pings.
func canPing() bool {
	for _, kind := range []int{syscall.SOCK_DGRAM, syscall.SOCK_RAW} {
		fd, err := syscall.Socket(syscall.AF_INET, kind|syscall.SOCK_CLOEXEC, syscall.IPPROTO_ICMP)
		if err == nil {
			return syscall.Close(fd) == nil
		}
	}
	return false
}

func (b *bench) compareOne(ctx context.Context, c checkCase, mode load) (comparison, error) {
	row := comparison{
		Case: c.name, Mode: fmt.Sprint(mode.concurrency),
		Microsec: make(map[string][]float64), PerSecond: make(map[string][]float64),
		UserShare: make(map[string]float64), ResidentKB: make(map[string]int64),
	}
	if mode.rate > 0 {
		row.Mode = fmt.Sprintf("%g/s", mode.rate)
	}
	for round := -1; round < b.options.rounds; round++ {
		for _, e := range b.exporters {
			if c.leavesOut(e) {
				continue
			}
			l := e.load(c, b.one(c))
			l.count, l.concurrency, l.rate = mode.count, mode.concurrency, mode.rate
			if round < 0 { // warm-up: connections, pools, heap size
				l.count, l.rate = max(min(200, mode.count/4), 1), 0
			}
			before, err := readTicks(e.process.pid())
			if err != nil {
				return row, err
			}
			o, err := l.run(ctx, e)
			if err != nil {
				return row, err
			}
			if round < 0 {
				continue
			}
			row.Microsec[e.name] = append(row.Microsec[e.name], o.perProbe(l.count))
			row.PerSecond[e.name] = append(row.PerSecond[e.name], float64(l.count)/o.Wall.Seconds())
			after, err := readTicks(e.process.pid())
			if err != nil {
				return row, err
			}
			if user, system := after.user-before.user, after.system-before.system; user+system > 0 {
				row.UserShare[e.name] = float64(user) / float64(user+system)
			}
			m, err := readMemory(e.process.pid())
			if err != nil {
				return row, err
			}
			row.ResidentKB[e.name] = m.RSS
		}
	}
	return row, nil
}

// one uses a single target for every probe.
func (b *bench) one(c checkCase) func(int) string {
	target := c.target(b.targets, "127.0.0.1")
	return func(int) string { return target }
}

// many uses n distinct targets in turn, each with its own address.
func (b *bench) many(c checkCase, n int) func(int) string {
	return func(i int) string {
		i %= n
		return c.target(b.targets, fmt.Sprintf("127.%d.%d.%d", 1+i>>16, i>>8&0xff, i&0xff))
	}
}

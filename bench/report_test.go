//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMarkdown(t *testing.T) {
	r := &report{
		Go: "go1.26", Kernel: "6.1", Processors: 2, GOGC: 100, Rounds: 3, Probes: 4000, Versions: map[string]string{nameRollcall: "rollcall 1"},
		Comparisons: []comparison{{
			Case: "tcp up", Mode: "32", Goal: 5,
			Microsec:   map[string][]float64{nameRollcall: {50, 100, 60}, nameBlackbox: {400, 800, 600}},
			ResidentKB: map[string]int64{nameRollcall: 26 << 10, nameBlackbox: 30 << 10},
		}},
		InFlight:   []inFlight{{Case: "http", Exporter: "rollcall", Count: 5000, KiBPerProbe: 27.84, Descriptors: 10010, InTime: 4999, Late: 1, MedianSec: 9.6, MaxSec: 10.1}},
		Latency:    []latency{{Exporter: "rollcall", Case: "tcp up", ReachedPerSec: 2000, UnloadedMs: 0.1, LoadedMs: 0.2, Loaded99Ms: 0.9, PhaseGap: -1}},
		Linearity:  &linearity{Exporter: "rollcall", Targets: []int{10, 100}, Microsec: [][]float64{{70, 72, 71}, {78, 78.1, 80}}},
		Soak:       &soaking{Probes: 100, ResidentKB: []int64{1024, 1536}, Microsec: 70},
		Simulation: &simulation{Targets: 1000, Interval: time.Minute, Microsec: 90, Cores: 0.125, WallSec: 60, RestKB: 2048, PeakKB: 4096, Descriptors: 300},
	}
	const want = `go1.26, Linux 6.1, 2 processors, GOGC=100, 3 rounds, slices of 4000 probes.
rollcall: rollcall 1.

User and system time of the exporter per probe, medians; ratios are medians of the rounds' ratios.

| probe | connections | rollcall µs | blackbox µs | floor µs | blackbox/rollcall | goal | rollcall/floor | RSS MiB (r/b/f) |
|---|---|---|---|---|---|---|---|---|
| tcp up | 32 | 60 | 600 | – | 8.00 | ≥ 5 | – | 26 / 30 / 0 |

Probes of a silent server, all sent at once. In time: within the scrape timeout. Late: after it.

| in flight | exporter | probes | KiB each at peak | descriptors | in time | late | no reply | median s | max s |
|---|---|---|---|---|---|---|---|---|---|
| http | rollcall | 5000 | 27.8 | 10010 | 4999 | 1 | 0 | 9.60 | 10.10 |

Probe durations in the replies, idle and under load.

| probe | exporter | probes/s | unloaded p50 ms | loaded p50 ms | loaded p99 ms | phases differ by |
|---|---|---|---|---|---|---|
| tcp up | rollcall | 2000 | 0.100 | 0.200 | 0.900 |  |

Cost by the number of distinct targets (http, 32 connections); spread 10.0 %.

| distinct targets | µs per probe |
|---|---|
| 10 | 71.0 |
| 100 | 78.1 |

Resident memory over 100 probes, MiB after each tenth: 1.0 1.5; 70 µs per probe.

1000 distinct targets every 1m0s: 0.12 cores, 90 µs per probe, 60.0 s for the round, 2.0 MiB at rest, 4.0 MiB at peak, at most 300 descriptors.
`
	var got strings.Builder
	if err := r.markdown(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestChooseSteps(t *testing.T) {
	all, err := chooseSteps("", false)
	if err != nil || len(all) != len(steps)-1 {
		t.Errorf("without a profile's directory: %v, %v; want all but the profile", all, err)
	}
	if all, err := chooseSteps("", true); err != nil || len(all) != len(steps) {
		t.Errorf("with a profile's directory: %v, %v; want all", all, err)
	}
	if some, err := chooseSteps("soak,compare", false); err != nil || !slices.Equal(some, []int{0, 4}) {
		t.Errorf("soak,compare: %v, %v; want these in the order of the steps", some, err)
	}
	if _, err := chooseSteps("compare,guess", false); err == nil || !strings.Contains(err.Error(), `"guess"`) {
		t.Errorf("an unknown step: %v", err)
	}
}

//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// report has all results, in the form of the JSON file.
type report struct {
	Time        time.Time
	Go          string
	Kernel      string
	Processors  int
	GOGC        int
	Rounds      int
	Probes      int
	Versions    map[string]string
	Comparisons []comparison `json:",omitempty"`
	InFlight    []inFlight   `json:",omitempty"`
	Latency     []latency    `json:",omitempty"`
	Linearity   *linearity   `json:",omitempty"`
	Soak        *soaking     `json:",omitempty"`
	Simulation  *simulation  `json:",omitempty"`
	Scheduled   []scheduled  `json:",omitempty"`
}

func newReport(o options) *report {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return &report{
		Time: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), Kernel: strings.TrimSpace(string(kernel)),
		Processors: runtime.NumCPU(), GOGC: o.gogc, Rounds: o.rounds, Probes: o.probes, Versions: make(map[string]string),
	}
}

// markdown writes the tables of results.
func (r *report) markdown(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s, Linux %s, %d processors, GOGC=%d, %d rounds, slices of %d probes.\n",
		r.Go, r.Kernel, r.Processors, r.GOGC, r.Rounds, r.Probes)
	for _, name := range []string{nameRollcall, nameBlackbox} {
		if v, ok := r.Versions[name]; ok {
			fmt.Fprintf(&out, "%s: %s.\n", name, v)
		}
	}
	r.comparisonTable(&out)
	r.inFlightTable(&out)
	r.latencyTable(&out)
	r.scaleTables(&out)
	r.scheduleTable(&out)
	_, err := w.Write(out.Bytes())
	return err
}

func (r *report) comparisonTable(out *bytes.Buffer) {
	if len(r.Comparisons) == 0 {
		return
	}
	table := [][]string{{"probe", "connections", "rollcall µs", "blackbox µs", "floor µs",
		"blackbox/rollcall", "goal", "rollcall/floor", "RSS MiB (r/b/f)"}}
	for _, c := range r.Comparisons {
		rollcall, blackbox, floor := c.Microsec[nameRollcall], c.Microsec[nameBlackbox], c.Microsec[nameFloor]
		goal := ""
		if c.Goal > 0 {
			goal = fmt.Sprintf("≥ %g", c.Goal)
		}
		table = append(table, []string{
			c.Case, c.Mode, number(median(rollcall), 0), number(median(blackbox), 0), number(median(floor), 0),
			number(medianRatio(blackbox, rollcall), 2), goal, number(medianRatio(rollcall, floor), 2),
			fmt.Sprintf("%d / %d / %d", c.ResidentKB[nameRollcall]>>10, c.ResidentKB[nameBlackbox]>>10, c.ResidentKB[nameFloor]>>10),
		})
	}
	fmt.Fprint(out, "\nUser and system time of the exporter per probe, medians; ratios are medians of the rounds' ratios.\n\n")
	writeTable(out, table)
}

func (r *report) inFlightTable(out *bytes.Buffer) {
	if len(r.InFlight) == 0 {
		return
	}
	table := [][]string{{"in flight", "exporter", "probes", "KiB each at peak", "descriptors", "in time", "late", "no reply", "median s", "max s"}}
	for _, f := range r.InFlight {
		table = append(table, []string{
			f.Case, f.Exporter, fmt.Sprint(f.Count), number(f.KiBPerProbe, 1), fmt.Sprint(f.Descriptors), fmt.Sprint(f.InTime),
			fmt.Sprint(f.Late), fmt.Sprint(f.Missing), number(f.MedianSec, 2), number(f.MaxSec, 2),
		})
	}
	fmt.Fprint(out, "\nProbes of a silent server, all sent at once. In time: within the scrape timeout. Late: after it.\n\n")
	writeTable(out, table)
}

func (r *report) latencyTable(out *bytes.Buffer) {
	if len(r.Latency) == 0 {
		return
	}
	table := [][]string{{"probe", "exporter", "probes/s", "unloaded p50 ms", "loaded p50 ms", "loaded p99 ms", "phases differ by"}}
	for _, l := range r.Latency {
		gap := ""
		if l.PhaseGap >= 0 {
			gap = number(100*l.PhaseGap, 1) + " %"
		}
		table = append(table, []string{
			l.Case, l.Exporter, number(l.ReachedPerSec, 0), number(l.UnloadedMs, 3), number(l.LoadedMs, 3), number(l.Loaded99Ms, 3), gap,
		})
	}
	fmt.Fprint(out, "\nProbe durations in the replies, idle and under load.\n\n")
	writeTable(out, table)
}

func (r *report) scaleTables(out *bytes.Buffer) {
	if l := r.Linearity; l != nil {
		table := [][]string{{"distinct targets", "µs per probe"}}
		var medians []float64
		for i, n := range l.Targets {
			medians = append(medians, median(l.Microsec[i]))
			table = append(table, []string{fmt.Sprint(n), number(medians[i], 1)})
		}
		fmt.Fprintf(out, "\nCost by the number of distinct targets (http, %d connections); spread %s %%.\n\n", connections, number(100*spread(medians), 1))
		writeTable(out, table)
	}
	if s := r.Soak; s != nil {
		fmt.Fprintf(out, "\nResident memory over %d probes, MiB after each tenth:", s.Probes)
		for _, kb := range s.ResidentKB {
			fmt.Fprintf(out, " %.1f", float64(kb)/1024)
		}
		fmt.Fprintf(out, "; %s µs per probe.\n", number(s.Microsec, 0))
	}
	if s := r.Simulation; s != nil {
		fmt.Fprintf(out, "\n%d distinct targets every %s: %s cores, %s µs per probe, %s s for the round, %.1f MiB at rest, %.1f MiB at peak, at most %d descriptors.\n",
			s.Targets, s.Interval, number(s.Cores, 2), number(s.Microsec, 0), number(s.WallSec, 1),
			float64(s.RestKB)/1024, float64(s.PeakKB)/1024, s.Descriptors)
	}
}

// number formats v with that many decimals, and a dash for a value that was not measured.
func number(v float64, decimals int) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

// writeTable writes rows as a Markdown table; the first row is the header.
func writeTable(out *bytes.Buffer, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(out, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
}

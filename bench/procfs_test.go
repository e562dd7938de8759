//go:build linux

package main

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const stat = "4242 (a name) with (paren) S 1 4242 4242 0 -1 4194560 1000 0 7 0 123 45 0 0 20 0 9 0 55 1 2 3\n"
	got, err := parseStat(stat)
	if want := (ticks{user: 123, system: 45}); err != nil || got != want {
		t.Errorf("parseStat = %v, %v; want %v", got, err, want)
	}
	for name, text := range map[string]string{
		"empty":          "",
		"cut short":      "1 (x) S 1 2 3",
		"not a number":   "1 (x) S 1 1 1 0 -1 1 1 0 7 0 many 45 0 0",
		"negative stime": "1 (x) S 1 1 1 0 -1 1 1 0 7 0 123 -4 0 0",
	} {
		if got, err := parseStat(text); err == nil {
			t.Errorf("%s: parseStat = %v, want an error", name, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	got, err := parseStatus("Name:\tx\nVmPeak:\t 9999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nThreads:\t5\n")
	if want := (memory{RSS: 1024, Peak: 2048}); err != nil || got != want {
		t.Errorf("parseStatus = %v, %v; want %v", got, err, want)
	}
	for name, text := range map[string]string{
		"a kernel thread":  "Name:\tkthreadd\nThreads:\t1\n",
		"another unit":     "VmHWM:\t2 MB\nVmRSS:\t1 MB\n",
		"not a number":     "VmHWM:\t2048 kB\nVmRSS:\tx kB\n",
		"the peak missing": "VmRSS:\t1024 kB\n",
	} {
		if got, err := parseStatus(text); err == nil {
			t.Errorf("%s: parseStatus = %v, want an error", name, got)
		}
	}
}

// TestCPUTime checks that the clock runs while the process works and agrees with the coarse one.
func TestCPUTime(t *testing.T) {
	pid := os.Getpid()
	before, err := cpuTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	coarse, err := readTicks(pid)
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
	}
	after, err := cpuTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	if after <= before {
		t.Errorf("the CPU clock went from %v to %v while busy", before, after)
	}
	if fromTicks := time.Duration(coarse.user+coarse.system) * 10 * time.Millisecond; fromTicks > after+20*time.Millisecond {
		t.Errorf("stat has %v, later the clock has %v", fromTicks, after)
	}
	if _, err := cpuTime(1 << 22); err == nil {
		t.Error("a process number beyond the highest has a clock")
	}
}

func TestReadMemoryAndDescriptors(t *testing.T) {
	m, err := readMemory(os.Getpid())
	if err != nil || m.RSS <= 0 || m.Peak < m.RSS/2 {
		t.Errorf("readMemory = %v, %v", m, err)
	}
	before, err := countDescriptors(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	after, err := countDescriptors(os.Getpid())
	if err != nil || after != before+1 {
		t.Errorf("descriptors went from %d to %d (%v) when one was opened", before, after, err)
	}
}

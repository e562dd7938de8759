package server

import (
	"runtime/debug"
	"testing"
)

func TestDefaultMaxInFlight(t *testing.T) {
	for _, c := range []struct {
		name                string
		descriptors, memory uint64
		want                int
	}{
		{"nothing is known", 0, 0, 100_000},
		{"few descriptors", 256, 0, 64},
		{"fewer descriptors than are reserved", 20, 0, 8},
		{"the usual descriptors, much memory", 1024, 64 << 30, 320},
		{"many descriptors, a small container", 1 << 20, 64 << 20, 256},
		{"many descriptors, 4 GiB", 1 << 20, 4 << 30, 16384},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := defaultMaxInFlight(c.descriptors, c.memory); got != c.want {
				t.Errorf("defaultMaxInFlight(%d, %d) = %d, want %d", c.descriptors, c.memory, got, c.want)
			}
		})
	}
}

func TestMaxConnections(t *testing.T) {
	for _, c := range []struct {
		name                string
		descriptors, memory uint64
		maxInFlight, want   int
	}{
		{"nothing is known", 0, 0, 100, 1_000_000},
		{"few descriptors: every probe has its client, and others are answered", 256, 0, 64, 96},
		{"hardly any descriptor", 64, 0, 8, 16},
		{"more probes than descriptors", 256, 0, 1000, 128},
		{"the usual descriptors", 1024, 64 << 30, 320, 352},
		{"many descriptors, a small container", 1 << 20, 64 << 20, 256, 768},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := maxConnections(c.descriptors, c.memory, c.maxInFlight); got != c.want {
				t.Errorf("maxConnections(%d, %d, %d) = %d, want %d", c.descriptors, c.memory, c.maxInFlight, got, c.want)
			}
		})
	}
}

// TestManyTargetsHaveGarbageCollectedOften: unless GOGC is set.
func TestManyTargetsHaveGarbageCollectedOften(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for _, c := range []struct {
		gogc          string
		targets, want int
	}{{"", 999, 100}, {"", 1000, 50}, {"", 50_000, 33}, {"80", 50_000, 100}} {
		t.Setenv("GOGC", c.gogc)
		debug.SetGCPercent(100)
		collectOften(c.targets)
		if got := debug.SetGCPercent(100); got != c.want {
			t.Errorf("GOGC=%q, %d targets: %d, want %d", c.gogc, c.targets, got, c.want)
		}
	}
}

package main

import "testing"

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

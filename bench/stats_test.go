//go:build linux

package main

import (
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		before := slices.Clone(test.values)
		if got := median(test.values); got != test.want {
			t.Errorf("median(%v) = %v, want %v", before, got, test.want)
		}
		if !slices.Equal(before, test.values) {
			t.Errorf("median reordered %v to %v", before, test.values)
		}
	}
}

func TestMedianRatioPairsTheRounds(t *testing.T) {
	// The second round was three times slower for both, which does not change the ratio.
	if got := medianRatio([]float64{10, 30, 12}, []float64{2, 6, 2}); got != 5 {
		t.Errorf("medianRatio = %v, want 5", got)
	}
	if got := medianRatio([]float64{10, 30}, nil); got != 0 {
		t.Errorf("medianRatio without a peer = %v, want 0", got)
	}
	if got := medianRatio([]float64{10, 8}, []float64{0, 2}); got != 4 {
		t.Errorf("medianRatio with an unmeasured round = %v, want 4", got)
	}
}

func TestQuantile(t *testing.T) {
	values := []int{5, 1, 4, 2, 3}
	for q, want := range map[float64]int{0: 1, 0.5: 3, 1: 5, 2: 5, -1: 1} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile(%v) = %d, want %d", q, got, want)
		}
	}
	if got := quantile([]int(nil), 0.5); got != 0 {
		t.Errorf("quantile of nothing = %d", got)
	}
}

func TestSpread(t *testing.T) {
	if got := spread([]float64{100, 115, 104}); got < 0.1499 || got > 0.1501 {
		t.Errorf("spread = %v, want 0.15", got)
	}
	if got := spread(nil); got != 0 {
		t.Errorf("spread of nothing = %v", got)
	}
}

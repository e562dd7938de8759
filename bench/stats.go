//go:build linux

package main

import (
	"cmp"
	"slices"
)

// quantile returns the q-th quantile (0 to 1) of values by the nearest rank, and zero without values. It sorts values.
func quantile[T cmp.Ordered](values []T, q float64) T {
	if len(values) == 0 {
		var none T
		return none
	}
	slices.Sort(values)
	rank := int(q*float64(len(values)-1) + 0.5)
	return values[min(max(rank, 0), len(values)-1)]
}

// median returns the middle of values, or the mean of the two in the middle, and 0 without values. It does not change values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// medianRatio returns the median of a[i]/b[i] over the rounds. Both were measured in the same round, so other load on the
// machine affects both. It is 0 if there is nothing to compare.
func medianRatio(a, b []float64) float64 {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			ratios = append(ratios, a[i]/b[i])
		}
	}
	return median(ratios)
}

// spread returns the difference between the highest and the lowest of values as a share of the lowest: 0.15 is 15 %.
func spread(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	low, high := slices.Min(values), slices.Max(values)
	if low <= 0 {
		return 0
	}
	return (high - low) / low
}

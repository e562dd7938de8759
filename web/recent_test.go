package web

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"rollcall/probe"
)

func ids(results []result) string {
	var s []string
	for _, r := range results {
		s = append(s, fmt.Sprint(r.id))
	}
	return strings.Join(s, " ")
}

func fill(h *recentResults, verdicts string) {
	for _, v := range verdicts {
		r := &probe.Record{Target: "x", Result: upResult()}
		if v == 'F' {
			r.Result = downResult()
		}
		h.add(r)
	}
}

func TestRecentResultsKeepsRecentResultsAndOlderFailures(t *testing.T) {
	for _, test := range []struct {
		limit          int
		verdicts, kept string
	}{
		{0, "SFS", ""},
		{-1, "SFS", ""},
		{1, "SSS", "3"},
		{3, "", ""},
		{3, "SF", "2 1"},
		{3, "SSSS", "4 3 2"},
		{3, "FSSSSSS", "7 6 5 1"},
		{3, "FFFFFFF", "7 6 5 4 3 2"},
		{2, "FFSFSSSSFSS", "11 10 9 4"},
	} {
		h := newRecentResults(test.limit)
		fill(h, test.verdicts)
		if got := ids(h.latest(100)); got != test.kept {
			t.Errorf("limit %d, %s: %q is kept, want %q", test.limit, test.verdicts, got, test.kept)
		}
		if h.bytes < 0 || (h.recent.count == 0) != (h.bytes == 0) {
			t.Errorf("limit %d, %s: %d bytes", test.limit, test.verdicts, h.bytes)
		}
	}
}

func TestRecentResultsIsBoundedInBytes(t *testing.T) {
	h := newRecentResults(1 << 30)
	large := strings.Repeat("a", 1<<20)
	for i := range 100 {
		r := &probe.Record{Target: large, Result: upResult()}
		if i%2 == 0 {
			r.Result = downResult()
		}
		h.add(r)
		if h.bytes > maxRecentBytes {
			t.Fatalf("%d bytes are kept", h.bytes)
		}
	}
	if got := h.latest(1); len(got) != 1 || got[0].id != 100 {
		t.Errorf("the newest result is gone: %s", ids(got))
	}
	total := 0
	for _, r := range h.latest(1000) {
		total += r.bytes
	}
	if total != h.bytes {
		t.Errorf("%d bytes are counted, %d kept", h.bytes, total)
	}
	trace := new(probe.Trace)
	trace.Step("%s", large[:10<<10])
	if traced := (probe.Record{Trace: trace}); recordBytes(&traced) < 10<<10 {
		t.Error("a trace is not counted")
	}
}

func TestRecentResultsLimitDoesNotCostMemoryUntilUsed(t *testing.T) {
	h := newRecentResults(math.MaxInt)
	fill(h, "SF")
	if n := len(h.recent.results); n > 16 {
		t.Errorf("room for %d results", n)
	}
}

func TestRecentResultsConcurrency(t *testing.T) {
	h := newRecentResults(5)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			fill(h, strings.Repeat("SFF", 50))
			h.latest(10)
			h.find(func(*result) bool { return false })
		})
	}
	wait.Wait()
	if got := h.latest(1); got[0].id != 8*150 {
		t.Errorf("the newest of %d is %d", 8*150, got[0].id)
	}
}

func TestObservingDoesNotAllocate(t *testing.T) {
	h := newFixture(t, nil)
	record := &probe.Record{Module: "m", Prober: "tcp", Target: "x", Result: upResult()}
	for range 200 {
		h.Observe(record) // the ring has grown
	}
	if allocs := testing.AllocsPerRun(100, func() { h.Observe(record) }); allocs > 0 {
		t.Errorf("keeping a result takes %v allocations", allocs)
	}
}

package server

import (
	"log/slog"
	"testing"
	"time"

	"rollcall/probe"
)

// TestNothingWaitsForAStoreThatDoesNotRun: where a server has the history, results would fill the queue of the store.
func TestNothingWaitsForAStoreThatDoesNotRun(t *testing.T) {
	a := newArchive(Options{StoragePath: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	a.Observe(&probe.Record{Module: "m", Target: "x:1", Scheduled: true})
	a.noVerdict(&probe.Target{Module: "m", Target: "x:1"}, time.Now())
	if stats := a.store.Stats(); stats.Pending != 0 || stats.Dropped != 0 {
		t.Errorf("%+v", stats)
	}
}

package history

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// BenchmarkObserve is the cost of history for a probe: what its goroutine does.
func BenchmarkObserve(b *testing.B) {
	s := New(Options{Dir: b.TempDir()})
	r := testRecord(crashTargets[0], time.Now(), StateUp, 20*time.Millisecond)
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		s.Observe(r)
		if n%1000 == 0 {
			b.StopTimer()
			s.takeIn()
			b.StartTimer()
		}
	}
	if dropped := s.Stats().Dropped; dropped > 0 {
		b.Errorf("%d results were dropped", dropped)
	}
}

// BenchmarkTakeIn is the whole cost of a result but for the disk.
func BenchmarkTakeIn(b *testing.B) {
	s, stop := runStore(b, Options{Dir: b.TempDir()})
	defer stop()
	s.Apply(crashTargets)
	flush(b, s)
	at := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for range 1000 {
			at = at.Add(time.Minute)
			s.Observe(testRecord(crashTargets[0], at, StateUp, 20*time.Millisecond))
		}
		s.takeIn()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/result")
}

// benchTargets are n targets that are probed once a minute.
func benchTargets(n int) []Target {
	targets := make([]Target, n)
	for i := range targets {
		targets[i] = Target{
			Module: "http_2xx", Target: fmt.Sprintf("https://host-%05d.example/health", i), Name: fmt.Sprintf("host %d", i),
			Group: fmt.Sprintf("group %d", i%50), Interval: time.Minute, Labels: map[string]string{"team": "web"},
		}
	}
	return targets
}

// writePast fills a store's file with the results of days before today, as closeDays leaves them. Single results and
// the finer rollups are written for the last days only, when all is false.
func writePast(b *testing.B, s *Store, targets []Target, days int, all bool) {
	b.Helper()
	db, err := openFile(s.options.Dir, 0)
	if err != nil {
		b.Fatal(err)
	}
	db.NoSync = true
	rng := rand.New(rand.NewPCG(21, 22))
	today := dayOf(time.Now().UnixMilli())
	usual := make([]*block, 16)
	for d := today - int64(days); d < today; d++ {
		for i := range usual {
			usual[i] = &block{points: usualPoints(rng, timeOf(d*day), 1440, time.Minute)}
		}
		rows := make([][]row, len(usual))
		for i, bl := range usual {
			for _, level := range levels[1:] {
				rows[i] = append(rows[i], row{level.bucket, newChunk(bl, d, level.step).encode()})
			}
			rows[i] = append(rows[i], row{bucketResults, bl.encode()})
		}
		err := db.Update(func(tx *bbolt.Tx) error {
			for n, t := range targets {
				id := rowID(t.ID())
				for _, r := range rows[n%len(rows)] {
					if !all && d < today-9 && string(r.key) != "1d" {
						continue
					}
					if err := tx.Bucket(r.key).Put(dayTargetKey(d, id), r.value); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRead90Days reads one target's 90 days.
func BenchmarkRead90Days(b *testing.B) {
	targets := benchTargets(20)
	o := Options{Dir: b.TempDir()}
	writePast(b, New(o), targets, 90, true)
	s, stop := runStore(b, o)
	defer stop()
	s.Apply(targets)
	flush(b, s)
	info, err := os.Stat(filepath.Join(o.Dir, fileName))
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	from := now.Add(-90 * 24 * time.Hour)
	b.Run("results", func(b *testing.B) {
		for b.Loop() {
			results, err := s.Results(b.Context(), targets[3].ID(), from, now, 1<<30)
			if err != nil || len(results) < 89*1440 {
				b.Fatal(len(results), err)
			}
		}
		b.ReportMetric(float64(info.Size())/(20*90*1440), "filebytes/result")
	})
	for _, step := range []time.Duration{24 * time.Hour, time.Hour, 30 * time.Minute} {
		b.Run(step.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Series(b.Context(), targets[3].ID(), from, now, step); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTargets10000 is a page of 10,000 targets: the time of an overview, of reading the file at the start, and the
// memory.
func BenchmarkTargets10000(b *testing.B) {
	targets := benchTargets(10_000)
	o := Options{Dir: b.TempDir()}
	writePast(b, New(o), targets, 30, false)
	start := time.Now()
	s, stop := runStore(b, o)
	s.Apply(targets)
	flush(b, s)
	first := time.Since(start)
	s.mu.Lock()
	s.mustSeal = true
	s.mu.Unlock()
	flush(b, s)
	stop()
	s = nil
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	start = time.Now()
	s, stop = runStore(b, o)
	defer func() { stop() }()
	s.Apply(targets)
	flush(b, s)
	loaded := time.Since(start)
	begin := time.Now().Add(-2 * time.Hour)
	for i := range 115 { // what is in memory before a seal
		for _, t := range targets {
			s.Observe(testRecord(t, begin.Add(time.Duration(i)*time.Minute), StateUp, 20*time.Millisecond))
		}
		flush(b, s)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for _, r := range Ranges() {
		b.Run(string(r), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Overview(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(loaded.Seconds(), "s-start")
			b.ReportMetric(first.Seconds(), "s-count")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		})
	}
}

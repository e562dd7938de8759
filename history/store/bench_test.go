package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/boltfile"
	"rollcall/history"
	"rollcall/history/block"
	"rollcall/probe"

	"go.etcd.io/bbolt"
)

// BenchmarkObserve is the cost of history for a probe: what its goroutine does.
func BenchmarkObserve(b *testing.B) {
	s := New(Options{Dir: b.TempDir()})
	r := testRecord(crashTargets[0], time.Now(), history.StateUp, 20*time.Millisecond)
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
			s.Observe(testRecord(crashTargets[0], at, history.StateUp, 20*time.Millisecond))
		}
		s.takeIn()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/result")
}

// benchTargets are n targets that are probed once a minute.
func benchTargets(n int) []*probe.Target {
	targets := make([]*probe.Target, n)
	for i := range targets {
		targets[i] = &probe.Target{
			Module: "http_2xx", Target: fmt.Sprintf("https://host-%05d.example/health", i), Name: fmt.Sprintf("host %d", i),
			Group: fmt.Sprintf("group %d", i%50), Interval: time.Minute, Labels: labels.FromMap(map[string]string{"team": "web"}),
		}
	}
	return targets
}

// writePast fills a store's file with the results of days before today. Single results and the finer rollups are written
// for the last days only, when all is false.
func writePast(b *testing.B, dir string, targets []*probe.Target, days int, all bool) {
	b.Helper()
	d := &disk{Store: New(Options{Dir: dir})}
	f, _, err := boltfile.OpenOrReplace(d.path(), d.format(), func(*boltfile.File) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(21, 22))
	today := block.DayOf(time.Now().UnixMilli())
	for day := today - int64(days); day < today; day++ {
		usual := usualRows(b, d, f, rng, day)
		err := f.Update(func(tx *bbolt.Tx) error {
			for n, t := range targets {
				for bucket, values := range usual {
					if !all && day < today-9 && bucket != "1d" {
						continue
					}
					if err := tx.Bucket([]byte(bucket)).Put(dayTargetKey(day, rowID(t.ID())), values[n%len(values)]); err != nil {
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
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// usualRows are the rows of some targets' day, by bucket.
func usualRows(b *testing.B, d *disk, f *boltfile.File, rng *rand.Rand, day int64) map[string][][]byte {
	rows := make(map[string][][]byte)
	stop := errors.New("the transaction is not kept")
	err := f.Update(func(tx *bbolt.Tx) error {
		for id := range uint64(16) {
			var points []block.Point
			for i := range int64(1440) {
				r := testRecord(crashTargets[0], block.TimeOf(day*block.Day+i*block.Minute+rng.Int64N(5)), history.StateUp, time.Duration(math1(rng)*80e6))
				r.Result.TLS = &probe.TLSFacts{EarliestExpiry: time.Unix(1800000000, 0)}
				r.Result.Phases.TLS, r.Result.Phases.Transfer = time.Duration(math1(rng)*25e6), time.Duration(math1(rng)*1e6)
				points = append(points, block.NewPoint(&r.Result, block.Minute))
			}
			if err := d.putDay(tx, id, day, block.Turn{}, points); err != nil {
				return err
			}
			for _, bucket := range [][]byte{bucketResults, bucketHours, bucketDays} {
				rows[string(bucket)] = append(rows[string(bucket)], bytes.Clone(tx.Bucket(bucket).Get(dayTargetKey(day, id))))
			}
		}
		return stop
	})
	if !errors.Is(err, stop) {
		b.Fatal(err)
	}
	return rows
}

// BenchmarkRead90Days reads one target's 90 days.
func BenchmarkRead90Days(b *testing.B) {
	targets := benchTargets(20)
	o := Options{Dir: b.TempDir()}
	writePast(b, o.Dir, targets, 90, true)
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
	writePast(b, o.Dir, targets, 30, false)
	start := time.Now()
	s, stop := runStore(b, o)
	s.Apply(targets)
	flush(b, s)
	first := time.Since(start)
	s.mu.Lock()
	s.sealAll()
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
			s.Observe(testRecord(t, begin.Add(time.Duration(i)*time.Minute), history.StateUp, 20*time.Millisecond))
		}
		flush(b, s)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for _, r := range history.Ranges() {
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

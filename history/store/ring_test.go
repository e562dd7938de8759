package store

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rollcall/history"
	"rollcall/history/block"
)

// TestRingKeepsItsBuckets: packed or not, and written by a former version or not.
func TestRingKeepsItsBuckets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []ringKind{halfHours, threeHours, days} {
		r := ring{kind: kind}
		want := make([]history.Counts, r.n())
		for i := range want {
			if i > 0 && rng.IntN(3) > 0 {
				want[i] = want[i-1]
			} else {
				want[i] = history.Counts{Up: rng.Uint32N(1500), Down: rng.Uint32N(3), Unknown: rng.Uint32N(200)}
			}
		}
		r.Number = 1000
		r.set(slices.Clone(want))
		if got := r.unpack(new([maxBuckets]history.Counts)); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		var older []byte
		for _, c := range want[:len(want)-1] {
			for _, n := range []uint32{c.Up, c.Down, c.Unknown} {
				older = binary.AppendUvarint(older, uint64(n))
			}
		}
		for form, written := range map[string]any{
			"this version":     &r,
			"a former version": map[string]any{"Number": 1000, "Newest": want[len(want)-1], "Older": older},
		} {
			read := ring{kind: kind}
			if err := json.Unmarshal(encodeJSON(written), &read); err != nil || read.Number != 1000 || !slices.Equal(read.unpack(new([maxBuckets]history.Counts)), want) {
				t.Errorf("of %s: %v %+v, want %v", form, err, read.unpack(new([maxBuckets]history.Counts)), want)
			}
		}
	}
}

// TestSteadyTargetIsSmall holds what docs/performance.md builds on.
func TestSteadyTargetIsSmall(t *testing.T) {
	l := newLive(1)
	at := time.Now().Add(-90 * 24 * time.Hour).UnixMilli()
	for range 90 * 24 * 60 {
		l.count(&block.Point{Turn: block.Turn{Time: at, Interval: block.Minute}, State: block.Up, Duration: 100})
		at += block.Minute
	}
	for _, r := range l.rings() {
		if len(r.Runs) > 20 {
			t.Errorf("%d bytes for %d equal buckets", len(r.Runs), r.n())
		}
	}
}

// TestNewTargetsAreSealedInTurn: a tick writes some hundred rows at most, in the order of their keys, and those that are to be
// written together later are neighbours.
func TestNewTargetsAreSealedInTurn(t *testing.T) {
	now := time.Now()
	d := &disk{Store: New(Options{Dir: t.TempDir()}), lastFlush: now, expired: now}
	d.reopen(now)
	defer func() { d.file.Load().Close() }()
	targets := benchTargets(3 * sealsPerFlush / 2)
	d.Apply(targets)
	waiting := func() (n int) {
		for _, l := range d.byID {
			if l.save {
				n++
			}
		}
		return n
	}
	for tick, want := range []int{sealsPerFlush / 2, 0} {
		if err := d.tick(now.Add(time.Duration(tick)*tickEvery+flushEvery), false); err != nil {
			t.Fatal(err)
		}
		if n := waiting(); n != want {
			t.Errorf("after tick %d %d are not written, want %d", tick, n, want)
		}
	}
	var due []uint64
	for _, l := range d.byID {
		if windowOf(l.id, now) != windowOf(l.id, now.Add(time.Minute)) {
			due = append(due, l.id)
		}
	}
	slices.Sort(due)
	if len(due) == 0 || due[len(due)-1]-due[0] > 1<<64/50 {
		t.Errorf("%d targets of a minute are %d apart", len(due), due[len(due)-1]-due[0])
	}
}

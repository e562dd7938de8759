package history

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// usualPoints is what a target looks like that is probed over HTTPS: 5 % jitter, a slow answer now and then, and a
// short time down.
func usualPoints(rng *rand.Rand, start time.Time, n int, interval time.Duration) []point {
	points := make([]point, n)
	jitter := func(d time.Duration) time.Duration {
		f := 1 + 0.05*rng.NormFloat64()
		if rng.IntN(50) == 0 {
			f *= 3
		}
		return time.Duration(max(f, 0.1) * float64(d))
	}
	for i := range points {
		p := &points[i]
		at := start.Add(time.Duration(i)*interval + time.Duration(rng.IntN(5))*time.Millisecond)
		p.time, p.interval, p.state, p.expiry, p.status = at.UnixMilli(), interval.Milliseconds(), up, 1800000000, 200
		if i%700 > 690 {
			p.state, p.status, p.failure, p.expiry = down, 0, failure{"connect", "connection_refused"}, 0
		}
		phases := []time.Duration{jitter(2 * time.Millisecond), jitter(11 * time.Millisecond), jitter(25 * time.Millisecond), jitter(40 * time.Millisecond), jitter(time.Millisecond)}
		var sum time.Duration
		for j, d := range phases {
			if p.state == down && j > 1 {
				break
			}
			sum += d
			p.phases[j] = encodeDuration(d, coarse)
		}
		p.duration = encodeDuration(sum+300*time.Microsecond, fine)
	}
	return points
}

func TestBlockSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, n := range []int{120, 1440} {
		bl := block{points: usualPoints(rng, start, n, time.Minute)}
		packed := bl.encode()
		perResult := float64(len(packed)) / float64(n)
		t.Logf("%d results with five phases: %.2f bytes each", n, perResult)
		if perResult > 9 {
			t.Errorf("%d results take %.2f bytes each", n, perResult)
		}
		got, err := decodeBlock(packed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bl.points, got.points, cmp.AllowUnexported(point{}, failure{})); diff != "" {
			t.Errorf("a block came back changed:\n%s", diff)
		}
	}
}

func FuzzBlock(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	bl := block{before: 1, beforeInterval: 2, points: usualPoints(rng, time.Unix(1000000, 0), 30, time.Second)}
	row, err := unpack(bl.encode())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	f.Add([]byte{blockVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, row []byte) {
		bl, err := readBlock(row)
		if err != nil {
			return
		}
		again, err := decodeBlock(bl.encode())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if diff := cmp.Diff(bl.points, again.points, cmp.AllowUnexported(point{}, failure{})); diff != "" {
			t.Errorf("a block came back changed:\n%s", diff)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack([]byte("a row")))
	f.Add([]byte{1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, row []byte) {
		if _, err := unpack(row); err == nil && len(row) < 5 {
			t.Errorf("%x has no room for a checksum and content", row)
		}
		if b, err := inflate(row); err == nil && len(b) > maxRow {
			t.Errorf("unpacked to %d bytes", len(b))
		}
	})
}

func FuzzPoints(f *testing.F) {
	var b []byte
	var before point
	for _, p := range usualPoints(rand.New(rand.NewPCG(5, 6)), time.Unix(1000000, 0), 10, time.Second) {
		b = appendPoint(b, &before, &p)
		before = p
	}
	f.Add(b)
	f.Add([]byte(" \x02\x01")) // a string longer than what is left
	f.Fuzz(func(t *testing.T, row []byte) {
		points, err := readPoints(row)
		if err != nil {
			return
		}
		var again []byte
		var before point
		for _, p := range points {
			again = appendPoint(again, &before, &p)
			before = p
		}
		back, err := readPoints(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(points, back, cmp.AllowUnexported(point{}, failure{})); diff != "" {
			t.Errorf("points came back changed:\n%s", diff)
		}
	})
}

func TestCodesKeepOrderAndPrecision(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 100000 {
		us := rng.Int64N(1 << rng.IntN(32+1))
		for precision, limit := range map[uint]float64{fine: 1.0 / 256, coarse: 1.0 / 64} {
			c := encodeMicros(us, precision)
			if got := c.micros(precision); float64(max(got-us, us-got)) > limit*float64(us) {
				t.Fatalf("%d µs comes back as %d at precision %d", us, got, precision)
			}
			if next := encodeMicros(us+1, precision); next < c {
				t.Fatalf("%d µs has a greater code than %d µs at precision %d", us, us+1, precision)
			}
		}
		if encodeMicros(encodeMicros(us, fine).micros(fine), coarse) != encodeMicros(us, coarse) {
			t.Fatalf("%d µs changes its bin when it is kept as a fine code first", us)
		}
	}
}

package block

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// usualPoints is what a target looks like that is probed over HTTPS: 5 % jitter, a slow answer now and then, and a
// short time down.
func usualPoints(rng *rand.Rand, start time.Time, n int, interval time.Duration) []Point {
	points := make([]Point, n)
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
		p.Time, p.Interval, p.State, p.Expiry, p.Status = at.UnixMilli(), interval.Milliseconds(), Up, 1800000000, 200
		if i%700 > 690 {
			p.State, p.Status, p.Failure, p.Expiry = Down, 0, &Failure{"connect", "connection_refused"}, 0
		}
		phases := []time.Duration{jitter(2 * time.Millisecond), jitter(11 * time.Millisecond), jitter(25 * time.Millisecond), jitter(40 * time.Millisecond), jitter(time.Millisecond)}
		var sum time.Duration
		for j, d := range phases {
			if p.State == Down && j > 1 {
				break
			}
			sum += d
			p.Phases[j] = EncodeDuration(d, Coarse)
		}
		p.Duration = EncodeDuration(sum+300*time.Microsecond, Fine)
	}
	return points
}

func TestBlockSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, n := range []int{120, 1440} {
		bl := Block{Points: usualPoints(rng, start, n, time.Minute)}
		packed := bl.Encode()
		perResult := float64(len(packed)) / float64(n)
		t.Logf("%d results with five phases: %.2f bytes each", n, perResult)
		if perResult > 9 {
			t.Errorf("%d results take %.2f bytes each", n, perResult)
		}
		var got Block
		if err := got.Decode(packed); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bl.Points, got.Points); diff != "" {
			t.Errorf("a block came back changed:\n%s", diff)
		}
	}
}

// unpacked is what a fuzz target begins with: the checksum would hide the format from it.
func unpacked(f *testing.F, packed []byte) []byte {
	f.Helper()
	row, err := Unpack(packed, nil)
	if err != nil {
		f.Fatal(err)
	}
	return row
}

func FuzzBlock(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	bl := Block{Before: Turn{1, 2}, Points: usualPoints(rng, time.Unix(1000000, 0), 30, time.Second)}
	f.Add(unpacked(f, bl.Encode()))
	f.Add([]byte{blockVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, row []byte) {
		var bl, again Block
		if bl.read(row) != nil {
			return
		}
		if err := again.Decode(bl.Encode()); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if diff := cmp.Diff(bl.Points, again.Points); diff != "" {
			t.Errorf("a block came back changed:\n%s", diff)
		}
	})
}

func FuzzChunk(f *testing.F) {
	bl := &Block{Points: []Point{{Turn: Turn{5000, 1000}, State: Up, Duration: 300}, {Turn: Turn{90_000, 1000}, State: Down}}}
	f.Add(unpacked(f, NewChunk(bl, 0, 5*Minute, nil).Encode()))
	f.Add([]byte("\x01\x00\x00N\n\xd0\x0f\xc0\xcf$\x01\x01T\x00\xbe\x02\xd9\xf5\x00\x00\x00\x00\x00\x02\x00\x01 \x01"))                                    // an impossible maximum
	f.Add([]byte("\x01\x00\x00N\n\xd0\x0f\xc0\xcf$\x01\x02\x00\xbe\xd9T\x01\xf5\x00\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\x00\x00\x00\x1b\x02\x00\x01\x01\x01")) // an impossible sum
	f.Fuzz(func(t *testing.T, row []byte) {
		ch, err := readChunk(row, 0)
		if err != nil {
			return
		}
		for i := range ch.Cells {
			if p := ch.Cells[i].Point(0); p.Min < 0 || p.P50 < 0 || p.Mean < 0 {
				t.Errorf("negative durations: %+v", p)
			}
		}
		if _, err := DecodeChunk(ch.Encode(), 0); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}

// FuzzUnpack: bytes that Pack did not make are an error, whatever they are.
func FuzzUnpack(f *testing.F) {
	f.Add(Pack([]byte("a row")))
	f.Add([]byte{1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, packed []byte) {
		row, err := Unpack(packed, nil)
		if err == nil && (len(packed) == 0 || len(row) > maxRow) {
			t.Errorf("%x is unpacked to %d bytes", packed, len(row))
		}
	})
}

// TestPackedRowsHaveAChecksum: one bit that a disk has turned is noticed.
func TestPackedRowsHaveAChecksum(t *testing.T) {
	const text = "what a target's row has, and some more of it"
	packed := Pack([]byte(text))
	for i := range packed {
		packed[i] ^= 4
		if row, err := Unpack(packed, nil); err == nil && string(row) != text {
			t.Errorf("after a change of byte %d of %d it is %q", i, len(packed), row)
		}
		packed[i] ^= 4
	}
}

func FuzzPoints(f *testing.F) {
	pack := func(points []Point) (s Stream) {
		last := &s.Before
		for i := range points {
			s.Append(last, &points[i])
			last = &points[i]
		}
		return s
	}
	f.Add(pack(usualPoints(rand.New(rand.NewPCG(5, 6)), time.Unix(1000000, 0), 10, time.Second)).Bytes)
	f.Add([]byte(" \x02\x01")) // a string longer than what is left
	f.Fuzz(func(t *testing.T, row []byte) {
		points, _, err := (&Stream{Bytes: row}).Points(0)
		if err != nil {
			return
		}
		again := pack(points)
		back, _, err := again.Points(0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(points, back); diff != "" {
			t.Errorf("points came back changed:\n%s", diff)
		}
	})
}

// TestStreamIsReadFromAPoint: what is cut off a stream does not change the rest.
func TestStreamIsReadFromAPoint(t *testing.T) {
	points := usualPoints(rand.New(rand.NewPCG(9, 10)), time.Unix(1000000, 0), 20, time.Second)
	s := Stream{Before: points[0]}
	cut := 0
	for i := range points[1:] {
		s.Append(&points[i], &points[i+1])
		if i == 7 {
			cut = len(s.Bytes)
		}
	}
	for _, cutOff := range []bool{false, true} {
		skip := cut
		if cutOff {
			s.Cut(cut, points[8])
			skip = 0
		}
		rest, before, err := s.Points(skip)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(points[9:], rest) + cmp.Diff(points[8].Turn, before); diff != "" {
			t.Errorf("cut off: %t\n%s", cutOff, diff)
		}
	}
}

func TestCodesKeepOrderAndPrecision(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 100000 {
		us := rng.Int64N(1 << rng.IntN(32+1))
		for precision, limit := range map[uint]float64{Fine: 1.0 / 256, Coarse: 1.0 / 64} {
			c := encodeMicros(us, precision)
			if got := c.micros(precision); float64(max(got-us, us-got)) > limit*float64(us) {
				t.Fatalf("%d µs comes back as %d at precision %d", us, got, precision)
			}
			if next := encodeMicros(us+1, precision); next < c {
				t.Fatalf("%d µs has a greater code than %d µs at precision %d", us, us+1, precision)
			}
		}
		if encodeMicros(encodeMicros(us, Fine).micros(Fine), Coarse) != encodeMicros(us, Coarse) {
			t.Fatalf("%d µs changes its bin when it is kept as a fine code first", us)
		}
	}
}

func TestPackedHistogramIsTheHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var plain Histogram
	var packed PackedHistogram
	for i := range 2000 {
		c := EncodeDuration(time.Duration(rng.ExpFloat64()*float64(20*time.Millisecond)), Fine)
		plain.Add(c)
		packed.Add(c)
		if i%100 > 0 {
			continue
		}
		one, err := json.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		other, err := json.Marshal(packed)
		if err != nil || string(one) != string(other) {
			t.Fatalf("after %d: %s and %s (%v)", i+1, one, other, err)
		}
		var again PackedHistogram
		if err := json.Unmarshal(one, &again); err != nil || !bytes.Equal(again, packed) {
			t.Fatalf("after %d: read again it is %v, want %v (%v)", i+1, again, packed, err)
		}
	}
	if len(packed) > 3*len(plain) {
		t.Errorf("%d bins take %d bytes", len(plain), len(packed))
	}
	for _, damaged := range []string{`[{"Code":2,"N":1},{"Code":1,"N":1}]`, `[{"Code":1,"N":1},{"Code":1,"N":1}]`, `[{"Code":70000,"N":1}]`} {
		if err := json.Unmarshal([]byte(damaged), &packed); err == nil {
			t.Errorf("%s is taken", damaged)
		}
	}
}

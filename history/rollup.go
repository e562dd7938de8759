package history

import (
	"encoding/binary"
	"time"

	"rollcall/probe"
)

// cell is what is known of a span of time: a rollup, or a step of a series.
type cell struct {
	Counts
	min, max  int64 // microseconds, as the two below
	sum       int64
	phases    [phaseCount]int64 // sums
	durations histogram
}

func (c *cell) addPoint(p *point) {
	switch p.state {
	case unknown:
		c.Unknown++
		return
	case up:
		c.Up++
	case down:
		c.Down++
	}
	us := p.duration.micros(fine)
	if c.Known() == 1 || us < c.min {
		c.min = us
	}
	c.max = max(c.max, us)
	c.sum += us
	for i, phase := range p.phases {
		c.phases[i] += phase.micros(coarse)
	}
	c.durations.add(p.duration, 1)
}

func (c *cell) merge(o *cell) {
	if o.Known() > 0 {
		if c.Known() == 0 || o.min < c.min {
			c.min = o.min
		}
		c.max = max(c.max, o.max)
		c.sum += o.sum
		for i := range c.phases {
			c.phases[i] += o.phases[i]
		}
		c.durations.merge(o.durations)
	}
	c.Counts.add(o.Counts)
}

// point is the cell as a step of a series.
func (c *cell) point(at int64) Point {
	p := Point{Time: timeOf(at), Counts: c.Counts}
	n := int64(c.Known())
	if n == 0 {
		return p
	}
	p.Min, p.Max, p.Mean = microseconds(c.min), microseconds(c.max), microseconds(c.sum/n)
	// The ends of a bin may lie beyond the ends of the values, which are known better.
	p.P50 = min(max(c.durations.quantile(0.5), p.Min), p.Max)
	p.P95 = min(max(c.durations.quantile(0.95), p.Min), p.Max)
	p.Phases = phasesOf(func(i int) int64 { return c.phases[i] / n })
	return p
}

// phasesOf makes phases from microseconds.
func phasesOf(phase func(int) int64) probe.Phases {
	return probe.Phases{
		Resolve: microseconds(phase(0)), Connect: microseconds(phase(1)), TLS: microseconds(phase(2)),
		Processing: microseconds(phase(3)), Transfer: microseconds(phase(4)),
	}
}

func codesOf(p probe.Phases) [phaseCount]code {
	var codes [phaseCount]code
	for i, d := range []time.Duration{p.Resolve, p.Connect, p.TLS, p.Processing, p.Transfer} {
		codes[i] = encodeDuration(d, coarse)
	}
	return codes
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// grid is cells in a row, each a step long.
type grid struct {
	from, step int64
	cells      []cell
}

// place is the number of the cell at an instant; it may be outside.
func (g *grid) place(at int64) int64 {
	if at < g.from {
		return -1
	}
	return (at - g.from) / g.step
}

// at returns the cell at an instant, nil outside of the grid.
func (g *grid) at(instant int64) *cell {
	i := g.place(instant)
	if i < 0 || i >= int64(len(g.cells)) {
		return nil
	}
	return &g.cells[i]
}

// addGap counts the turns that did not come between two.
func (g *grid) addGap(last, next, interval int64) {
	g.eachMissing(last, next, interval, len(g.cells), func(i int, n uint32) { g.cells[i].Unknown += n })
}

// eachMissing calls add with how many turns that did not come fall into each of n cells.
func (g *grid) eachMissing(last, next, interval int64, n int, add func(i int, missing uint32)) {
	if !isGap(last, next, interval) {
		return
	}
	from, to := missingSpan(last, next, interval)
	for i := max(g.place(from), 0); i <= min(g.place(to), int64(n)-1); i++ {
		start := g.from + i*g.step
		add(int(i), missing(last, next, interval, start, start+g.step))
	}
}

// filler puts a target's turns, in the order of time, into a grid, with those that did not come.
type filler struct {
	*grid
	last, interval int64 // of the turn before; 0: none
}

// begin says which turn came before the first; what was put in before counts more.
func (f *filler) begin(before, interval int64) {
	if f.last == 0 {
		f.last, f.interval = before, interval
	}
}

func (f *filler) add(points []point) {
	for i := range points {
		p := &points[i]
		f.addGap(f.last, p.time, f.interval)
		f.last, f.interval = p.time, p.interval
		if c := f.at(p.time); c != nil {
			c.addPoint(p)
		}
	}
}

func (f *filler) addBlock(bl *block) {
	f.begin(bl.before, bl.beforeInterval)
	f.add(bl.points)
}

func (f *filler) addChunk(ch *chunk) {
	f.begin(ch.before, ch.beforeInterval)
	f.addGap(f.last, ch.first, f.interval)
	f.last, f.interval = ch.last, ch.interval
	for i := range ch.cells {
		if c := f.at(ch.from + int64(i)*ch.step); c != nil {
			c.merge(&ch.cells[i])
		}
	}
}

// chunk is the rollups of a target and a day. Turns that did not come count in it between its first and its last.
type chunk struct {
	grid
	before, beforeInterval int64 // the turn before the first; 0: none
	first, last            int64
	interval               int64 // at the last
}

// newChunk rolls up the results of a day.
func newChunk(bl *block, day0, step int64) *chunk {
	ch := &chunk{
		grid:   grid{from: day0 * day, step: step, cells: make([]cell, day/step)},
		before: bl.before, beforeInterval: bl.beforeInterval,
	}
	if n := len(bl.points); n > 0 {
		ch.first, ch.last, ch.interval = bl.points[0].time, bl.points[n-1].time, bl.points[n-1].interval
	}
	f := filler{grid: &ch.grid}
	f.add(bl.points)
	return ch
}

// merge adds the results of the same day that came when its single results were gone, because the clock was set back.
func (ch *chunk) merge(o *chunk) {
	for i := range ch.cells {
		ch.cells[i].merge(&o.cells[i])
	}
	ch.first = min(ch.first, o.first)
	if o.last > ch.last {
		ch.last, ch.interval = o.last, o.interval
	}
}

const chunkVersion = 1

func (ch *chunk) encode() []byte {
	b := []byte{chunkVersion}
	for _, v := range []int64{ch.before, ch.beforeInterval, ch.first, ch.last - ch.first, ch.interval, ch.step} {
		b = binary.AppendVarint(b, v)
	}
	skipped := uint64(0)
	for i := range ch.cells {
		c := &ch.cells[i]
		if c.Counts == (Counts{}) {
			skipped++
			continue
		}
		b = binary.AppendUvarint(b, skipped)
		skipped = 0
		b = c.append(b)
	}
	return pack(b)
}

func (c *cell) append(b []byte) []byte {
	for _, n := range []uint32{c.Up, c.Down, c.Unknown} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	n := int64(c.Known())
	if n == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(encodeMicros(c.min, fine)))
	b = binary.AppendUvarint(b, uint64(encodeMicros(c.max, fine)))
	b = binary.AppendUvarint(b, uint64(c.sum))
	for _, sum := range c.phases {
		b = binary.AppendUvarint(b, uint64(encodeMicros(sum/n, fine)))
	}
	return c.durations.append(b)
}

// decodeChunk reads the rollups of a day.
func decodeChunk(packed []byte, day0 int64) (*chunk, error) {
	row, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	return readChunk(row, day0)
}

func readChunk(row []byte, day0 int64) (*chunk, error) {
	r := reader{rest: row}
	if r.byte() != chunkVersion {
		return nil, errFormat
	}
	ch := &chunk{before: r.varint(), beforeInterval: r.interval()}
	ch.first = r.varint()
	ch.last = ch.first + r.interval()
	ch.interval = r.interval()
	ch.from, ch.step = day0*day, r.varint()
	if r.bad || ch.step < second || day%ch.step != 0 {
		return nil, errFormat
	}
	ch.cells = make([]cell, day/ch.step)
	for i := 0; len(r.rest) > 0; i++ {
		if i += r.count(len(ch.cells)); i >= len(ch.cells) {
			return nil, errFormat
		}
		r.readCell(&ch.cells[i])
	}
	if r.bad {
		return nil, errFormat
	}
	return ch, nil
}

func (r *reader) readCell(c *cell) {
	for _, n := range []*uint32{&c.Up, &c.Down, &c.Unknown} {
		*n = uint32(r.count(1<<31 - 1))
	}
	n := int64(c.Known())
	if n == 0 {
		return
	}
	c.min, c.max = r.code().micros(fine), r.code().micros(fine)
	c.sum = int64(r.number(1<<62 - 1))
	for i := range c.phases {
		c.phases[i] = r.code().micros(fine) * n
	}
	c.durations = r.histogram()
}

package block

import (
	"encoding/binary"
	"slices"

	"rollcall/history"
)

// Cell is what is known of a span of time: a rollup, or a step of a series.
type Cell struct {
	history.Counts
	min, max, sum int64             // microseconds
	phases        [phaseCount]int64 // sums, microseconds
	Durations     Histogram         // of the turns with a verdict
}

func (c *Cell) addPoint(p *Point) {
	c.Counts.Add(p.State.Counts())
	if p.State == Unknown {
		return
	}
	us := p.Duration.micros(Fine)
	if c.Known() == 1 || us < c.min {
		c.min = us
	}
	c.max = max(c.max, us)
	c.sum += us
	for i, phase := range p.Phases {
		c.phases[i] += phase.micros(Coarse)
	}
	c.Durations.Add(p.Duration)
}

// Merge adds what another cell counts.
func (c *Cell) Merge(o *Cell) {
	if o.Known() > 0 {
		if c.Known() == 0 || o.min < c.min {
			c.min = o.min
		}
		c.max = max(c.max, o.max)
		c.sum += o.sum
		for i := range c.phases {
			c.phases[i] += o.phases[i]
		}
		c.Durations.Merge(o.Durations)
	}
	c.Counts.Add(o.Counts)
}

// Point is the cell as a step of a series that begins at an instant.
func (c *Cell) Point(at int64) history.Point {
	p := history.Point{Time: TimeOf(at), Counts: c.Counts}
	n := int64(c.Known())
	if n == 0 {
		return p
	}
	p.Min, p.Max, p.Mean = microseconds(c.min), microseconds(c.max), microseconds(c.sum/n)
	// The ends of a bin may lie beyond the ends of the values, which are known better.
	p.P50 = min(max(c.Durations.Quantile(0.5), p.Min), p.Max)
	p.P95 = min(max(c.Durations.Quantile(0.95), p.Min), p.Max)
	p.Phases = phasesOf(func(i int) int64 { return c.phases[i] / n })
	return p
}

// Grid is cells in a row, each a step long, into which a target's turns are counted with those that did not come. Turns
// come in the order of time; those beside the grid count only for what is missing in it.
type Grid struct {
	From, Step int64
	Cells      []Cell
	Last       Turn // the one before
}

// begin says which turn came before the first; what was counted before matters more.
func (g *Grid) begin(before Turn) {
	if g.Last.Time == 0 {
		g.Last = before
	}
}

// Gap counts the turns that did not come until next.
func (g *Grid) Gap(next int64) {
	g.Last.EachMissing(next, g.From, g.Step, len(g.Cells), func(i int, n uint32) { g.Cells[i].Unknown += n })
}

// at returns the cell at an instant, nil outside of the grid.
func (g *Grid) at(instant int64) *Cell {
	if i := (instant - g.From) / g.Step; instant >= g.From && i < int64(len(g.Cells)) {
		return &g.Cells[i]
	}
	return nil
}

// AddBlock counts single results.
func (g *Grid) AddBlock(bl *Block) {
	g.begin(bl.Before)
	for i := range bl.Points {
		p := &bl.Points[i]
		g.Gap(p.Time)
		g.Last = p.Turn
		if c := g.at(p.Time); c != nil {
			c.addPoint(p)
		}
	}
}

// AddChunk counts rollups.
func (g *Grid) AddChunk(ch *Chunk) {
	g.begin(ch.Before)
	g.Gap(ch.First)
	g.Last = ch.Last
	for i := range ch.Cells {
		if c := g.at(ch.From + int64(i)*ch.Step); c != nil {
			c.Merge(&ch.Cells[i])
		}
	}
}

// Chunk is the rollups of a target and a day. Turns that did not come count in it between its first and its last.
type Chunk struct {
	Grid
	Before Turn  // the one before the first
	First  int64 // its time
}

// NewChunk rolls up the results of a day, of which there is one at least, in the memory of cells, which may be nil.
func NewChunk(bl *Block, day, step int64, cells []Cell) *Chunk {
	cells = slices.Grow(cells[:0], int(Day/step))[:Day/step]
	for i := range cells {
		cells[i] = Cell{Durations: cells[i].Durations[:0]}
	}
	ch := &Chunk{Grid: Grid{From: day * Day, Step: step, Cells: cells}, Before: bl.Before, First: bl.Points[0].Time}
	ch.AddBlock(&Block{Points: bl.Points})
	return ch
}

// Merge adds the results of the same day that came when its single results were gone.
func (ch *Chunk) Merge(o *Chunk) {
	for i := range ch.Cells {
		ch.Cells[i].Merge(&o.Cells[i])
	}
	ch.First = min(ch.First, o.First)
	if o.Last.Time > ch.Last.Time {
		ch.Last = o.Last
	}
}

const chunkVersion = 1

// Encode packs the chunk.
func (ch *Chunk) Encode() []byte {
	b := []byte{chunkVersion}
	for _, v := range []int64{ch.Before.Time, ch.Before.Interval, ch.First, ch.Last.Time - ch.First, ch.Last.Interval, ch.Step} {
		b = binary.AppendVarint(b, v)
	}
	skipped := uint64(0)
	for i := range ch.Cells {
		c := &ch.Cells[i]
		if c.Counts == (history.Counts{}) {
			skipped++
			continue
		}
		b = binary.AppendUvarint(b, skipped)
		skipped = 0
		b = c.append(b)
	}
	return Pack(b)
}

func (c *Cell) append(b []byte) []byte {
	for _, n := range []uint32{c.Up, c.Down, c.Unknown} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	n := int64(c.Known())
	if n == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(encodeMicros(c.min, Fine)))
	b = binary.AppendUvarint(b, uint64(encodeMicros(c.max, Fine)))
	b = binary.AppendUvarint(b, uint64(c.sum))
	for _, sum := range c.phases {
		b = binary.AppendUvarint(b, uint64(encodeMicros(sum/n, Fine)))
	}
	return c.Durations.append(b)
}

// DecodeChunk reads the rollups of a day.
func DecodeChunk(packed []byte, day int64) (*Chunk, error) {
	row, err := Unpack(packed, nil)
	if err != nil {
		return nil, err
	}
	return readChunk(row, day)
}

func readChunk(row []byte, day int64) (*Chunk, error) {
	r := reader{rest: row}
	if r.byte() != chunkVersion {
		return nil, ErrFormat
	}
	ch := &Chunk{Before: Turn{r.varint(), r.interval()}, First: r.varint()}
	ch.Last = Turn{ch.First + r.interval(), r.interval()}
	ch.From, ch.Step = day*Day, r.varint()
	if r.bad || ch.Step < Second || Day%ch.Step != 0 {
		return nil, ErrFormat
	}
	ch.Cells = make([]Cell, Day/ch.Step)
	for i := 0; len(r.rest) > 0; i++ {
		if i += r.count(len(ch.Cells)); i >= len(ch.Cells) {
			return nil, ErrFormat
		}
		r.readCell(&ch.Cells[i])
	}
	if r.bad {
		return nil, ErrFormat
	}
	return ch, nil
}

func (r *reader) readCell(c *Cell) {
	for _, n := range []*uint32{&c.Up, &c.Down, &c.Unknown} {
		*n = uint32(r.count(1<<31 - 1))
	}
	n := int64(c.Known())
	if n == 0 {
		return
	}
	c.min, c.max = r.code().micros(Fine), r.code().micros(Fine)
	if c.sum = int64(r.number(1<<62 - 1)); c.sum/n > maxMicros { // no mean is longer than the longest duration
		r.fail()
		return
	}
	for i := range c.phases {
		c.phases[i] = r.code().micros(Fine) * n
	}
	c.Durations = r.readHistogram(nil)
}

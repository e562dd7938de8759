package store

import (
	"github.com/prometheus/prometheus/model/labels"

	"rollcall/history"
	"rollcall/history/block"
	"rollcall/probe"
)

// live is what is kept in memory of a target.
type live struct {
	state
	id   uint64
	info *probe.Target // without userinfo; never nil once it is in byID
	left int64         // when it left the configuration; 0: it has not

	open      block.Stream // the turns that are in no block
	openSince uint64       // the first row of the journal that may have one of them
	sealed    uint64       // the last row of the journal whose turns are in blocks
	window    int64        // of the last seal; see windowOf
	good      goodProbe    // last one since the start; zero: none

	sealing int32 // bytes of open that a transaction is writing to a block
	loaded  bool  // what the file has was taken over
	save    bool  // it is to be sealed soon: the file does not have info or left as they are, or a row of the journal was lost
	recount bool  // the clock was set back: the buckets are to be counted anew
}

// state is what the turns made of a target. It stands in the target's row.
type state struct {
	First   int64       // the first turn ever; 0: none
	Last    block.Point // the last turn; zero: none
	Verdict block.Point // the last with a verdict
	Since   int64       // of the verdicts equal to it

	HalfHours, ThreeHours, Days ring

	// The durations of a day and of the day before it, of which Typical is the median.
	Day              int64
	Today, Yesterday block.PackedHistogram

	Incident *history.Incident // open
	Evidence *evidenceMark     // the last that was kept; nil: none
}

// evidenceMark says when evidence was kept, of which incident and with which reason.
type evidenceMark struct {
	At     int64
	Of     string
	Reason probe.Reason
}

func newState() state {
	return state{HalfHours: ring{kind: halfHours}, ThreeHours: ring{kind: threeHours}, Days: ring{kind: days}}
}

func (l *state) rings() []*ring { return []*ring{&l.HalfHours, &l.ThreeHours, &l.Days} }

// configure takes over what the configuration says.
func (l *live) configure(t *probe.Target) {
	t = t.Redacted()
	l.save = l.save || l.left != 0 || l.info == nil || !sameTarget(l.info, t)
	l.info, l.left = t, 0
}

func sameTarget(a, b *probe.Target) bool {
	return a.Module == b.Module && a.Target == b.Target && a.Hostname == b.Hostname && a.Name == b.Name &&
		a.Group == b.Group && a.Interval == b.Interval && labels.Equal(a.Labels, b.Labels)
}

// clockTolerance is how far back a turn may lie before the last without the buckets being counted anew.
const clockTolerance = block.Hour

// count takes a turn into everything but the open stream.
func (l *live) count(p *block.Point) {
	if l.First == 0 {
		l.First = p.Time
	}
	l.recount = l.recount || p.Time < l.Last.Time-clockTolerance
	l.countBuckets(l.Last.Turn, p)
	l.Last = *p
	if p.State == block.Unknown {
		return
	}
	if l.Verdict.State != p.State {
		l.Since = p.Time
	}
	l.Verdict = *p
}

func (l *live) countBuckets(last block.Turn, p *block.Point) {
	for _, r := range l.rings() {
		r.addGap(last, p.Time)
		r.add(p.Time/r.width(), p.State.Counts())
	}
	if p.State == block.Unknown {
		return
	}
	switch d := block.DayOf(p.Time); {
	case d == l.Day+1:
		l.Yesterday, l.Today, l.Day = l.Today, nil, d
	case d > l.Day:
		l.Yesterday, l.Today, l.Day = nil, nil, d
	}
	l.Today.Add(p.Duration)
}

package history

import (
	"bytes"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// loadAll counts everything in memory anew from the file.
func (d *disk) loadAll() {
	d.mu.Lock()
	lives := append([]*live(nil), d.order...)
	d.mu.Unlock()
	d.loadLives(lives)
}

func (d *disk) loadTargets(ids []uint64) error {
	d.mu.Lock()
	var lives []*live
	for _, id := range ids {
		if l := d.byID[id]; l != nil && !l.left {
			lives = append(lives, l)
		}
	}
	d.mu.Unlock()
	d.loadLives(lives)
	return nil
}

func (d *disk) loadLives(lives []*live) {
	now := time.Now().UnixMilli()
	err := d.view(func(tx *bbolt.Tx) error {
		refs := seals(tx)
		open, err := openIncidents(tx)
		if err != nil {
			return err
		}
		for _, l := range lives {
			d.mu.Lock()
			resumed := d.resumeState(tx, l, open)
			d.mu.Unlock()
			if resumed {
				continue
			}
			past := d.readPast(tx, refs, open, l.id, now)
			d.mu.Lock()
			d.load(l, past, now)
			d.mu.Unlock()
		}
		return nil
	})
	if err != nil && d.file.Load() != nil {
		d.failed(err)
	}
}

// past is what the file has of a target, as far as an overview shows it.
type past struct {
	days, hours, minutes []*chunk // of closed days
	points               []point  // of the others, in no order
	before               int64    // the turn before the first
	beforeInterval       int64
	target               targetRow
	last                 point     // of the closed days; zero: none
	incident             *Incident // the last one; nil: none
	incidentSeq          uint64    // the last row of the journal that it has counted
}

func (s *Store) readPast(tx *bbolt.Tx, refs []sealRef, open map[uint64][]byte, id uint64, now int64) *past {
	p := new(past)
	p.target, _ = readTarget(tx, id)
	today := dayOf(now)
	for d := today - 90; d <= today; d++ {
		ch := s.readChunk(tx.Bucket(bucketDays), d, id)
		if ch == nil {
			continue
		}
		p.days = append(p.days, ch)
		for _, finer := range []struct {
			from   int64
			bucket []byte
			chunks *[]*chunk
		}{{today - 8, bucketHours, &p.hours}, {today - 2, bucketMinutes, &p.minutes}} {
			if d < finer.from {
				continue
			}
			if ch := s.readFiner(tx, finer.bucket, d, id); ch != nil {
				*finer.chunks = append(*finer.chunks, ch)
			}
		}
	}
	if bl := s.readHead(tx, refs, id); bl != nil {
		p.points, p.before, p.beforeInterval = bl.points, bl.before, bl.beforeInterval
	}
	if n := len(p.days); n > 0 {
		p.last = point{time: p.days[n-1].last, interval: p.days[n-1].interval}
		verdict := slices.ContainsFunc(p.points, func(p point) bool { return p.state != unknown })
		if !verdict { // else the results of the day before say nothing that matters
			if bl := s.readBlock(tx.Bucket(bucketResults), dayTargetKey(dayOf(p.days[n-1].from), id)); bl != nil && len(bl.points) > 0 {
				p.last = bl.points[len(bl.points)-1]
			}
		}
	}
	p.lastIncident(tx, id, open)
	return p
}

// openIncidents are the keys of the incidents that are open in the file, by target.
func openIncidents(tx *bbolt.Tx) (map[uint64][]byte, error) {
	open := make(map[uint64][]byte)
	err := tx.Bucket(bucketOpen).ForEach(func(k, target []byte) error {
		if len(target) == 8 {
			open[keyNumber(target, 0)] = bytes.Clone(k)
		}
		return nil
	})
	return open, err
}

// lastIncident takes the target's open incident from the file or, without one, the last.
func (p *past) lastIncident(tx *bbolt.Tx, id uint64, open map[uint64][]byte) {
	key := open[id]
	if key == nil {
		c := tx.Bucket(bucketByTarget).Cursor()
		k, _ := c.Seek(numbers(nil, id+1))
		if k == nil {
			k, _ = c.Last()
		} else {
			k, _ = c.Prev()
		}
		if !bytes.HasPrefix(k, numbers(nil, id)) {
			return
		}
		key = k[8:]
	}
	value := tx.Bucket(bucketIncident).Get(key)
	if i, err := decodeIncident(value); err == nil {
		p.incident, p.incidentSeq = &i, keyNumber(value, 8)
	}
}

// readFiner reads the rollups of a closed day, or makes them of its results.
func (s *Store) readFiner(tx *bbolt.Tx, bucket []byte, d int64, id uint64) *chunk {
	if ch := s.readChunk(tx.Bucket(bucket), d, id); ch != nil {
		return ch
	}
	if bl := s.readBlock(tx.Bucket(bucketResults), dayTargetKey(d, id)); bl != nil {
		return newChunk(bl, d, 5*minute)
	}
	return nil
}

// load counts what is in memory of a target anew. s.mu is held, and no seal is under way.
func (d *disk) load(l *live, p *past, now int64) {
	open, err := readPoints(l.open.bytes)
	if err != nil {
		d.unreadable(err)
	}
	if l.open.before == 0 {
		if l.open.before, l.open.beforeInterval = p.last.time, p.last.interval; len(p.points) > 0 {
			last := p.points[len(p.points)-1]
			l.open.before, l.open.beforeInterval = last.time, last.interval
		}
	}
	points := append(p.points, open...)
	sortPoints(points)
	for _, r := range []struct {
		ring   *ring
		chunks []*chunk
	}{{&l.days, p.days}, {&l.threeHours, p.hours}, {&l.halfHours, p.minutes}} {
		f := filler{grid: r.ring.grid(now)}
		for _, ch := range r.chunks {
			f.addChunk(ch)
		}
		f.begin(p.before, p.beforeInterval)
		f.add(points)
		r.ring.set(f.grid)
	}
	l.loadTypical(p.days, points, now)
	if !l.loaded {
		l.loaded = true
		d.loadState(l, p, points)
	}
}

func (l *live) loadTypical(days []*chunk, points []point, now int64) {
	l.day, l.today, l.typical = dayOf(now), nil, [len(typicalDays)]histogram{}
	for _, ch := range days {
		for i, n := range typicalDays {
			if l.day-dayOf(ch.from) <= n {
				l.typical[i].merge(ch.cells[0].durations)
			}
		}
	}
	for i := range points {
		p := &points[i]
		switch age := l.day - dayOf(p.time); {
		case p.state == unknown:
		case age <= 0:
			l.today.add(p.duration, 1)
		default:
			for i, n := range typicalDays {
				if age <= n {
					l.typical[i].add(p.duration, 1)
				}
			}
		}
	}
}

// loadState takes over how the target was when rollcall stopped. Results may have come since it started, when the file
// could not be opened then.
func (d *disk) loadState(l *live, p *past, points []point) {
	if p.target.First != 0 {
		l.first = p.target.First
	}
	if p.target.Target.Module != "" && p.target.Left == 0 && sameTarget(p.target.Target, l.info) {
		l.unsaved = false
	}
	live := l.last.time != 0
	if !live {
		l.last = p.last
		if p.last.state != unknown {
			l.verdict = p.last
		}
		for i := range points {
			if l.last = points[i]; l.last.state != unknown {
				l.verdict = l.last
			}
		}
	}
	if l.first == 0 {
		l.first = l.last.time
	}
	if p.incident == nil {
		if l.since == 0 && l.verdict.state != unknown {
			l.since = l.first
		}
		return
	}
	if !p.incident.To.IsZero() {
		if l.since == 0 || !live {
			l.since = p.incident.To.UnixMilli()
		}
		return
	}
	d.resume(l, p.incident, p.incidentSeq)
}

// resume continues the incident that is open in the file.
func (d *disk) resume(l *live, i *Incident, counted uint64) {
	if l.incident != nil { // begun before the file could be opened, and the same
		i.Failures, i.Last = i.Failures+l.incident.Failures, l.incident.Last
		delete(d.changes.incidents, l.incident.ID)
		delete(d.changes.evidence, l.incident.ID)
	} else {
		for _, f := range d.journalled[l.id] {
			if f.seq > counted {
				i.Failures++
				i.Last = timeOf(f.at)
			}
		}
	}
	if l.verdict.state == up {
		i.end(timeOf(l.since))
		d.changedIncident(i)
		return
	}
	l.incident, l.since = i, i.From.UnixMilli()
	l.evidenceOf, l.evidenceAt = i.ID, l.since
	d.changedIncident(i)
}

package store

import (
	"encoding/binary"
	"time"

	"rollcall/history/block"
	"rollcall/probe"
)

// maxQueue is how many records may wait for Run: at 1,000 a second, those of a minute.
const maxQueue = 1 << 16

// turnsPerLock keeps pages from waiting for a long queue.
const turnsPerLock = 1000

// queued is an observed turn, or an opinion on the open incident.
type queued struct {
	record  *probe.Record // without a verdict only the target and the start are set, with an opinion only the target
	unknown bool          // it has no verdict
	opinion string        // empty: it is a turn
}

// Observe queues a scheduled Record. It never blocks; when Run cannot keep up, the record is dropped and counted.
func (s *Store) Observe(r *probe.Record) {
	if r.Scheduled {
		s.queue(queued{record: r})
	}
}

// ObserveUnknown queues a turn that came to no verdict: the exporter's own error, or a refused target.
func (s *Store) ObserveUnknown(key probe.Key, at time.Time) {
	r := recordOf(key)
	r.Result.Start = at
	s.queue(queued{record: r, unknown: true})
}

// ObserveOpinion queues how others see a target that is down.
func (s *Store) ObserveOpinion(key probe.Key, opinion string) {
	s.queue(queued{record: recordOf(key), opinion: opinion})
}

func recordOf(key probe.Key) *probe.Record {
	return &probe.Record{Module: key.Module, Target: key.Target, Hostname: key.Hostname}
}

func (s *Store) queue(q queued) {
	s.queueLock.Lock()
	if len(s.waiting) >= maxQueue {
		s.queueLock.Unlock()
		s.counters.dropped.Add(1)
		return
	}
	s.waiting = append(s.waiting, q)
	s.queueLock.Unlock()
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// maxSpare is how many records' memory is used again for the next queue.
const maxSpare = 1 << 10

// takeIn works through the queue.
func (s *Store) takeIn() {
	s.intake.Lock() // keeps the order when two goroutines take in
	defer s.intake.Unlock()
	s.queueLock.Lock()
	waiting := s.waiting
	s.waiting, s.spare = s.spare[:0], nil
	s.queueLock.Unlock()
	for rest := waiting; len(rest) > 0; {
		n := min(len(rest), turnsPerLock)
		s.mu.Lock()
		for i := range rest[:n] {
			s.takeTurn(&rest[i])
		}
		s.mu.Unlock()
		rest = rest[n:]
	}
	clear(waiting) // lets go of what the records point to
	if cap(waiting) <= maxSpare {
		s.queueLock.Lock()
		s.spare = waiting
		s.queueLock.Unlock()
	}
}

// takeTurn takes one turn in. s.mu is held.
func (s *Store) takeTurn(q *queued) {
	r := q.record
	l := s.byID[r.Key().Number()]
	if l == nil || l.left != 0 {
		return // a reload took the target away meanwhile
	}
	if q.opinion != "" {
		if i := l.Incident; i != nil && i.Opinion != q.opinion {
			i.Opinion = q.opinion
			s.change(i, nil)
		}
		return
	}
	s.counters.results.Add(1)
	p := block.NewPoint(&r.Result, l.info.Interval.Milliseconds())
	if q.unknown {
		p = block.Point{Turn: p.Turn}
	}
	s.journal = block.AppendPoint(binary.BigEndian.AppendUint64(s.journal, l.id), new(block.Point), &p)
	s.pending++
	s.count(l, &p, r, s.row+1)
	if p.State == block.Up {
		l.keepGood(r)
	}
}

// count adds a turn to what is known of a target. row is that of the journal which has it, or will have it; r is nil when
// the turn is read again. s.mu is held.
func (s *Store) count(l *live, p *block.Point, r *probe.Record, row uint64) {
	if len(l.open.Bytes) == 0 {
		l.open.Before, l.openSince = l.Last, row
	}
	before := len(l.open.Bytes)
	l.open.Append(&l.Last, p)
	s.openBytes += len(l.open.Bytes) - before
	l.count(p)
	switch at := block.TimeOf(p.Time); p.State {
	case block.Up:
		if i := l.Incident; i != nil {
			l.Incident = nil
			end(i, at)
			s.change(i, nil)
		}
	case block.Down:
		if l.Incident == nil {
			l.Incident = l.begin(p)
			s.change(l.Incident, l.evidenceFor(r, p.Time))
		}
		l.Incident.Failures++
		l.Incident.Last = at
	}
}

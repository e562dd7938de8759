package history

import (
	"time"

	"rollcall/probe"
)

// maxQueue is how many records may wait for Run: at 1,000 a second, those of a minute.
const maxQueue = 1 << 16

// turnsPerLock keeps pages from waiting for a long queue.
const turnsPerLock = 1000

// queued is an observed turn.
type queued struct {
	record  probe.Record
	unknown bool // it has no verdict: of the record only the target and the start are set
}

// key is a target as records name it.
type key struct{ module, target, hostname string }

// Observe queues a scheduled Record. It never blocks; when Run cannot keep up, the record is dropped and counted.
func (s *Store) Observe(r probe.Record) {
	if r.Scheduled {
		s.queue(queued{record: r})
	}
}

// ObserveUnknown queues a turn that came to no verdict: the exporter's own error, or a refused target.
func (s *Store) ObserveUnknown(module, target, hostname string, at time.Time) {
	r := probe.Record{Module: module, Target: target, Hostname: hostname}
	r.Result.Start = at
	s.queue(queued{record: r, unknown: true})
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
	if cap(waiting) <= maxQueue {
		s.queueLock.Lock()
		s.spare = waiting
		s.queueLock.Unlock()
	}
}

// takeTurn takes one turn in. s.mu is held.
func (s *Store) takeTurn(q *queued) {
	r := &q.record
	l := s.byKey[key{r.Module, r.Target, r.Hostname}]
	if l == nil {
		return // a reload took the target away meanwhile
	}
	s.counters.results.Add(1)
	p := newPoint(q, l.interval)
	s.openBytes += l.turn(&p)
	s.journal = append(s.journal, entry{l.id, p})
	switch p.state {
	case up:
		l.keepGood(r)
		if l.incident != nil {
			l.incident.end(r.Result.Start.UTC().Round(0))
			s.changedIncident(l.incident)
			l.incident = nil
		}
	case down:
		if l.incident == nil {
			l.incident = l.begin(r)
			s.changedIncident(l.incident)
			if row := l.evidenceFor(l.incident, r, p.time); row != nil {
				s.changes.evidence[l.incident.ID] = evidenceOf{l.incident.From, row}
			}
		}
		l.incident.Failures++
		l.incident.Last = r.Result.Start.UTC().Round(0)
	}
}

// newPoint is what is kept of a turn.
func newPoint(q *queued, interval int64) point {
	r := &q.record.Result
	p := point{time: r.Start.UnixMilli(), interval: interval}
	if q.unknown {
		return p
	}
	p.state, p.duration, p.phases = up, encodeDuration(r.Duration, fine), codesOf(r.Phases)
	if f := r.Failure; f != nil {
		p.state, p.failure = down, failure{f.Stage, f.Reason}
	}
	if r.HTTP != nil && r.HTTP.StatusCode > 0 && r.HTTP.StatusCode < 1<<16 {
		p.status = uint16(r.HTTP.StatusCode)
	}
	if r.TLS != nil && !r.TLS.EarliestExpiry.IsZero() {
		p.expiry = r.TLS.EarliestExpiry.Unix()
	}
	return p
}

// result is a point as it is shown.
func (p *point) result() Result {
	r := Result{
		Time: timeOf(p.time), State: p.state.public(), Duration: microseconds(p.duration.micros(fine)),
		Phases: phasesOf(func(i int) int64 { return p.phases[i].micros(coarse) }),
		Stage:  p.failure.stage, Reason: p.failure.reason, StatusCode: int(p.status),
	}
	if p.expiry != 0 {
		r.CertExpiry = time.Unix(p.expiry, 0).UTC()
	}
	return r
}

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"rollcall/history"
	"rollcall/history/block"
)

// change is an incident that is not in the file as it is. A further change is another value.
type change struct {
	incident *history.Incident
	evidence *evidenceRow     // nil: none, or it is in the file
	saved    history.Incident // the incident when the transaction was begun
}

// change notes that an incident is not in the file as it is; evidence is nil when there is none or no new one. s.mu is held.
func (s *Store) change(i *history.Incident, evidence *evidenceRow) {
	if before := s.changes[i.ID]; before != nil && evidence == nil {
		evidence = before.evidence
	}
	s.changes[i.ID] = &change{incident: i, evidence: evidence}
}

// begin opens an incident at a down result.
func (l *live) begin(p *block.Point) *history.Incident {
	from, cause := block.TimeOf(p.Time), p.Cause()
	return &history.Incident{
		ID:       l.info.Key().IncidentID(from),
		TargetID: hexID(l.id), From: from, Last: from, Stage: cause.Stage, Reason: cause.Reason,
	}
}

// end closes an incident; the clock may have been set back since it began.
func end(i *history.Incident, at time.Time) {
	i.To = at
	if i.To.Before(i.From) {
		i.To = i.From
	}
}

// putChanges writes incidents as they were when the transaction was begun.
func putChanges(tx *bbolt.Tx, changes map[string]*change) error {
	for _, c := range changes {
		i := &c.saved
		key, stop := numbers(nil, rowID(i.ID)), uint64(0)
		if !i.To.IsZero() {
			stop = uint64(max(i.To.UnixMilli(), 1))
		}
		err := errors.Join(
			tx.Bucket(bucketIncident).Put(key, encodeJSON(i)),
			tx.Bucket(bucketByTime).Put(incidentKey(nil, i), numbers(nil, stop)),
			tx.Bucket(bucketByTarget).Put(incidentKey(numbers(nil, rowID(i.TargetID)), i), numbers(nil, stop)),
		)
		if c.evidence != nil {
			err = errors.Join(err, tx.Bucket(bucketEvidence).Put(key, block.Pack(encodeJSON(c.evidence))))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// incidentKey is where an incident stands in an index, behind a prefix.
func incidentKey(prefix []byte, i *history.Incident) []byte {
	return numbers(prefix, uint64(max(i.From.UnixMilli(), 0)), rowID(i.ID))
}

func decodeIncident(value []byte) (i history.Incident, err error) {
	if value == nil {
		return i, errors.New("there is no such row")
	}
	return i, json.Unmarshal(value, &i)
}

// deleteIncidents deletes up to limit incidents that began before an instant.
func deleteIncidents(tx *bbolt.Tx, before int64, limit int) (n int, err error) {
	c := tx.Bucket(bucketByTime).Cursor()
	for k, _ := c.First(); k != nil && int64(keyNumber(k, 0)) < before && n < limit; k, _ = c.First() {
		id := bytes.Clone(k[8:])
		if i, err := decodeIncident(tx.Bucket(bucketIncident).Get(id)); err == nil {
			if err := tx.Bucket(bucketByTarget).Delete(incidentKey(numbers(nil, rowID(i.TargetID)), &i)); err != nil {
				return n, err
			}
		}
		if err := errors.Join(c.Delete(), tx.Bucket(bucketIncident).Delete(id), tx.Bucket(bucketEvidence).Delete(id)); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// incidentQuery selects incidents; times are in milliseconds.
type incidentQuery struct {
	filter   history.IncidentFilter
	from, to int64
	limit    int
}

func (q *incidentQuery) matches(i *history.Incident) bool {
	return (q.filter.TargetID == "" || i.TargetID == q.filter.TargetID) && (!q.filter.Open || i.To.IsZero()) &&
		i.From.UnixMilli() < q.to && (i.To.IsZero() || i.To.UnixMilli() >= q.from)
}

// Incidents implements history.Source.
func (s *Store) Incidents(ctx context.Context, filter history.IncidentFilter, from, to time.Time, limit int) ([]history.Incident, error) {
	if limit <= 0 {
		limit = history.DefaultLimit
	}
	q := incidentQuery{filter: filter, from: 0, to: 1<<63 - 1, limit: limit}
	if !from.IsZero() {
		q.from = from.UnixMilli()
	}
	if !to.IsZero() {
		q.to = to.UnixMilli()
	}
	fresh := s.freshIncidents()
	var found []history.Incident
	for _, i := range fresh {
		if q.matches(&i) {
			found = append(found, i)
		}
	}
	err := s.read(func(tx *bbolt.Tx) error {
		stored, err := q.run(ctx, tx, fresh)
		found = append(found, stored...)
		slices.SortFunc(found, latestFirst)
		found = found[:min(len(found), limit)]
		for n := range found {
			found[n].Target = s.targetOf(tx, found[n].TargetID)
		}
		return err
	})
	return found, err
}

// freshIncidents are those that are open or not in the file as they are, by ID.
func (s *Store) freshIncidents() map[string]history.Incident {
	fresh := make(map[string]history.Incident)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.changes {
		fresh[id] = *c.incident
	}
	for _, l := range s.order {
		if l.Incident != nil {
			fresh[l.Incident.ID] = *l.Incident
		}
	}
	return fresh
}

func latestFirst(a, b history.Incident) int {
	if c := b.From.Compare(a.From); c != 0 {
		return c
	}
	return bytes.Compare([]byte(a.ID), []byte(b.ID))
}

// run looks in the file for incidents that are not fresh, the latest first.
func (q *incidentQuery) run(ctx context.Context, tx *bbolt.Tx, fresh map[string]history.Incident) (found []history.Incident, err error) {
	index, prefix := bucketByTime, []byte(nil)
	if q.filter.TargetID != "" {
		index, prefix = bucketByTarget, numbers(nil, rowID(q.filter.TargetID))
	}
	c := tx.Bucket(index).Cursor()
	var k, end []byte
	if at, _ := c.Seek(numbers(prefix, uint64(max(q.to, 0)))); at == nil {
		k, end = c.Last()
	} else {
		k, end = c.Prev()
	}
	for n := 0; k != nil && bytes.HasPrefix(k, prefix) && len(found) < q.limit; k, end = c.Prev() {
		if n++; n%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if stop := int64(keyNumber(end, 0)); q.filter.Open || stop != 0 && stop < q.from {
			continue // the open ones are fresh
		}
		i, err := decodeIncident(tx.Bucket(bucketIncident).Get(k[len(prefix)+8:]))
		if err != nil {
			continue
		}
		if _, newer := fresh[i.ID]; !newer && q.matches(&i) {
			found = append(found, i)
		}
	}
	return found, nil
}

// Incident implements history.Source.
func (s *Store) Incident(_ context.Context, id string) (history.Incident, error) {
	i, found := s.freshIncidents()[id]
	var evidence *evidenceRow
	s.mu.Lock()
	if c := s.changes[id]; c != nil {
		evidence = c.evidence
	}
	s.mu.Unlock()
	err := s.read(func(tx *bbolt.Tx) error {
		key := numbers(nil, rowID(id))
		if !found {
			stored, err := decodeIncident(tx.Bucket(bucketIncident).Get(key))
			if err != nil || stored.ID != id {
				return nil
			}
			i, found = stored, true
		}
		if value := tx.Bucket(bucketEvidence).Get(key); evidence == nil && value != nil {
			row, err := decodeEvidence(value)
			if err != nil {
				s.unreadable(err)
			} else {
				evidence = row
			}
		}
		i.Target = s.targetOf(tx, i.TargetID)
		return nil
	})
	switch {
	case !found && err != nil:
		return history.Incident{}, err
	case !found:
		return history.Incident{}, history.ErrNotFound
	}
	if evidence != nil {
		i.Evidence, i.Good = evidence.Evidence, evidence.Good
	}
	return i, nil
}

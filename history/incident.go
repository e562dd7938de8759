package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// saving is what a transaction writes beside results, encoded when it was begun.
type saving struct {
	changes
	rows  map[string][]byte // incidents by ID
	lives []*live
	metas []row // of targets
}

// beginSaving takes what changed. Until endSaving, pages find it in s.saving. s.mu is held.
func (s *Store) beginSaving() *saving {
	save := &saving{changes: s.changes, rows: make(map[string][]byte, len(s.changes.incidents))}
	s.saving, s.changes = s.changes, newChanges()
	for id, incident := range save.incidents {
		save.rows[id] = incidentRow(incident)
	}
	for _, l := range s.byID {
		if l.unsaved && !l.left {
			l.unsaved = false
			save.lives = append(save.lives, l)
			save.metas = append(save.metas, row{numbers(nil, l.id), encodeJSON(targetRow{Target: l.info, First: l.first})})
		}
	}
	return save
}

// endSaving puts what could not be written back. s.mu is held.
func (s *Store) endSaving(save *saving, err error) {
	s.saving = newChanges()
	if err == nil {
		return
	}
	for id, incident := range save.incidents {
		if s.changes.incidents[id] == nil {
			s.changes.incidents[id] = incident
		}
	}
	for id, e := range save.evidence {
		s.changes.evidence[id] = e
	}
	for _, l := range save.lives {
		l.unsaved = true
	}
}

func (save *saving) empty() bool {
	return len(save.incidents) == 0 && len(save.evidence) == 0 && len(save.metas) == 0
}

func (save *saving) put(tx *bbolt.Tx) error {
	for _, meta := range save.metas {
		if err := tx.Bucket(bucketTargets).Put(meta.key, meta.value); err != nil {
			return err
		}
	}
	seq := tx.Bucket(bucketJournal).Sequence()
	for id, value := range save.rows {
		binary.BigEndian.PutUint64(value[8:], seq)
		if err := putIncident(tx, save.incidents[id], value); err != nil {
			return err
		}
	}
	for id, e := range save.evidence {
		if err := tx.Bucket(bucketEvidence).Put(incidentKey(e.from, id), e.row.encode()); err != nil {
			return err
		}
	}
	return nil
}

// incidentKey is where an incident and its evidence are.
func incidentKey(from time.Time, id string) []byte {
	return numbers(nil, uint64(max(from.UnixMilli(), 0)), rowID(id))
}

// incidentHead is the length of what stands before the JSON of an incident: its end, so that a search need not decode
// it all, and the last row of the journal whose failures it has counted.
const incidentHead = 16

// incidentRow encodes an incident; put fills in the row of the journal.
func incidentRow(i *Incident) []byte {
	end := uint64(0)
	if !i.To.IsZero() {
		end = uint64(max(i.To.UnixMilli(), 1))
	}
	bare := *i
	bare.Target, bare.Evidence, bare.Good = Target{}, nil, nil
	return append(numbers(nil, end, 0), encodeJSON(bare)...)
}

func decodeIncident(value []byte) (i Incident, err error) {
	if len(value) < incidentHead {
		return i, errFormat
	}
	return i, json.Unmarshal(value[incidentHead:], &i)
}

// putIncident writes an incident. Of i it reads only what never changes; the rest is in value.
func putIncident(tx *bbolt.Tx, i *Incident, value []byte) error {
	key := incidentKey(i.From, i.ID)
	if err := tx.Bucket(bucketIncident).Put(key, value); err != nil {
		return err
	}
	if err := tx.Bucket(bucketByTarget).Put(append(numbers(nil, rowID(i.TargetID)), key...), nil); err != nil {
		return err
	}
	if err := tx.Bucket(bucketByID).Put(key[8:], key[:8]); err != nil {
		return err
	}
	if keyNumber(value, 0) == 0 {
		return tx.Bucket(bucketOpen).Put(key, numbers(nil, rowID(i.TargetID)))
	}
	return tx.Bucket(bucketOpen).Delete(key)
}

// deleteIncidents deletes up to limit closed incidents that began before an instant.
func deleteIncidents(tx *bbolt.Tx, before int64, limit int) (n int, err error) {
	var keys, targets [][]byte
	c := tx.Bucket(bucketIncident).Cursor()
	for k, value := c.First(); k != nil && int64(keyNumber(k, 0)) < before && len(keys) < limit; k, value = c.Next() {
		i, err := decodeIncident(value)
		if err == nil && i.To.IsZero() {
			continue
		}
		keys = append(keys, bytes.Clone(k))
		targets = append(targets, numbers(nil, rowID(i.TargetID)))
	}
	for n, key := range keys {
		for _, row := range []row{
			{bucketIncident, key}, {bucketEvidence, key}, {bucketByID, key[8:]}, {bucketOpen, key},
			{bucketByTarget, append(targets[n], key...)},
		} {
			if err := tx.Bucket(row.key).Delete(row.value); err != nil {
				return n, err
			}
		}
	}
	return len(keys), nil
}

// changedIncident notes that an incident is not in the file as it is. s.mu is held.
func (s *Store) changedIncident(i *Incident) { s.changes.incidents[i.ID] = i }

// Incidents implements Source.
func (s *Store) Incidents(ctx context.Context, filter IncidentFilter, from, to time.Time, limit int) ([]Incident, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	query := incidentQuery{filter: filter, from: 0, to: 1<<63 - 1, limit: limit}
	if !from.IsZero() {
		query.from = from.UnixMilli()
	}
	if !to.IsZero() {
		query.to = to.UnixMilli()
	}
	fresh := make(map[string]Incident)
	s.mu.Lock()
	for _, changed := range []map[string]*Incident{s.saving.incidents, s.changes.incidents} {
		for id, i := range changed {
			fresh[id] = *i
		}
	}
	for _, l := range s.order {
		if l.incident != nil {
			fresh[l.incident.ID] = *l.incident
		}
	}
	s.mu.Unlock()
	var found []Incident
	for _, i := range fresh {
		if query.matches(&i) {
			found = append(found, i)
		}
	}
	err := s.view(func(tx *bbolt.Tx) error {
		stored, err := query.run(ctx, tx, fresh)
		found = append(found, stored...)
		slices.SortFunc(found, func(a, b Incident) int { return cmpIncidents(&a, &b) })
		found = found[:min(len(found), limit)]
		for n := range found {
			found[n].Target = s.targetOf(tx, found[n].TargetID)
		}
		return err
	})
	return found, err
}

// cmpIncidents puts the latest first.
func cmpIncidents(a, b *Incident) int {
	if c := b.From.Compare(a.From); c != 0 {
		return c
	}
	return bytes.Compare([]byte(a.ID), []byte(b.ID))
}

// incidentQuery selects incidents; times are in milliseconds.
type incidentQuery struct {
	filter   IncidentFilter
	from, to int64
	limit    int
}

func (q *incidentQuery) matches(i *Incident) bool {
	return (q.filter.TargetID == "" || i.TargetID == q.filter.TargetID) && (!q.filter.Open || i.To.IsZero()) &&
		i.From.UnixMilli() < q.to && (i.To.IsZero() || i.To.UnixMilli() >= q.from)
}

// run looks in the file for incidents that are not fresh, the latest first.
func (q *incidentQuery) run(ctx context.Context, tx *bbolt.Tx, fresh map[string]Incident) (found []Incident, err error) {
	index, prefix := bucketIncident, []byte(nil)
	switch {
	case q.filter.TargetID != "":
		index, prefix = bucketByTarget, numbers(nil, rowID(q.filter.TargetID))
	case q.filter.Open:
		index = bucketOpen
	}
	incidents := tx.Bucket(bucketIncident)
	c := tx.Bucket(index).Cursor()
	k, _ := c.Seek(numbers(prefix, uint64(max(q.to, 0))))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	for n := 0; k != nil && bytes.HasPrefix(k, prefix) && len(found) < q.limit; k, _ = c.Prev() {
		if n++; n%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		value := incidents.Get(k[len(prefix):])
		if len(value) < incidentHead {
			continue
		}
		if end := int64(keyNumber(value, 0)); end != 0 && (q.filter.Open || end < q.from) {
			continue
		}
		i, err := decodeIncident(value)
		if err != nil {
			continue
		}
		if _, newer := fresh[i.ID]; !newer && q.matches(&i) {
			found = append(found, i)
		}
	}
	return found, nil
}

// Incident implements Source.
func (s *Store) Incident(_ context.Context, id string) (i Incident, err error) {
	var evidence *evidenceRow
	found := false
	s.mu.Lock()
	for _, c := range []changes{s.saving, s.changes} {
		if changed := c.incidents[id]; changed != nil {
			i, found = *changed, true
		}
		if e, ok := c.evidence[id]; ok {
			evidence = e.row
		}
	}
	if !found {
		for _, l := range s.order {
			if l.incident != nil && l.incident.ID == id {
				i, found = *l.incident, true
			}
		}
	}
	s.mu.Unlock()
	err = s.view(func(tx *bbolt.Tx) error {
		start := tx.Bucket(bucketByID).Get(numbers(nil, rowID(id)))
		if !found && start != nil {
			if i, err = decodeIncident(tx.Bucket(bucketIncident).Get(numbers(bytes.Clone(start), rowID(id)))); err == nil {
				found = i.ID == id
			}
		}
		if !found {
			return nil
		}
		if value := tx.Bucket(bucketEvidence).Get(incidentKey(i.From, id)); evidence == nil && value != nil {
			row, err := decodeEvidence(value)
			if err != nil {
				s.unreadable(err)
				return nil
			}
			evidence = &row
		}
		i.Target = s.targetOf(tx, i.TargetID)
		return nil
	})
	if err != nil && !found {
		return Incident{}, err
	}
	if !found {
		return Incident{}, ErrNotFound
	}
	if evidence != nil {
		i.Evidence, i.Good = evidence.Evidence, evidence.Good
	}
	return i, nil
}

// targetOf is what is known of a target.
func (s *Store) targetOf(tx *bbolt.Tx, id string) Target {
	s.mu.Lock()
	l := s.byID[rowID(id)]
	if l != nil && !l.left {
		defer s.mu.Unlock()
		return l.info
	}
	s.mu.Unlock()
	row, _ := readTarget(tx, rowID(id))
	return row.Target
}

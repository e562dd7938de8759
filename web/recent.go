package web

import (
	"sync"

	"rollcall/probe"
)

// recentResults keeps the last results, and beside them the last failures that have left those, so that a rare failure
// can still be looked at after hundreds of good results. It keeps Records as they are; text is made for each view.
type recentResults struct {
	limit int // results in each of the rings

	mu       sync.Mutex
	next     int64 // id of the next result
	bytes    int
	recent   ring
	failures ring // older than recent
}

// result is a Record with the number it has in links, counted from 1.
type result struct {
	id     int64
	bytes  int
	record *probe.Record
}

// maxRecentBytes bounds what is held on to, whatever limit is set and whatever targets send.
const maxRecentBytes = 32 << 20

func newRecentResults(limit int) *recentResults { return &recentResults{limit: limit, next: 1} }

func (h *recentResults) add(r *probe.Record) {
	if h.limit <= 0 {
		return
	}
	size := recordBytes(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.recent.count >= h.limit {
		h.retire()
	}
	h.recent.push(result{id: h.next, bytes: size, record: r})
	h.next++
	h.bytes += size
	for h.bytes > maxRecentBytes && h.failures.count > 0 {
		h.bytes -= h.failures.pop().bytes
	}
	for h.bytes > maxRecentBytes && h.recent.count > 1 {
		h.bytes -= h.recent.pop().bytes
	}
}

// retire takes the oldest result out, to the failures if it is one.
func (h *recentResults) retire() {
	old := h.recent.pop()
	if old.record.Result.Up() {
		h.bytes -= old.bytes
		return
	}
	if h.failures.count >= h.limit {
		h.bytes -= h.failures.pop().bytes
	}
	h.failures.push(old)
}

// latest returns up to n results, the newest first.
func (h *recentResults) latest(n int) []result {
	h.mu.Lock()
	defer h.mu.Unlock()
	results := make([]result, 0, min(n, h.recent.count+h.failures.count))
	for r := range h.all {
		if len(results) == n {
			break
		}
		results = append(results, *r)
	}
	return results
}

// find returns the newest result that matches.
func (h *recentResults) find(matches func(*result) bool) (result, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.all {
		if matches(r) {
			return *r, true
		}
	}
	return result{}, false
}

// all yields every result, the newest first. h.mu is held.
func (h *recentResults) all(yield func(*result) bool) {
	for _, ring := range []*ring{&h.recent, &h.failures} {
		for i := ring.count - 1; i >= 0; i-- {
			if !yield(ring.at(i)) {
				return
			}
		}
	}
}

// recordBytes estimates what keeping r costs. An error's text is not made only to be measured.
func recordBytes(r *probe.Record) int {
	const fixed, failure = 1 << 10, 1 << 10
	n := fixed + len(r.Target) + len(r.Hostname)
	if r.Result.Failure != nil {
		n += failure
	}
	if http := r.Result.HTTP; http != nil {
		n += len(http.FinalURL)
	}
	if tls := r.Result.TLS; tls != nil {
		for _, c := range tls.Presented {
			n += 4 * len(c.Raw) // with what is parsed of it
		}
		n += len(tls.Leaf.Subject) + len(tls.Leaf.Issuer) + len(tls.Leaf.SubjectAlternative) + len(tls.Leaf.SerialNumber)
	}
	if tcp := r.Result.TCP; tcp != nil {
		for _, labels := range tcp.Expects {
			for _, label := range labels {
				n += len(label.Name) + len(label.Value)
			}
		}
	}
	for _, step := range r.Trace.Steps() {
		n += len(step.Text)
	}
	return n
}

// ring is a queue of results that grows to what it is made to hold and then reuses its memory.
type ring struct {
	results []result
	first   int
	count   int
}

// at returns the i-th result; the oldest is 0.
func (r *ring) at(i int) *result { return &r.results[(r.first+i)%len(r.results)] }

func (r *ring) push(v result) {
	if r.count == len(r.results) {
		grown := make([]result, max(16, 2*r.count))
		for i := range r.count {
			grown[i] = *r.at(i)
		}
		r.results, r.first = grown, 0
	}
	r.count++
	*r.at(r.count - 1) = v
}

func (r *ring) pop() result {
	v := r.results[r.first]
	r.results[r.first] = result{} // frees what the Record points to
	r.first = (r.first + 1) % len(r.results)
	r.count--
	return v
}

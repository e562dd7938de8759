package alert

import (
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"rollcall/probe"
	"rollcall/redact"
)

// The bounds of what is watched. A stranger who may call /probe can invent targets; those have a share of their own,
// so that they crowd out no configured one.
const (
	maxWatches          = 100_000
	maxRequestedWatches = 10_000
	forgetAfter         = 24 * time.Hour  // without a result
	askedLately         = 5 * time.Minute // what is asked for less often than this is not being watched by it

	// maxChanges bounds what the keeper has not yet fetched. Beyond it (a disk that hangs for long) results are not
	// looked at: the next probe of the same target will say the same again.
	maxChanges = 20_000
)

// key names what is watched.
type key struct{ module, target string }

// change is an event together with the watch as it stood right after it: they reach the disk together.
type change struct {
	event    event
	incident *incident
	watch    watch
}

// register holds the watches. Probes fold their results in on their own goroutines: that takes a lookup and a few
// assignments, far less than a queue would cost them, and loses nothing. No I/O happens under its lock, and nothing
// that takes longer than a fraction of a millisecond.
type register struct {
	mu            sync.Mutex
	policy        policy
	probeRequests bool
	configured    map[key]bool // never changed: another takes its place
	watches       map[key]*watch
	all           []*watch // the same, for visiting them in parts
	requested     int      // how many no scheduled probe has asked for
	changes       []*change
	refused       uint64  // results of targets beyond the bounds
	deferred      uint64  // results that came while too many changes waited
	swept, saved  int     // where the sweep and the fetching go on
	rows          []watch // for fetch
}

func newRegister() *register {
	return &register{watches: make(map[key]*watch), rows: make([]watch, 0, copies)}
}

// observe folds a record in and reports whether the keeper has something to fetch at once.
func (r *register) observe(rec *probe.Record) bool {
	k := key{rec.Module, identity(rec.Target)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec.Debug || !rec.Scheduled && !r.probeRequests {
		return false
	}
	if len(r.changes) >= maxChanges {
		r.deferred++
		return true
	}
	w := r.watches[k]
	if rec.Scheduled && (w == nil || !w.Scheduled) && !r.configured[k] {
		return false // the answer to a question that a reload took back
	}
	if w == nil {
		if w = r.admit(k, rec); w == nil {
			r.refused++
			return false
		}
	}
	if rec.Scheduled {
		if !w.Scheduled {
			w.Scheduled = true
			r.requested--
		}
		w.Labels, w.leaving = rec.Labels, false
	} else {
		w.asked = rec.Result.Start
		if w.leaving {
			w.leaving, w.unsaved = false, true // on as one of those that are only asked for
		}
	}
	w.Prober, w.seen = rec.Prober, rec.Result.Start
	e, i := w.observe(&rec.Result, r.policy)
	if e != nothing {
		r.changes = append(r.changes, &change{e, i, *w})
	}
	warned := w.warn(&rec.Result, r.policy)
	if warned {
		r.changes = append(r.changes, &change{certEnding, w.expiring(&rec.Result), *w})
	}
	return e != nothing || warned
}

// admit begins to watch a target, or returns nil when there is no room.
func (r *register) admit(k key, rec *probe.Record) *watch {
	if len(r.all) >= maxWatches || (!rec.Scheduled && r.requested >= maxRequestedWatches) {
		return nil
	}
	// The record's strings may be parts of a request that would stay in memory with them.
	k = key{strings.Clone(k.module), strings.Clone(k.target)}
	w := &watch{Module: k.module, Target: k.target, Scheduled: rec.Scheduled}
	r.insert(k, w)
	return w
}

func (r *register) insert(k key, w *watch) {
	r.all = append(r.all, w)
	r.watches[k] = w
	if !w.Scheduled {
		r.requested++
	}
}

// restore puts back what the store held. Every watch gets its time until it is forgotten anew, and who asked for it is
// not known.
func (r *register) restore(ws []*watch, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range ws {
		if k := (key{w.Module, w.Target}); r.watches[k] == nil && len(r.all) < maxWatches {
			w.seen, w.asked = now, now
			r.insert(k, w)
		}
	}
}

// configure changes the rules for results to come. What is no longer configured is found by the next sweep.
func (r *register) configure(c *Config) {
	room := make([]*watch, 0, min(len(c.targets)+maxRequestedWatches, maxWatches)) // lest a probe wait for it to be made
	r.mu.Lock()
	defer r.mu.Unlock()
	r.policy, r.probeRequests, r.configured = c.policy, c.probeRequests, c.targets
	r.all = append(room, r.all...)
}

// The most that is done without giving probes a chance in between, so that none waits for a millisecond.
const (
	visits = 256 // watches that are looked at
	copies = 32  // that are copied
)

// fetch hands over all changes, and with quiet also some of the watches that differ from their rows without news
// (counters, a first result), which stay valid until the next call. Both are of the same instant: a row on disk must
// never be ahead of its events. more is false when all have been looked at since the last time it was.
func (r *register) fetch(quiet bool) (changes []*change, rows []watch, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changes, r.changes = r.changes, nil
	if !quiet {
		return changes, nil, false
	}
	rows = r.rows[:0]
	for range visits {
		if r.saved >= len(r.all) {
			r.saved = 0
			return changes, rows, false
		}
		if len(rows) == copies {
			break
		}
		if w := r.all[r.saved]; w.unsaved {
			w.unsaved = false
			rows = append(rows, *w)
		}
		r.saved++
	}
	return changes, rows, true
}

// sweep looks at a part of the watches and drops those that nobody looks at any more, which are changes like others;
// more is false when all have been looked at since the last time it was.
func (r *register) sweep(now time.Time) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	dropped := 0
	for range visits {
		if r.swept >= len(r.all) {
			r.swept = 0
			return false
		}
		if dropped == copies {
			break
		}
		w := r.all[r.swept]
		why := r.over(w, now)
		if why == "" {
			r.swept++
			continue
		}
		last := r.all[len(r.all)-1]
		r.all[r.swept] = last
		r.all = r.all[:len(r.all)-1]
		delete(r.watches, key{w.Module, w.Target})
		if !w.Scheduled {
			r.requested--
		}
		c := &change{event: unwatched, watch: *w}
		if w.Incident != nil {
			c.incident = w.abandon(why, now)
		}
		r.changes = append(r.changes, c)
		dropped++
	}
	return true
}

// over says why nobody looks at a target any more; empty: somebody does. One that left the configuration may still be
// asked for by /probe; whether it is shows within the time between two scrapes.
func (r *register) over(w *watch, now time.Time) (why string) {
	if w.Scheduled && !r.configured[key{w.Module, w.Target}] {
		w.Scheduled, w.leaving = false, true
		r.requested++
	}
	switch {
	case w.leaving && (!r.probeRequests || now.Sub(w.asked) >= askedLately):
		return "it left the configuration"
	case now.Sub(w.seen) >= forgetAfter:
		return "it had no result for a day"
	default:
		return ""
	}
}

// counts is what the metrics say of the register.
func (r *register) counts() (watched int, refused, deferred uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all), r.refused, r.deferred
}

// identity is how a target is known here: without the password that it may carry, and as valid text, since it is
// stored, mailed and shown.
func identity(target string) string {
	if strings.IndexByte(target, '@') >= 0 {
		target = redact.Target(target)
	}
	if !utf8.ValidString(target) {
		target = strings.ToValidUTF8(target, "\uFFFD")
	}
	return target
}

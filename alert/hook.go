// Package alert notifies people of targets that are down: it observes every probe.Record, decides when an incident begins
// and ends, and notifies each recipient, by mail and Alertmanager. The way of a result through it:
//
//	Record ─▶ incident.Tracker (state machine) ─▶ outbox.Queue of each recipient ─▶ outbox.Store (fsync) ─▶ mail, alertmanager
//
// Observe does the first two steps on the probe's goroutine, in memory, under the one lock that guards all state. The
// rest is run's: it composes what is due, writes what changed, and starts a goroutine for each delivery. It reads best in
// the order hook.go, targets.go, observe.go, opinion.go, run.go, save.go. What Alertmanager is for (silences, inhibition,
// escalation, chat) stays there.
package alert

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

// HookOptions is what the hook needs beside its configuration.
type HookOptions struct {
	StoragePath string              // the directory of the store; it is not touched before a configuration is applied
	ExternalURL string              // of the exporter's pages, for links in mails, without a slash at the end; empty: no links
	Logger      *slog.Logger        // not nil
	Hurry       func(*probe.Target) // has a target probed out of turn; nil: it waits for its turn
}

// Hook is a probe.Observer that watches nothing until Apply gives it a configuration. All methods may be called
// concurrently.
type Hook struct {
	options HookOptions
	active  atomic.Pointer[engine]

	mu sync.Mutex // of Apply and Close
}

// NewHook makes a hook that watches nothing yet.
func NewHook(o HookOptions) *Hook { return &Hook{options: o} }

// Apply puts a configuration into force: the first opens the store, later ones replace the one before and keep every
// incident, and nil ends the watching and closes the store, for which it waits for deliveries under way until ctx ends.
// On an error the hook goes on as before.
func (h *Hook) Apply(ctx context.Context, c *Config) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.active.Load()
	switch {
	case c == nil && e == nil:
		return nil
	case c == nil:
		h.active.Store(nil)
		return e.close(ctx)
	case e != nil:
		e.configure(c)
		e.wakeUp()
		return nil
	}
	e, err := openEngine(h.options, c)
	if err != nil {
		return err
	}
	ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx)) // close ends both
	running, stop := context.WithCancel(ctx)
	e.stop = stop
	e.working.Go(func() { e.run(running, ctx) })
	h.active.Store(e)
	return nil
}

// Close writes down what is pending, waits for deliveries under way until ctx ends, and closes the store.
func (h *Hook) Close(ctx context.Context) error { return h.Apply(ctx, nil) }

// Observe implements probe.Observer.
func (h *Hook) Observe(r *probe.Record) {
	if e := h.active.Load(); e != nil && e.observe(r, time.Now()) {
		e.wakeUp()
	}
}

// read calls f under the lock while the hook watches.
func (h *Hook) read(f func(e *engine)) {
	if e := h.active.Load(); e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		f(e)
	}
}

// engine is the hook while it watches. One lock guards all of its state. Nothing that waits for a disk, a network or a
// log, and nothing that takes longer than a fraction of a millisecond, happens under it.
type engine struct {
	options HookOptions
	store   *outbox.Store // of run and close alone

	mu         sync.Mutex
	config     *Config
	targets    map[probe.Key]*target
	all        []*target // the same, for visiting them in parts
	requested  int       // how many of them only /probe asked for
	hand       int       // place in all where makeRoom goes on
	refusals   refusals
	recipients []*recipient               // of all channels
	dirty      map[probe.Key][]*recipient // targets whose row on disk differs, and what these know of them there
	order      []probe.Key                // of them
	dropped    []outbox.Write             // rows of recipients that are no longer configured
	journal    []happening                // to be logged
	sweepAt    time.Time

	questions []question // to witnesses, yet to be asked
	asking    int        // those under way
	hurry     bool       // something waits for the references

	refused       uint64 // results of targets beyond the bounds
	storeFailures uint64
	counts        map[string]*ChannelStats

	storeFails   bool // the last write did; of run and close alone, as the next two
	retryStore   time.Time
	warnedOfFull bool

	wake    chan struct{}
	working sync.WaitGroup     // run, and the deliveries and questions that it started
	stop    context.CancelFunc // of run and the questions
	cancel  context.CancelFunc // of the deliveries, too
}

// target is what is watched.
type target struct {
	incident.Tracker
	seen     time.Time  // when a result last came
	requests *requested // nil: /probe never asked for it
	leaving  bool       // it left the configuration, and /probe has not asked for it since
	heard    string     // the incident on which the witnesses were heard
}

// requested is what is known of the requests for a target.
type requested struct {
	latest     time.Time
	again      bool          // there was one before
	patience   time.Duration // the longest limit of one lately
	patienceAt time.Time     // when that was
}

// recipient is one address, or one Alertmanager.
type recipient struct {
	*outbox.Queue
	channel    channel
	nextResend time.Time
	removed    bool // by a reload
	warned     bool // that too much waits
}

// happening is an event that is yet to be logged.
type happening struct {
	event    incident.Event
	incident *incident.Incident
}

func openEngine(o HookOptions, c *Config) (*engine, error) {
	store, loaded, damage, err := outbox.Open(o.StoragePath)
	if damage != nil {
		o.Logger.Error("the alert store was damaged and is set aside; what is down is notified anew, and mail that waited in it is lost",
			"err", damage, "aside", outbox.DamagedFile)
	}
	if err != nil {
		return nil, err
	}
	e := newEngine(o, store)
	now := time.Now()
	for _, t := range loaded.Trackers {
		if len(e.all) < maxWatched {
			// It gets its time until it is forgotten anew; who asked for it is not known.
			e.insert(&target{Tracker: *t, seen: now, requests: &requested{latest: now, again: true}})
		}
	}
	for _, q := range loaded.Queues {
		e.recipients = append(e.recipients, &recipient{Queue: q})
	}
	e.configure(c)
	return e, nil
}

func newEngine(o HookOptions, store *outbox.Store) *engine {
	return &engine{
		options: o, store: store, refusals: newRefusals(),
		targets: make(map[probe.Key]*target), dirty: make(map[probe.Key][]*recipient), counts: make(map[string]*ChannelStats),
		wake: make(chan struct{}, 1),
	}
}

// configure puts a configuration into force. Recipients that stay are tried again at once; those that left lose what was
// owed; what new ones have yet to learn, and which targets left, is found by the next sweep.
func (e *engine) configure(c *Config) {
	room := make([]*target, 0, min(len(c.targets)+maxRequested, maxWatched)) // no probe is to wait while it is made
	e.mu.Lock()
	defer e.mu.Unlock()
	type name struct{ channel, name string }
	known := make(map[name]*recipient)
	for _, r := range e.recipients {
		known[name{r.Channel, r.Name}] = r
	}
	e.config, e.recipients, e.sweepAt = c, nil, time.Time{}
	for _, ch := range c.channels {
		for _, to := range ch.recipients {
			r := known[name{ch.name, to}]
			if delete(known, name{ch.name, to}); r == nil {
				r = &recipient{Queue: outbox.NewQueue(ch.name, to)}
			}
			r.channel, r.OnChange = ch, func(key probe.Key) { e.mark(key, r) }
			r.Retry()
			e.recipients = append(e.recipients, r)
		}
	}
	for _, r := range known {
		r.removed, r.OnChange = true, nil
		e.dropped = append(e.dropped, r.Drop()...)
	}
	e.all = append(room, e.all...)
}

// wakeUp has run look for what is to be done.
func (e *engine) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default: // it is awake, and will find this, too
	}
}

// mark notes that the target's row differs from what is on disk, and so does what r knows of it; nil: nothing else does.
// The caller holds the lock.
func (e *engine) mark(key probe.Key, r *recipient) {
	of, is := e.dirty[key]
	if !is {
		e.order = append(e.order, key)
	}
	if r != nil && !slices.Contains(of, r) {
		of = append(of, r)
	}
	e.dirty[key] = of
}

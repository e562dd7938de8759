package alert

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// The channels.
const (
	channelMail         = "email"
	channelAlertmanager = "alertmanager"
)

// How often the keeper does what no event demands.
const (
	saveInterval  = 30 * time.Second // watches without news
	sweepInterval = time.Minute
	storeRetry    = 10 * time.Second
)

// keeper is the one goroutine that owns the outboxes and the store. It turns the register's changes into news, puts
// them on disk, and starts deliveries; those run on a goroutine per channel and report back to it.
type keeper struct {
	register *register
	store    *store
	logger   *slog.Logger
	url      string // the exporter's pages

	config       *Config
	destinations []*destination
	open         map[string]*incident // by ID
	rows         map[key][]byte       // watches to be written; nil: to be taken away
	abandoned    []write              // to be taken away of destinations that are no longer configured
	storeBroken  bool
	retryStore   time.Time
	nextSave     time.Time
	nextSweep    time.Time
	nextResend   time.Time
	toldFull     bool // that targets are refused

	busy     map[string]bool // a delivery runs on this line
	stats    map[string]*ChannelMetrics
	failures uint64 // of the store
	numbers  atomic.Pointer[numbers]

	wake      chan struct{}
	reports   chan report
	adoptions chan adoption
	stop      chan context.Context
	done      chan struct{}
	jobs      sync.WaitGroup
}

// adoption asks for a configuration to be put into force.
type adoption struct {
	config *Config
	done   chan struct{} // closed when it is
}

// numbers is Metrics as the keeper last saw them.
type numbers struct {
	Metrics
	oldest time.Time // when the oldest news became news; zero: none waits
}

// report is how a delivery ended.
type report struct {
	line    string
	to      []*destination
	results []result
}

func newKeeper(s *store, l *loaded, c *Config, o HookOptions) *keeper {
	k := &keeper{
		register: newRegister(), store: s, logger: o.Logger, url: o.ExternalURL,
		open: make(map[string]*incident), rows: make(map[key][]byte),
		busy: make(map[string]bool), stats: make(map[string]*ChannelMetrics),
		wake: make(chan struct{}, 1), reports: make(chan report), adoptions: make(chan adoption),
		stop: make(chan context.Context, 1), done: make(chan struct{}),
	}
	now := time.Now()
	k.register.restore(l.watches, now)
	for _, w := range l.watches {
		if w.Incident != nil {
			k.open[w.Incident.ID] = w.Incident
		}
	}
	for _, d := range l.destinations {
		k.destinations = append(k.destinations, d)
	}
	k.nextSave, k.nextResend = now.Add(saveInterval), now
	k.adopt(c, now)
	k.publish()
	return k
}

// configure has the keeper put a configuration into force. It waits for a disk that takes its time until ctx ends.
func (k *keeper) configure(ctx context.Context, c *Config) error {
	a := adoption{c, make(chan struct{})}
	select {
	case k.adoptions <- a:
		<-a.done
		return nil
	case <-ctx.Done():
		return fmt.Errorf("changing the alerting: waiting for the disk that holds --storage.path: %w", ctx.Err())
	}
}

// close ends the keeper; ctx bounds the wait for deliveries under way.
func (k *keeper) close(ctx context.Context) error {
	k.stop <- ctx
	<-k.done
	return k.store.close()
}

// run is the keeper's life.
func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-k.wake:
		case r := <-k.reports:
			k.settle(r, time.Now())
		case a := <-k.adoptions:
			k.adopt(a.config, time.Now())
			close(a.done)
		case patience := <-k.stop:
			k.finish(patience, cancel)
			return
		}
		timer.Reset(k.turn(ctx, time.Now()))
	}
}

// turn does everything that is due and returns how long nothing else is.
func (k *keeper) turn(ctx context.Context, now time.Time) time.Duration {
	quiet := !now.Before(k.nextSave)
	k.gatherAll(quiet, now)
	if quiet {
		k.nextSave = now.Add(saveInterval)
	}
	if !now.Before(k.nextSweep) {
		k.sweep(now)
		k.nextSweep = now.Add(sweepInterval)
	}
	parcels := k.sealDue(now)
	k.save(now)
	k.deliver(ctx, parcels)
	k.post(ctx, now)
	k.publish()
	return max(0, k.next(now).Sub(now))
}

// gatherAll gathers all there is, and writes some of it on the way when it is much.
func (k *keeper) gatherAll(quiet bool, now time.Time) {
	for k.gather(quiet, now) {
		if len(k.rows) >= rowsPerWrite {
			k.save(now)
		}
	}
}

// gather turns what the register has into news and rows.
func (k *keeper) gather(quiet bool, now time.Time) (more bool) {
	changes, rows, more := k.register.fetch(quiet)
	for i := range rows {
		k.rows[key{rows[i].Module, rows[i].Target}] = encodeRow(&rows[i])
	}
	for _, c := range changes {
		at := key{c.watch.Module, c.watch.Target}
		k.rows[at] = encodeRow(&c.watch)
		switch i := c.incident; c.event {
		case wentDown:
			k.open[i.ID] = i
			k.logger.Info("a target is down", "module", i.Module, "target", i.Target, "stage", i.Stage, "reason", i.Reason)
		case stillDown:
			k.open[i.ID] = i
		case cameUp:
			delete(k.open, i.ID)
			k.logger.Info("a target is up again", "module", i.Module, "target", i.Target, "after", i.Until.Sub(i.Since).Round(time.Millisecond))
		case unwatched:
			if k.rows[at] = nil; i == nil {
				continue
			}
			delete(k.open, i.ID)
			k.logger.Warn("a target that was down is no longer watched", "module", i.Module, "target", i.Target, "why", i.Unwatched)
		}
		for _, d := range k.destinations {
			if c.event == certEnding && d.channel != channelMail {
				continue
			}
			if !d.add(c.event, c.incident, !c.watch.Scheduled, now) {
				k.tellExcess(d)
			}
		}
	}
	return more
}

// tellExcess takes note of news that had no room in an outbox.
func (k *keeper) tellExcess(d *destination) {
	k.channel(d.channel).Summed++
	if !d.excessive {
		d.excessive = true
		k.logger.Warn("too much waits to be told: what else comes is only counted, and the next notification gives the number",
			"channel", d.channel, "to", d.name, "limit", maxWaiting, "limit_of_probe_requests", maxRequestedWaiting)
	}
}

// sweep forgets targets that nobody looks at any more. Whoever was told that one is down is told that, too; how it is
// now, nobody knows.
func (k *keeper) sweep(now time.Time) {
	for more := true; more; {
		more = k.register.sweep(now)
		k.gather(false, now)
	}
	if _, refused, _ := k.register.counts(); refused > 0 && !k.toldFull {
		k.toldFull = true
		k.logger.Warn("too many targets are watched for alerts; results of further ones are ignored here",
			"limit", maxWatches, "limit_of_probe_requests", maxRequestedWatches)
	}
}

// settle takes in how a delivery ended.
func (k *keeper) settle(r report, now time.Time) {
	k.busy[r.line] = false
	for i, d := range r.to {
		verdict, err := r.results[i].verdict, r.results[i].err
		stats := k.channel(d.channel)
		switch verdict {
		case delivered:
			stats.Sent++
			stats.LastSuccess = now
			d.excessive = false
		case refused:
			stats.Refused++
			k.logger.Error("a notification was refused for good", "channel", d.channel, "to", d.name, "err", err)
		case inDoubt:
			stats.InDoubt++
			k.logger.Warn("nobody knows whether a notification arrived; it is sent again under the same Message-ID", "channel", d.channel, "to", d.name, "err", err)
		case postponed:
			stats.Retried++
			k.logger.Warn("a notification could not be sent; it is tried again", "channel", d.channel, "to", d.name, "err", err)
		}
		d.settle(verdict, k.pause(d.failures), now)
	}
}

// pause is how long to wait after the nth failure in a row: twice as long each time, half of it by chance, so that
// many exporters do not knock at a mail server's door together.
func (k *keeper) pause(failures int) time.Duration {
	d := min(firstBackoff<<min(failures, 16), lastBackoff)
	return d/2 + rand.N(d/2+1)
}

func (k *keeper) channel(name string) *ChannelMetrics {
	if k.stats[name] == nil {
		k.stats[name] = &ChannelMetrics{Channel: name}
	}
	return k.stats[name]
}

// finish ends deliveries in good order and writes down what is pending.
func (k *keeper) finish(patience context.Context, cancel context.CancelFunc) {
	idle := make(chan struct{})
	go func() {
		k.jobs.Wait()
		close(idle)
	}()
	for stopping := patience.Done(); ; {
		select {
		case r := <-k.reports:
			k.settle(r, time.Now())
			continue
		case <-stopping:
			cancel()
			stopping = nil // now they end at once
			continue
		case <-idle:
		}
		break
	}
	k.storeBroken = false // one more attempt
	k.gatherAll(true, time.Now())
	k.save(time.Now())
}

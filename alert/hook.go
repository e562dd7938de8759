package alert

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/probe"
)

// HookOptions is what the hook needs beside its configuration.
type HookOptions struct {
	StoragePath string       // the directory of the store; it is not touched before a configuration is applied
	ExternalURL string       // of the exporter's pages, for links in mails, without a slash at the end; empty: no links
	Logger      *slog.Logger // not nil
}

// Hook is the alert hook: a probe.Observer that watches nothing until Apply gives it a configuration. All methods may
// be called concurrently.
type Hook struct {
	options HookOptions
	active  atomic.Pointer[keeper]

	mu sync.Mutex // of Apply and Close
}

// NewHook makes a hook that watches nothing yet.
func NewHook(o HookOptions) *Hook { return &Hook{options: o} }

// Apply puts a configuration into force: the first opens the store, later ones replace the one before and keep every
// incident, and nil ends the watching and closes the store. ctx bounds how long Apply waits for a slow disk, and for
// mail under way when it ends the watching. On an error the hook goes on as before.
func (h *Hook) Apply(ctx context.Context, c *Config) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.active.Load()
	switch {
	case c == nil && k == nil:
		return nil
	case c == nil:
		h.active.Store(nil)
		return k.close(ctx)
	case k != nil:
		return k.configure(ctx, c)
	}
	s, l, err := readStore(h.options.StoragePath, h.options.Logger)
	if err != nil {
		return err
	}
	k = newKeeper(s, l, c, h.options)
	go k.run(context.WithoutCancel(ctx)) // close waits for its end
	h.active.Store(k)
	return nil
}

// Close writes down what is pending, waits for a mail under way until ctx ends, and closes the store.
func (h *Hook) Close(ctx context.Context) error { return h.Apply(ctx, nil) }

// Observe implements probe.Observer.
func (h *Hook) Observe(r probe.Record) {
	if k := h.active.Load(); k != nil && k.register.observe(&r) {
		select {
		case k.wake <- struct{}{}:
		default: // it will find this change, too
		}
	}
}

// Metrics is what there is to know about the hook, in plain numbers.
type Metrics struct {
	Incidents     int // open now
	Watched       int // targets
	Refused       uint64
	Deferred      uint64
	StoreFailures uint64
	OldestPending time.Duration    // how long the oldest news has waited to be told; 0: none waits
	Channels      []ChannelMetrics // the configured ones; empty while the hook watches nothing
}

// ChannelMetrics is what there is to know about one channel.
type ChannelMetrics struct {
	Channel     string // "email", "alertmanager"
	Pending     int    // news of an incident that a recipient has yet to be told
	Summed      uint64 // news that had no room to wait and was only counted
	Sent        uint64 // mails and posts that were accepted
	Retried     uint64 // that failed and are tried again
	InDoubt     uint64 // that were handed over without an answer, and are tried again
	Refused     uint64 // that were refused for good
	LastSuccess time.Time
}

// Metrics returns the present numbers.
func (h *Hook) Metrics() Metrics {
	k := h.active.Load()
	if k == nil {
		return Metrics{}
	}
	return k.metrics()
}

package server

import "sync"

// coalesced returns run as a function that many may call at once: one call of run goes on at a time, and all who ask
// meanwhile share the next one. Each gets the result of a call that began after its own, so that what it changed before is
// in effect. A storm of requests costs two calls instead of one for each.
func coalesced(run func() error) func() error {
	type turn struct {
		done chan struct{}
		err  error
	}
	var (
		mu      sync.Mutex
		waiting *turn                    // nil: none waits; guarded by mu
		going   = make(chan struct{}, 1) // full while run goes on
	)
	return func() error {
		mu.Lock()
		if next := waiting; next != nil {
			mu.Unlock()
			<-next.done
			return next.err
		}
		mine := &turn{done: make(chan struct{})}
		waiting = mine
		mu.Unlock()

		going <- struct{}{}
		defer func() { <-going }()
		defer close(mine.done)
		mu.Lock()
		waiting = nil // who comes from now on needs the one after this
		mu.Unlock()
		mine.err = run()
		return mine.err
	}
}

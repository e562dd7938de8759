package server

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStormOfReloadsIsTwoReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs int
		reload := coalesced(func() error {
			time.Sleep(time.Second)
			if runs++; runs == 2 {
				return errors.New("the second one")
			}
			return nil
		})
		var asking sync.WaitGroup
		first := make(chan error, 1)
		asking.Go(func() { first <- reload() })
		synctest.Wait() // it goes on
		var failed int
		var mu sync.Mutex
		for range 400 {
			asking.Go(func() {
				err := reload()
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
				}
			})
		}
		asking.Wait()
		if runs != 2 || failed != 400 || <-first != nil {
			t.Errorf("%d reloads; %d of 400 have the result of the one that began after them", runs, failed)
		}
		if err := reload(); err != nil || runs != 3 {
			t.Errorf("a later one: %v, %d reloads", err, runs)
		}
	})
}

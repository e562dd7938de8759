package alert

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
)

// marks is how much the keeper of h remembers for a disk that takes nothing.
func marks(h *Hook) int {
	synctest.Wait()
	k := h.active.Load()
	n := len(k.rows) + len(k.abandoned)
	for _, d := range k.destinations {
		n += len(d.changedItems) + len(d.changedTold)
	}
	return n
}

// TestDiskThatIsFullForWeeksFillsNoMemory: targets come, go down, come up and leave, people are told, and the store takes
// nothing of it; or it broke and never will.
func TestDiskThatIsFullForWeeksFillsNoMemory(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, h *Hook){
		"full": func(t *testing.T, h *Hook) {
			limitDisk(t, h, 64<<10)
			for n := range 300 { // more than there is room for, and they stay
				see(h, fmt.Sprintf("stays-%d:1", n), false)
			}
		},
		"broken": func(t *testing.T, h *Hook) {
			if err := h.active.Load().store.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketItems) }); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, dir string, p *postman) {
				h := openHook(t, dir, settings(p))
				fail(t, h)
				var first, last int
				for round := range 10 {
					var passing []string
					for n := range 50 {
						passing = append(passing, fmt.Sprintf("passes-%d-%d:1", round, n))
					}
					if err := h.Apply(t.Context(), settings(p, watching(passing...))); err != nil {
						t.Fatal(err)
					}
					for _, up := range []bool{false, true, false} {
						for n, target := range passing {
							scheduled(h, target, up && n < 40)
						}
						time.Sleep(2 * time.Minute)
					}
					if last = marks(h); round == 1 {
						first = last
					}
				}
				if h.Metrics().StoreFailures == 0 {
					t.Error("the store takes it all")
				}
				if last > first+50 {
					t.Errorf("after two rounds there were %d marks, after ten %d", first, last)
				}
				if m := h.Metrics(); m.Channels[0].Pending != 0 {
					t.Errorf("the numbers are %+v", m)
				}
				closeHook(t, h)
			})
		})
	}
}

// TestManyFirstResultsAreFewWrites: each write waits for the disk, and mail waits for all of them.
func TestManyFirstResultsAreFewWrites(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		db := h.active.Load().store.db
		writes := func() (id int) {
			synctest.Wait()
			if err := db.View(func(tx *bbolt.Tx) error {
				id = tx.ID()
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return id
		}
		before := writes()
		const targets = 5 * rowsPerWrite
		for n := range targets {
			see(h, fmt.Sprintf("host-%d:80", n), true)
		}
		time.Sleep(2 * saveInterval)
		if n := writes() - before; n < 1 || n > 2*targets/rowsPerWrite {
			t.Errorf("%d writes for %d targets", n, targets)
		}
		closeHook(t, h)
		s, l, err := tryStore(dir)
		if err != nil || len(l.watches) != targets {
			t.Fatalf("the store holds %d watches (%v)", len(l.watches), err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
}

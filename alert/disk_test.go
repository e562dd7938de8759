package alert

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"

	"rollcall/alert/outbox"
)

// storeDB is the file behind the hook's store, which outbox keeps to itself.
func storeDB(h *Hook) *bbolt.DB {
	field := reflect.ValueOf(h.active.Load().store).Elem().FieldByName("file").Elem().FieldByName("db")
	return *(**bbolt.DB)(unsafe.Pointer(field.UnsafeAddr()))
}

// known is how many targets a queue knows.
func known(q *outbox.Queue) int { return reflect.ValueOf(q).Elem().FieldByName("targets").Len() }

// limitDisk lets the store's file grow to size and no further, as a full disk does; 0 takes the limit away.
func limitDisk(t *testing.T, h *Hook, size int) {
	t.Helper()
	db := storeDB(h)
	if err := db.Update(func(*bbolt.Tx) error { // between two writes of the hook
		db.MaxSize = size
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// breakStore has every later write panic in the midst of bbolt.
func breakStore(t *testing.T, h *Hook) {
	t.Helper()
	if err := storeDB(h).Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("notifications")) }); err != nil {
		t.Fatal(err)
	}
}

// TestReloadDoesNotWaitForADiskThatHangs, and takes effect.
func TestReloadDoesNotWaitForADiskThatHangs(t *testing.T) {
	h := openHook(t, t.TempDir(), settings(newPostman(t)))
	hanging, err := storeDB(h).Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	see(h, "host:1", false)
	if err := h.Apply(t.Context(), settings(newPostman(t), recipients("a@example.com", "b@example.com"))); err != nil {
		t.Error(err)
	}
	if h.Observe(probeOf("host:2", false)); h.Stats().Incidents != 2 {
		t.Errorf("the numbers are %+v", h.Stats())
	}
	if err := hanging.Rollback(); err != nil {
		t.Fatal(err)
	}
	closeHook(t, h)
}

// marks is how much the hook remembers for a disk that takes nothing.
func marks(h *Hook) int {
	synctest.Wait()
	e := h.active.Load()
	return len(e.dirty) + len(e.dropped)
}

// TestDiskThatIsFullForWeeksFillsNoMemory: targets come, go down, come up and leave, mails leave, and the store takes
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
			breakStore(t, h)
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
				if h.Stats().StoreFailures == 0 {
					t.Error("the store takes it all")
				}
				if last > first+50 {
					t.Errorf("after two rounds there were %d marks, after ten %d", first, last)
				}
				if m := h.Stats(); m.Channels[0].Pending != 0 {
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
		db := storeDB(h)
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
		s, l, _, err := outbox.Open(dir)
		if err != nil || len(l.Trackers) != targets {
			t.Fatalf("the store holds %d targets (%v)", len(l.Trackers), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestDamagedStoreIsSetAside: whatever a power failure made of the file, mails still say what is down.
func TestDamagedStoreIsSetAside(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(sound []byte) []byte
	}{
		{"no database", func([]byte) []byte { return []byte(strings.Repeat("no database ", 10000)) }},
		{"cut in its first pages", func(b []byte) []byte { return b[:5000] }},
		{"cut in its middle", func(b []byte) []byte { return b[:12<<10] }},
		{"a hole in its middle", func(b []byte) []byte { clear(b[8<<10:]); return b }},
		{"a row that is none", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`{"module":`), []byte(`{"module";`)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, dir string, p *postman) {
				h := openHook(t, dir, settings(p))
				see(h, "db:5432", false)
				time.Sleep(time.Minute)
				closeHook(t, h)
				path := filepath.Join(dir, "alert.db")
				sound, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				bad := c.damage(sound)
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				var log bytes.Buffer
				h = NewHook(HookOptions{StoragePath: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				if err := h.Apply(t.Context(), settings(p)); err != nil {
					t.Fatal(err)
				}
				see(h, "db:5432", false)
				time.Sleep(2 * time.Minute)
				closeHook(t, h)
				p.want("TCP db:5432 is down", "TCP db:5432 is down")
				if kept, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(kept, bad) {
					t.Errorf("the damaged file is not kept: %v", err)
				}
				if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "alert.db.damaged") {
					t.Errorf("the log says %s", &log)
				}
			})
		})
	}
}

// TestStoreThatBreaksWhileInUseHoldsBackNoMail: bbolt panics over damaged pages, and may keep its lock as it does.
func TestStoreThatBreaksWhileInUseHoldsBackNoMail(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "db:5432", true)
		time.Sleep(time.Minute)
		breakStore(t, h)
		see(h, "db:5432", false)
		time.Sleep(time.Minute)
		see(h, "db:5432", true)
		time.Sleep(2 * time.Minute)
		p.want("TCP db:5432 is down", "TCP db:5432 is up again")
		if h.Stats().StoreFailures == 0 {
			t.Error("no metric tells")
		}
		closeHook(t, h)
	})
}

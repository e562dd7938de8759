package alert

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestDamagedStoreIsSetAside: whatever a power failure made of the file, people are told of what is down.
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

// TestStoreOfANewerFormatIsLeftAlone: it is sound, and the release that wrote it can read it.
func TestStoreOfANewerFormatIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.commit([]write{{bucketFormat, []byte("version"), []byte("2")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	_, _, err = readStore(dir, slog.New(slog.DiscardHandler))
	if err == nil || errors.Is(err, errDamaged) || !strings.Contains(err.Error(), `"2"`) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v", err)
	}
}

// TestStoreThatBreaksWhileInUseHoldsBackNoMail: bbolt panics over damaged pages, and may keep its lock as it does.
func TestStoreThatBreaksWhileInUseHoldsBackNoMail(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "db:5432", true)
		time.Sleep(time.Minute)
		k := h.active.Load()
		if err := k.store.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketItems) }); err != nil {
			t.Fatal(err)
		}
		see(h, "db:5432", false)
		time.Sleep(time.Minute)
		see(h, "db:5432", true)
		time.Sleep(2 * time.Minute)
		p.want("TCP db:5432 is down", "TCP db:5432 is up again")
		if h.Metrics().StoreFailures == 0 {
			t.Error("no metric tells")
		}
		closeHook(t, h)
	})
}

// TestParcelOfAnEarlierProcessIsInDoubt: that process may have delivered it, so a server that is away now must not
// make it news under another Message-ID.
func TestParcelOfAnEarlierProcessIsInDoubt(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	d := newDestination(channelMail, "ops@example.com")
	d.add(wentDown, &incident{ID: "1", Module: "m", Target: "t"}, false, time.Now())
	if err := d.seal(func([]*item, excess) (*parcel, error) { return &parcel{MessageID: "id", Data: []byte("mail")}, nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.commit(d.writes()); err != nil {
		t.Fatal(err)
	}
	l, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	d, _ = l.destination(rowKey(channelMail, "ops@example.com"))
	d.settle(postponed, time.Second, time.Now())
	if d.parcel == nil || d.parcel.MessageID != "id" || !d.items[0].sealed {
		t.Errorf("the parcel became news again: %+v", d.parcel)
	}
}

//go:build unix

package outbox

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/alert/incident"
	"rollcall/boltfile/boltfiletest"
)

// TestDamagedStore: whatever the file holds, the store opens and takes notifications. A sound one stays in its place.
func TestDamagedStore(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	s, _ := mustOpen(t, dir)
	for round := range 60 {
		q := queue()
		var writes []Write
		for range 50 {
			down, _ := story(fmt.Sprintf("host:%d", rng.IntN(400)), round)
			q.Add(incident.Down, down, epoch)
			if rng.IntN(2) == 0 {
				delete(q.targets, down.Key)
			}
			writes = append(writes, q.NotificationRow(down.Key))
		}
		if err := s.Commit(append(writes, q.Row())); err != nil {
			t.Fatal(err)
		}
		if round%20 == 19 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, _ = mustOpen(t, dir)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(filepath.Join(dir, StoreFile))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, StoreFile), boltfiletest.Damage(rng, sound, i), 0o600); err != nil {
			t.Fatal(err)
		}
		s, _, damage, err := Open(dir)
		if err != nil {
			if !strings.Contains(err.Error(), "it has format") { // the bit that makes it a newer rollcall's
				t.Errorf("seed %d, case %d: %v, %v", seed, i, err, damage)
			}
			continue
		}
		q := queue()
		down, _ := story("host:new", 0)
		q.Add(incident.Down, down, epoch)
		if err := s.Commit([]Write{q.NotificationRow(down.Key), q.Row()}); err != nil {
			t.Errorf("seed %d, case %d (%v): %v", seed, i, damage, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

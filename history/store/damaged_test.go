//go:build unix

package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/boltfile/boltfiletest"
	"rollcall/history"
)

// TestDamagedFile: whatever the file holds, the store starts and keeps history.
func TestDamagedFile(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	s, stop := runStore(t, Options{Dir: dir})
	s.Apply(crashTargets)
	for n := range 2000 {
		s.Observe(testRecord(crashTargets[n%3], crashRecordTime(n), history.StateUp, 20*time.Millisecond))
	}
	s.mu.Lock()
	s.sealAll()
	s.mu.Unlock()
	flush(t, s)
	stop()
	sound, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 90 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), boltfiletest.Damage(rng, sound, i), 0o600); err != nil {
			t.Fatal(err)
		}
		s, stop := runStore(t, Options{Dir: dir})
		s.Apply(crashTargets)
		err := s.Flush(t.Context()) // the targets are known then
		if err != nil && strings.Contains(err.Error(), "it has format") {
			stop() // the bit that makes it a newer rollcall's, whose history stays as it is
			continue
		}
		now := time.Now()
		for n := range 10 {
			s.Observe(testRecord(crashTargets[0], now.Add(time.Duration(n)*time.Second), history.StateDown, time.Second))
		}
		if err := errors.Join(err, s.Flush(t.Context())); err != nil {
			t.Errorf("seed %d, case %d: history does not begin anew: %v", seed, i, err)
		}
		results, err := s.Results(t.Context(), crashTargets[0].ID(), now.Add(-time.Minute), now.Add(time.Hour), 100)
		if err != nil || len(results) != 10 {
			t.Errorf("seed %d, case %d: %d new results are found: %v", seed, i, len(results), err)
		}
		stop()
	}
}

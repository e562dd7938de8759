//go:build unix && !race

// A damaged page may name any address, so what bbolt reads of it may be memory that others write to. Reading it does no
// harm, but the race detector fails the test for it; `make unit` runs this one without.

package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/boltfile"
	"rollcall/history"
)

// TestDamagedFile: whatever the file holds, the store starts and keeps history.
func TestDamagedFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	for i := range 30 {
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
		path := filepath.Join(dir, fileName)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0: // pages of garbage
			for range 4 {
				at := rng.IntN(len(content) - 4096)
				for j := range 4096 {
					content[at+j] = byte(rng.Uint32())
				}
			}
		case 1:
			content = content[:rng.IntN(len(content))]
		case 2: // some bits
			for range 200 {
				content[rng.IntN(len(content))] ^= 1 << rng.IntN(8)
			}
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, stop = runStore(t, Options{Dir: dir})
		s.Apply(crashTargets)
		_ = s.Flush(t.Context()) // the targets are known then; it may find the damage
		now := time.Now()
		for n := range 10 {
			s.Observe(testRecord(crashTargets[0], now.Add(time.Duration(n)*time.Second), history.StateDown, time.Second))
		}
		for range 3 { // the damage may only be found by writing
			if err = s.Flush(t.Context()); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("case %d: history does not begin anew: %v", i, err)
		}
		results, err := s.Results(t.Context(), crashTargets[0].ID(), now.Add(-time.Minute), now.Add(time.Hour), 100)
		if errors.Is(err, boltfile.ErrDamaged) {
			err = errors.Join(s.Flush(t.Context()))
			results, _ = s.Results(t.Context(), crashTargets[0].ID(), now.Add(-time.Minute), now.Add(time.Hour), 100)
		}
		if err != nil || len(results) != 10 {
			t.Errorf("case %d: %d new results are found: %v", i, len(results), err)
		}
		stop()
	}
}

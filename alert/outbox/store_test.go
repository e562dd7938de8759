package outbox

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"rollcall/alert/incident"
	"rollcall/boltfile"
)

// mustOpen opens the store in dir, which is sound.
func mustOpen(t *testing.T, dir string) (*Store, *Loaded) {
	t.Helper()
	s, l, damage, err := Open(dir)
	if err != nil || damage != nil {
		t.Fatal(err, damage)
	}
	return s, l
}

func TestDirectoryThatIsNoneIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, _, _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "--storage.path is to name a directory") {
			t.Errorf("%s: got %v, want what to do about it", dir, err)
		}
	}
}

func TestStoreIsForItsUserOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s, _ := mustOpen(t, dir)
	defer s.Close()
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, StoreFile): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

func TestStoreOpensOnce(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir)
	if _, _, _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "in use by another rollcall") {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, StoreFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the store's mode is %v (%v): others could read it", info.Mode(), err)
	}
}

// TestStoreOfANewerFormatIsLeftAlone: it is sound, and the release that wrote it can read it.
func TestStoreOfANewerFormatIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir)
	if err := s.Commit([]Write{{bucket: []byte("format"), key: "version", row: json.RawMessage("9")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, damage, err := Open(dir)
	if err == nil || damage != nil || errors.Is(err, boltfile.ErrDamaged) || !strings.Contains(err.Error(), `"9"`) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v", err)
	}
}

// TestMessageOfAnEarlierProcessIsInDoubt: that process may have delivered it, so a server that is away now must not
// have the same news sent under another Message-ID.
func TestMessageOfAnEarlierProcessIsInDoubt(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir)
	q := queue()
	down, _ := story("host:1", 0)
	q.Add(incident.Down, down, epoch)
	begin(q)
	if err := s.Commit([]Write{q.NotificationRow(down.Key), q.Row()}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, l := mustOpen(t, dir)
	defer s.Close()
	q = l.Queues[0]
	end(q, Postponed, epoch)
	if m := q.Message; m == nil || m.ID != "id" || q.Channel != "email" || q.Name != "ops@example.com" || q.Pending() != 1 {
		t.Errorf("of %+v the message is %+v", q, m)
	}
	end(q, Delivered, epoch)
	if q.Pending() != 0 || !q.Knows(down.Key, down.ID) {
		t.Error("what it said is still owed")
	}
}

// TestDroppedQueueLeavesNoRows, and others stay as they are.
func TestDroppedQueueLeavesNoRows(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir)
	left, stays := NewQueue("email", "a"), NewQueue("email", "a@example.com")
	down, _ := story("host:1", 0)
	var writes []Write
	for _, q := range []*Queue{left, stays} {
		q.Add(incident.Down, down, epoch)
		writes = append(writes, q.NotificationRow(down.Key), q.Row())
	}
	if err := s.Commit(writes); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(left.Drop()); err != nil {
		t.Fatal(err)
	}
	if needed, err := s.Needed(append(left.Drop(), stays.Drop()...)); err != nil || len(needed) != 2 || !strings.HasPrefix(needed[0].key, "email\x00a@") {
		t.Errorf("needed are the writes %+v (%v), want the last two", needed, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, l := mustOpen(t, dir)
	defer s.Close()
	if len(l.Queues) != 1 || l.Queues[0].Name != "a@example.com" || l.Queues[0].Pending() != 1 {
		t.Errorf("there are %d queues", len(l.Queues))
	}
}

package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

var (
	rows   = []byte("rows")
	format = Format{Version: "1", Buckets: [][]byte{rows}}
)

func nothing(*File) error { return nil }

func put(t *testing.T, f *File, key string) {
	t.Helper()
	if err := f.Update(func(tx *bbolt.Tx) error { return tx.Bucket(rows).Put([]byte(key), []byte("x")) }); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t *testing.T, path string) (f *File, damage error) {
	t.Helper()
	f, damage, err := OpenOrReplace(path, format, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return f, damage
}

// TestDamagedFileIsReplaced: whatever the file holds, an empty one takes its place, and the old one is kept.
func TestDamagedFileIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "file.db")
	f, damage := mustOpen(t, path)
	put(t, f, "a")
	if damage != nil {
		t.Errorf("a new file: %v", damage)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	garbage := bytes.Repeat([]byte("garbage "), 1<<12)
	if err := os.WriteFile(path, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	f, damage = mustOpen(t, path)
	t.Cleanup(func() { f.Close() })
	if !errors.Is(damage, ErrDamaged) {
		t.Errorf("the damage is %v", damage)
	}
	put(t, f, "b")
	if aside, err := os.ReadFile(path + DamagedSuffix); err != nil || !bytes.Equal(aside, garbage) {
		t.Errorf("the damaged file is not kept: %v", err)
	}
}

// TestUnreadableContentIsDamage: what the caller cannot read is replaced, too, but other errors of the caller are not damage.
func TestUnreadableContentIsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.db")
	f, _ := mustOpen(t, path)
	put(t, f, "a")
	f.Close()
	other := errors.New("other")
	if _, damage, err := OpenOrReplace(path, format, func(*File) error { return other }); !errors.Is(err, other) || damage != nil {
		t.Errorf("%v, %v", damage, err)
	}
	first := true
	f, damage, err := OpenOrReplace(path, format, func(*File) error {
		if !first {
			return nil
		}
		first = false
		panic("a page that makes no sense")
	})
	if err != nil || !errors.Is(damage, ErrDamaged) {
		t.Fatalf("%v, %v", damage, err)
	}
	defer f.Close()
	if err := f.View(func(tx *bbolt.Tx) error {
		if tx.Bucket(rows).Get([]byte("a")) != nil {
			t.Error("the new file is not empty")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestMissingBucketIsDamage: one bit of its name is enough, and the next write to it would panic.
func TestMissingBucketIsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.db")
	f, _ := mustOpen(t, path)
	put(t, f, "a")
	f.Close()
	f, damage, err := OpenOrReplace(path, Format{Version: format.Version, Buckets: [][]byte{rows, []byte("more")}}, nothing)
	if err != nil || !errors.Is(damage, ErrDamaged) || !strings.Contains(damage.Error(), `it has no bucket "more"`) {
		t.Errorf("%v, %v", damage, err)
	}
	f.Close()
}

// TestDamageEndsTransactions: after one that panicked, none waits for the lock that bbolt may hold.
func TestDamageEndsTransactions(t *testing.T) {
	f, _ := mustOpen(t, filepath.Join(t.TempDir(), "file.db"))
	panics := func(*bbolt.Tx) error { panic("a page that makes no sense") }
	for range 3 {
		if err := f.Update(panics); !errors.Is(err, ErrDamaged) {
			t.Errorf("%v", err)
		}
	}
	if f.Damage() == nil || f.Close() != nil {
		t.Errorf("%v", f.Damage())
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file.db")
	f, _ := mustOpen(t, path)
	if _, _, err := OpenOrReplace(path, format, nothing); err == nil || !strings.Contains(err.Error(), "in use by another rollcall") {
		t.Errorf("a second one: %v", err)
	}
	f.Close()
	if err := f.View(func(*bbolt.Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
	if _, _, err := OpenOrReplace(path, Format{Version: "2"}, nothing); err == nil || !strings.Contains(err.Error(), `format "1"`) {
		t.Errorf("another format: %v", err)
	}
	if _, _, err := OpenOrReplace(filepath.Join(path, "file.db"), format, nothing); err == nil || !strings.Contains(err.Error(), "--storage.path") {
		t.Errorf("a directory that is a file: %v", err)
	}
}

// TestForget: what was read stays readable when its memory was given back.
func TestForget(t *testing.T) {
	f, _ := mustOpen(t, filepath.Join(t.TempDir(), "file.db"))
	t.Cleanup(func() { f.Close() })
	const many = 2000
	err := f.Update(func(tx *bbolt.Tx) error {
		for n := range many {
			if err := tx.Bucket(rows).Put(fmt.Appendf(nil, "%06d", n), bytes.Repeat([]byte{byte(n)}, 1<<10)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func() {
		t.Helper()
		n := 0
		err := f.View(func(tx *bbolt.Tx) error {
			return tx.Bucket(rows).ForEach(func(_, value []byte) error {
				if len(value) != 1<<10 || value[0] != byte(n) {
					t.Errorf("row %d is %.10x…", n, value)
				}
				n++
				return nil
			})
		})
		if err != nil || n != many {
			t.Fatalf("%d rows: %v", n, err)
		}
	}
	read()
	before := mapped(t, "file.db")
	if err := f.Forget(); err != nil {
		t.Fatal(err)
	}
	if after := mapped(t, "file.db"); runtime.GOOS == "linux" && (before < many || after > before/10) {
		t.Errorf("%d KiB of the file are in memory, %d before", after, before)
	}
	read()
}

// mapped is how much of a mapped file is in the process's memory, in KiB; 0 where that is not known.
func mapped(t *testing.T, name string) (kib int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0
	}
	inside := false
	for line := range strings.Lines(string(maps)) {
		if fields := strings.Fields(line); strings.Contains(fields[0], "-") {
			inside = strings.HasSuffix(fields[len(fields)-1], "/"+name)
		} else if inside && fields[0] == "Rss:" {
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			kib += n
		}
	}
	return kib
}

// TestLostFileIsWrittenAgain: a file that was removed, or that another one replaced, is there again with all of its rows. The
// other one is kept, and stays in its place while another process uses it.
func TestLostFileIsWrittenAgain(t *testing.T) {
	replaceBy := func(t *testing.T, path string, content []byte) {
		other := path + ".other"
		if err := errors.Join(os.WriteFile(other, content, 0o600), os.Rename(other, path)); err != nil {
			t.Fatal(err)
		}
	}
	for name, lose := range map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"replaced by garbage": func(t *testing.T, path string) { replaceBy(t, path, []byte("garbage")) },
		"replaced by a backup": func(t *testing.T, path string) {
			backup, _ := mustOpen(t, path+".backup")
			put(t, backup, "old")
			if err := errors.Join(backup.Close(), os.Rename(path+".backup", path)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file.db")
			f, _ := mustOpen(t, path)
			defer f.Close()
			put(t, f, "a")
			if again, err := f.Restore(); again != nil || err != nil {
				t.Fatalf("nothing is lost: %v, %v", again, err)
			}
			lose(t, path)
			lost, _ := os.ReadFile(path)
			again, err := f.Restore()
			if err != nil {
				t.Fatal(err)
			}
			put(t, again, "b")
			if more, err := again.Restore(); more != nil || err != nil {
				t.Errorf("it is in its place: %v, %v", more, err)
			}
			again.Close()
			reopened, damage := mustOpen(t, path)
			if damage != nil {
				t.Errorf("it is damaged: %v", damage)
			}
			defer reopened.Close()
			wantRows(t, reopened, "a", "b")
			if aside, _ := os.ReadFile(path + replacedSuffix); !bytes.Equal(aside, lost) {
				t.Errorf("%d bytes are set aside, want %d", len(aside), len(lost))
			}
		})
	}
	path := filepath.Join(t.TempDir(), "file.db")
	f, _ := mustOpen(t, path)
	defer f.Close()
	put(t, f, "a")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	used, _ := mustOpen(t, path)
	defer used.Close()
	put(t, used, "b")
	if again, err := f.Restore(); again != nil || !errors.Is(err, errInUse) {
		t.Errorf("a file that is in use: %v, %v", again, err)
	}
	if again, err := used.Restore(); again != nil || err != nil {
		t.Errorf("it is no longer in its place: %v, %v", again, err)
	}
}

// wantRows holds that the rows are exactly those.
func wantRows(t *testing.T, f *File, want ...string) {
	t.Helper()
	var got []string
	if err := f.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(rows).ForEach(func(key, _ []byte) error { got = append(got, string(key)); return nil })
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rows are %q, want %q", got, want)
	}
}

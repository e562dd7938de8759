package option

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/probe"
)

// wantContent reads f, lookInterval later.
func wantContent(t *testing.T, f *File, want string) {
	t.Helper()
	time.Sleep(LookInterval)
	if content, err := f.Read(); err != nil || string(content) != want {
		t.Errorf("it says %q, %v; want %q", content, err, want)
	}
}

func TestSecretFileIsFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	write(t, path, "old")
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenFile(path, true)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, "newer")
		if content, _ := f.Read(); string(content) != "old" {
			t.Errorf("the file was read before the interval was over: %q", content)
		}
		wantContent(t, f, "newer")

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		wantContent(t, f, "newer") // a rotation may take it away before it writes the next
		time.Sleep(BrokenGrace + time.Second)
		_, err = f.Read()
		wantExporterError(t, err, probe.FaultFile)
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
		write(t, path, "back")
		wantContent(t, f, "back")
	})
}

// A secret is often written by truncating its file first. What is sent in this moment must not be an empty password.
func TestEmptySecretFileIsNeverSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	for _, empty := range []string{"", " \n"} {
		write(t, path, empty)
		if _, err := OpenFile(path, true); !errors.Is(err, ErrEmptyFile) {
			t.Errorf("%q at load: %v", empty, err)
		}
		write(t, path, "secret\n")
		synctest.Test(t, func(t *testing.T) {
			f, err := OpenFile(path, true)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, empty)
			wantContent(t, f, "secret\n")
			time.Sleep(BrokenGrace + time.Second)
			_, err = f.Read()
			wantExporterError(t, err, probe.FaultFile)
			write(t, path, "other")
			wantContent(t, f, "other")
		})
	}
}

func TestBodyFileMayBeEmptyButNotBecomeSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "body")
	write(t, path, "")
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenFile(path, false)
		if err != nil {
			t.Fatal(err)
		}
		wantContent(t, f, "")
		write(t, path, "body")
		wantContent(t, f, "body")
		write(t, path, "")
		wantContent(t, f, "body")
		time.Sleep(BrokenGrace + time.Second)
		_, err = f.Read()
		wantExporterError(t, err, probe.FaultFile)
	})
}

// Kubernetes replaces a secret by pointing a link at another directory.
func TestLinkedSecretIsFollowed(t *testing.T) {
	dir := t.TempDir()
	point := func(to string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, to), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to, "token"), to)
		next := filepath.Join(dir, "..next")
		if err := errors.Join(os.Symlink(to, next), os.Rename(next, filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	point("first")
	path := filepath.Join(dir, "token")
	if err := os.Symlink(filepath.Join("..data", "token"), path); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenFile(path, true)
		if err != nil {
			t.Fatal(err)
		}
		wantContent(t, f, "first")
		point("later")
		wantContent(t, f, "later")
	})
}

func TestFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "body")
	write(t, path, "")
	for size, fits := range map[int64]bool{maxFile: true, maxFile + 1: false} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if content, err := ReadFile(path); (err == nil) != fits || fits && int64(len(content)) != size {
			t.Errorf("%d bytes: got %d, %v", size, len(content), err)
		}
	}
}

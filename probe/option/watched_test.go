package option

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// What keeps a file from being read (its mode, no descriptors) may go away and leave the file's size and time as they are.
func TestBrokenFileIsTriedAgainThoughItsStampStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "good")
	synctest.Test(t, func(t *testing.T) {
		load := func() (string, error) {
			content, err := os.ReadFile(path)
			if err == nil && string(content) == "evil" {
				err = errors.New("it is broken")
			}
			return string(content), err
		}
		f, err := Watch("the file", load, path)
		if err != nil {
			t.Fatal(err)
		}
		written := time.Now().Add(time.Hour)
		replace := func(text string) {
			write(t, path, text)
			if err := os.Chtimes(path, written, written); err != nil {
				t.Fatal(err)
			}
			time.Sleep(LookInterval)
		}
		replace("evil")
		if _, err := f.Current(); err != nil {
			t.Fatal(err)
		}
		if f.state.Load().err == nil {
			t.Fatal("the broken file went unnoticed")
		}
		replace("back")
		if content, err := f.Current(); err != nil || content != "back" {
			t.Errorf("still broken: %q, %v", content, err)
		}
	})
}

package probe

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// lookInterval is how long a file's content is used before somebody looks whether it changed.
	lookInterval = time.Second
	// maxWatchedFile bounds what a secret or a request body may take.
	maxWatchedFile = 16 << 20
)

// changed reports whether a file is another one than it was; nil: it was not, or is not, there.
func changed(was, is os.FileInfo) bool {
	if was == nil || is == nil {
		return was != nil || is != nil
	}
	return !os.SameFile(was, is) || !was.ModTime().Equal(is.ModTime()) || was.Size() != is.Size()
}

// watchedFile is a file that a module names (a secret, a body), whose changes are followed without a reload. Any
// number of probes may read it at the same time.
type watchedFile struct {
	path string

	mu      sync.Mutex
	looked  time.Time
	info    os.FileInfo
	content []byte
}

// watchFile reads the file once, to see that it is there.
func watchFile(path string) (*watchedFile, error) {
	f := &watchedFile{path: path}
	if _, err := f.load(time.Now()); err != nil {
		return nil, err
	}
	return f, nil
}

// read returns the file's content, which the caller must not change. Its error is an *ExporterError: a file of ours
// that has gone says nothing about a target.
func (f *watchedFile) read() ([]byte, error) {
	content, err := f.load(time.Now())
	if err != nil {
		return nil, &ExporterError{FaultFile, err}
	}
	return content, nil
}

func (f *watchedFile) load(now time.Time) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.looked.IsZero() && now.Sub(f.looked) < lookInterval {
		return f.content, nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("looking at a file: %w", err)
	}
	if changed(f.info, info) {
		if info.Size() > maxWatchedFile {
			return nil, fmt.Errorf("reading %q: it is over %d bytes long", f.path, maxWatchedFile)
		}
		if info.IsDir() {
			return nil, fmt.Errorf("reading %q: %w", f.path, errors.New("it is a directory"))
		}
		content, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("reading a file: %w", err)
		}
		f.content, f.info = content, info
	}
	f.looked = now
	return f.content, nil
}

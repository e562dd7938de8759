package option

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/probe"
)

const (
	// LookInterval is how long a file's content is used before it is checked for changes.
	LookInterval = time.Second
	// BrokenGrace is how long the last good content serves after a file vanished or broke. It bridges a rotation
	// that writes a certificate and its key one after the other, or a file that is truncated before it is written; a
	// file that stays broken is not kept quiet.
	BrokenGrace = time.Minute
)

// Watched is what a module's files say. It is made again when one of them changed. For a minute a broken file is
// bridged with what was good last; then it is the exporter's fault, FaultFile, and no verdict about any target. Many
// goroutines may use it at once.
type Watched[T any] struct {
	whose string // for people
	load  func() (T, error)
	born  time.Time    // what next counts from: the wall clock may jump
	next  atomic.Int64 // when to look again
	state atomic.Pointer[followedState[T]]

	mu     sync.Mutex // held by the one who looks, also while load runs
	stamps []fileStamp
}

// followedState is what is in use, and what is wrong with the files now.
type followedState[T any] struct {
	content     T
	err         error // nil: content is what the files say
	brokenSince time.Time
}

// fileStamp is what a file was at the last check.
type fileStamp struct {
	name string
	info os.FileInfo // nil: it was not there
}

// changed reports whether a file is another one than it was; nil: it was not, or is not, there.
func changed(was, is os.FileInfo) bool {
	if was == nil || is == nil {
		return was != nil || is != nil
	}
	return !os.SameFile(was, is) || !was.ModTime().Equal(is.ModTime()) || was.Size() != is.Size()
}

// Watch loads what the files say for the first time; the error is load's. Empty names are no files.
func Watch[T any](whose string, load func() (T, error), names ...string) (*Watched[T], error) {
	f := &Watched[T]{whose: whose, load: load, born: time.Now()}
	for _, name := range names {
		if name != "" {
			info, _ := os.Stat(name) // that it is not there is load's to say
			f.stamps = append(f.stamps, fileStamp{name, info})
		}
	}
	content, err := load()
	if err != nil {
		return nil, err
	}
	f.state.Store(&followedState[T]{content: content})
	f.next.Store(int64(LookInterval))
	return f, nil
}

// Current is what the files say now. Its error is an *ExporterError.
func (f *Watched[T]) Current() (T, error) {
	if len(f.stamps) > 0 {
		elapsed := int64(time.Since(f.born))
		if next := f.next.Load(); elapsed >= next && f.next.CompareAndSwap(next, elapsed+int64(LookInterval)) {
			f.look() // one of the probes; the others go on with what there is
		}
	}
	s := f.state.Load()
	if s.err != nil && time.Since(s.brokenSince) > BrokenGrace {
		var none T
		return none, &probe.ExporterError{Fault: probe.FaultFile, Err: fmt.Errorf("reading %s again: %w", f.whose, s.err)}
	}
	return s.content, nil
}

func (f *Watched[T]) look() {
	if !f.mu.TryLock() {
		return // a slow disk: another probe is still reading
	}
	defer f.mu.Unlock()
	different := false
	for i, stamp := range f.stamps {
		info, _ := os.Stat(stamp.name)
		if changed(stamp.info, info) {
			f.stamps[i].info, different = info, true
		}
	}
	// What could not be read is tried again: a stamp tells neither of permissions nor of descriptors.
	old := f.state.Load()
	if !different && old.err == nil {
		return
	}
	content, err := f.load()
	next := &followedState[T]{content: content, err: err}
	if err != nil {
		next.content, next.brokenSince = old.content, old.brokenSince
		if old.err == nil {
			next.brokenSince = time.Now()
		}
	}
	f.state.Store(next)
}

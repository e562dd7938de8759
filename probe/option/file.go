package option

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxFile bounds what a file that the configuration names (a secret, a certificate, a request body) may hold.
const maxFile = 16 << 20

// ReadFile reads a file that the configuration names. It never waits for a writer, and takes no more than
// 16 MiB. Only regular files are read (a symbolic link to one is one): they say the same when they are read again, and a
// pipe or a device does not.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := readable(path, info); err != nil {
		return nil, err // not opened: opening a device can have effects
	}
	// It may be another file by now, and opening a named pipe would wait for its other end.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const tries = 3
	for range tries {
		content, settled, err := readWhole(path, f)
		if err != nil || settled {
			return content, err
		}
	}
	return nil, unreadable(path, "it is being written to")
}

var irregular = map[fs.FileMode]string{fs.ModeDir: "a directory", fs.ModeNamedPipe: "a pipe", fs.ModeSocket: "a socket"}

// readable returns an error for what ReadFile does not read.
func readable(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		kind := cmp.Or(irregular[info.Mode().Type()], "a device")
		return unreadable(path, "it is "+kind+"; accepted: a regular file, which can be read again")
	}
	if info.Size() > maxFile {
		return unreadable(path, fmt.Sprintf("it is over %d bytes long", maxFile))
	}
	return nil
}

func unreadable(path, why string) error {
	return &fs.PathError{Op: "read", Path: path, Err: errors.New(why)}
}

// readWhole reads f from its beginning. What was written to meanwhile is not settled, and may be half of two contents.
func readWhole(path string, f *os.File) (content []byte, settled bool, err error) {
	before, err := f.Stat()
	if err == nil {
		err = readable(path, before)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, false, err
	}
	if content, err = io.ReadAll(io.LimitReader(f, maxFile+1)); err != nil {
		return nil, false, err
	}
	after, err := f.Stat()
	if err == nil && len(content) > maxFile {
		err = readable(path, after)
	}
	return content, err == nil && !changed(before, after), err
}

// ErrEmptyFile is a file that says nothing, as one does for a moment while it is written anew.
var ErrEmptyFile = errors.New("it is empty")

// File is a file with a secret or a request body, whose changes are followed without a reload.
type File struct {
	Path  string
	files *Watched[[]byte]
	full  bool // there was something in it; load's own
}

// OpenFile reads the file once, to see that it is there. One with a secret must never be empty, and any other must not
// become so: a request without its password or body would be answered with an error, and the target be down for it.
func OpenFile(path string, secret bool) (*File, error) {
	f := &File{Path: path, full: secret}
	var err error
	if f.files, err = Watch(fmt.Sprintf("%q", path), f.load, path); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return f, nil
}

func (f *File) load() ([]byte, error) {
	content, err := ReadFile(f.Path)
	if err != nil {
		return nil, err
	}
	full := len(bytes.TrimSpace(content)) > 0
	if f.full && !full {
		return nil, &fs.PathError{Op: "read", Path: f.Path, Err: ErrEmptyFile}
	}
	f.full = full
	return content, nil
}

// Read returns the file's content, which the caller must not change. Its error is an *ExporterError: a file of ours
// that has gone says nothing about a target.
func (f *File) Read() ([]byte, error) { return f.files.Current() }

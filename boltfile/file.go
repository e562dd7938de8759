// Package boltfile opens a bbolt file that must not stop the process, whatever a dying disk or a crash made of it: damage is
// an error instead of a panic, and a damaged file is set aside for an empty one. What is in the file is its caller's.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrDamaged is wrapped by errors that judge the file's content, and not the disk, the permissions or another process.
	ErrDamaged = errors.New("the file is damaged")
	// ErrClosed is returned for a file that is closed.
	ErrClosed = errors.New("the file is closed")

	errInUse = errors.New("in use by another rollcall")
)

// Format is what a file has to be.
type Format struct {
	Version   string   // a number, in the bucket "format"; a file with another one is refused
	Buckets   [][]byte // made in a new file, beside "format"
	AllocSize int      // bytes by which the file grows at once; 0: bbolt's
}

// File is an open file. Many goroutines may read it while one writes.
type File struct {
	db     *bbolt.DB
	format Format
	opened os.FileInfo           // what had the name then
	broken atomic.Pointer[error] // damage that was found
}

// DamagedSuffix is what the name of a damaged file gets that is set aside, replacedSuffix that of one that came into the
// place of an open file. There is one of each at most.
const (
	DamagedSuffix  = ".damaged"
	replacedSuffix = ".replaced"
)

// lockTimeout is how long a file is waited for that another process has open.
const lockTimeout = time.Second

// OpenOrReplace opens or makes a file, with the missing parts of its directory, and has read look at its content. When the
// file is damaged, or read's error wraps ErrDamaged, it is set aside and an empty one takes its place; damage says what was
// wrong. The errors are for a person who knows what the file is for.
func OpenOrReplace(path string, format Format, read func(*File) error) (f *File, damage, err error) {
	f, err = open(path, format, read)
	if !errors.Is(err, ErrDamaged) {
		return f, nil, err
	}
	if damage = err; os.Rename(path, path+DamagedSuffix) != nil {
		return nil, damage, fmt.Errorf("the damaged file cannot be set aside: %w", err)
	}
	f, err = open(path, format, read)
	return f, damage, err
}

// SetAside renames a file that turned out to be damaged while it was open. It stays open: bbolt may hold its locks.
func SetAside(path string) error { return os.Rename(path, path+DamagedSuffix) }

func open(path string, format Format, read func(*File) error) (*File, error) {
	var f *File
	err := guarded(func() (err error) {
		f, err = openFile(path, format)
		return err
	})
	if err == nil {
		err = guarded(func() error { return read(f) })
	}
	if err != nil && f != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, err
}

func openFile(path string, format Format) (*File, error) {
	const advice = "--storage.path is to name a directory that rollcall may write to"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("%w; %s", err, advice)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, OpenFile: openChecked})
	errno := syscall.Errno(0)
	switch {
	case errors.Is(err, ErrDamaged):
		return nil, fmt.Errorf("%s: %w", path, err)
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is %w; give each its own --storage.path", path, errInUse)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return nil, fmt.Errorf("%w; %s", err, advice)
	case err != nil && !errors.As(err, &errno):
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if format.AllocSize > 0 {
		db.AllocSize = format.AllocSize
	}
	f := &File{db: db, format: format}
	if f.opened, err = os.Stat(path); err == nil {
		err = f.prepare(format)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return f, nil
}

var bucketFormat, keyVersion = []byte("format"), []byte("version")

// maxVersion is how many digits a version has at most.
const maxVersion = 4

// prepare makes the buckets of a new file; one that is complete is not written to, so that it opens on a full disk.
func (f *File) prepare(format Format) error {
	var version string
	var missing []byte
	err := f.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketFormat); b != nil {
			version = string(b.Get(keyVersion))
		}
		for _, name := range format.Buckets {
			if tx.Bucket(name) == nil {
				missing = name
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case version == format.Version && missing != nil:
		return fmt.Errorf("%w: it has no bucket %q", ErrDamaged, missing)
	case version == format.Version:
		return nil
	case version != "" && (len(version) > maxVersion || strings.Trim(version, "0123456789") != ""):
		return fmt.Errorf("%w: its format is %.40q", ErrDamaged, version)
	case version != "":
		return fmt.Errorf("it has format %q, and this rollcall knows %q; run the rollcall that wrote it, or move it away to begin anew", version, format.Version)
	}
	return f.Update(func(tx *bbolt.Tx) error {
		for _, name := range append([][]byte{bucketFormat}, format.Buckets...) {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketFormat).Put(keyVersion, []byte(format.Version))
	})
}

// guarded calls a function that works on a mapped file: bbolt panics over pages that make no sense, and reading what the
// disk does not give is a memory error.
func guarded(call func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return call()
}

// Update runs a transaction that is on the disk when it returns. After damage it returns only that.
func (f *File) Update(do func(*bbolt.Tx) error) error { return f.do(f.db.Update, do) }

// View runs a reading transaction.
func (f *File) View(do func(*bbolt.Tx) error) error { return f.do(f.db.View, do) }

func (f *File) do(transaction func(func(*bbolt.Tx) error) error, do func(*bbolt.Tx) error) error {
	if damage := f.Damage(); damage != nil {
		return damage
	}
	err := guarded(func() error { return transaction(do) })
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, ErrDamaged):
		f.broken.Store(&err)
	}
	return err
}

// Restore looks whether the file is still in its place, and when it was removed or replaced writes all of it there again:
// until then it goes on without a name, and would be gone with the process. Another file is set aside, unless another process
// uses it. Restore returns the new file, for which the caller is to close this one; nil without an error: there was nothing to do.
func (f *File) Restore() (again *File, err error) {
	path := f.db.Path()
	switch found, err := os.Stat(path); {
	case f.Damage() != nil, err == nil && os.SameFile(found, f.opened), err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil:
		if err := setAsideOther(path, f.format); err != nil {
			return nil, err
		}
	}
	err = guarded(func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := f.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(path+".new", 0o600) }); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
		again, err = openFile(path, f.format)
		return err
	})
	if errors.Is(err, ErrDamaged) { // the copy is, so this one is
		f.broken.Store(&err)
	}
	return again, err
}

// setAsideOther renames a file that is not the one that was opened under this name.
func setAsideOther(path string, format Format) error {
	other, err := open(path, format, func(*File) error { return nil })
	if errors.Is(err, errInUse) {
		return err
	}
	if err == nil {
		_ = other.Close() // nothing was written
	}
	return os.Rename(path, path+replacedSuffix)
}

// Damage is what a transaction found to be damaged; nil: nothing.
func (f *File) Damage() error {
	if damage := f.broken.Load(); damage != nil {
		return *damage
	}
	return nil
}

// Close closes the file. One that is damaged stays open until the process ends: bbolt may hold its locks.
func (f *File) Close() error {
	if f.Damage() != nil {
		return nil
	}
	return guarded(f.db.Close)
}

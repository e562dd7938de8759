//go:build unix && !solaris && !aix && !android

package boltfile

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
)

// openChecked opens a file for bbolt and checks it. It takes the lock that bbolt takes afterwards, which is then nothing to do:
// flock belongs to the open file. A file that another process writes would look damaged.
func openChecked(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	err = lock(f)
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil && info.Size() > 0 { // bbolt makes an empty file a new one
			// The check reads here and there, and most disks read a whole file in less time.
			_, _ = io.Copy(io.Discard, io.NewSectionReader(f, 0, info.Size()))
			err = check(f, info.Size())
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lock waits as long as bbolt would, and returns its errors.
func lock(f *os.File) error {
	const retry = 50 * time.Millisecond
	for start := time.Now(); ; time.Sleep(retry) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK {
			return err
		}
		if time.Since(start) > lockTimeout-retry {
			return bolterrors.ErrTimeout
		}
	}
}

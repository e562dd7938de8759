package boltfile

import (
	"fmt"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Forget gives back the memory of the mapped file that reading and writing have brought into the process, all of it in the
// end. Nothing is lost, as bbolt never writes to the mapping: what is read again comes from the system's cache.
func (f *File) Forget() error {
	return f.View(func(tx *bbolt.Tx) error { // during a transaction the mapping stays where it is
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
		if errno != 0 {
			return fmt.Errorf("giving back the memory of the mapped file: %w", errno)
		}
		return nil
	})
}

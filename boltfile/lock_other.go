//go:build !unix || solaris || aix || android

package boltfile

import "os"

// openChecked only opens the file: a lock that is taken here is one that bbolt waits for.
func openChecked(path string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag, mode)
}

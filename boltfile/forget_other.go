//go:build !linux

package boltfile

// Forget does nothing: only Linux has what it needs.
func (f *File) Forget() error { return nil }

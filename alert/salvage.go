package alert

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
)

// errDamaged is wrapped by errors that judge the store's content, and not the disk, the permissions or another process.
var errDamaged = errors.New("the file is damaged")

// readStore opens the store in dir and reads it. A damaged one is set aside and an empty one takes its place: somebody
// who is told of an outage twice is better off than somebody whose exporter does not start after a power failure.
func readStore(dir string, logger *slog.Logger) (*store, *loaded, error) {
	s, l, err := tryStore(dir)
	if !errors.Is(err, errDamaged) {
		return s, l, err
	}
	path := filepath.Join(dir, storeFile)
	aside := path + ".damaged" // one at most, whatever a dying disk does
	if renaming := os.Rename(path, aside); renaming != nil {
		return nil, nil, errors.Join(err, fmt.Errorf("setting the damaged alert store aside: %w", renaming))
	}
	logger.Error("the alert store was damaged and is set aside; whoever is down is told anew, and mail that waited in it is lost",
		"err", err, "aside", aside)
	return tryStore(dir)
}

func tryStore(dir string) (s *store, l *loaded, err error) {
	err = guarded(func() (err error) {
		if s, err = openStore(dir); err == nil {
			l, err = s.load()
		}
		return err
	})
	if err == nil {
		return s, l, nil
	}
	if s != nil {
		err = errors.Join(err, s.close())
	}
	return nil, nil, err
}

// guarded calls f, which works on a mapped file: bbolt panics over pages that make no sense, and reading what the disk
// does not give is a fault.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}

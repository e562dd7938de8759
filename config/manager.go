package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/probe/option"
)

// Manager holds the configuration in force and replaces it as a whole. Its methods may be called concurrently,
// OnReload excepted.
type Manager struct {
	path    string
	logger  *slog.Logger
	current atomic.Pointer[Config]
	last    atomic.Pointer[reloaded]
	before  func(*Config) error // of BeforeReload; may be nil
	after   func(*Config)       // of OnReload; may be nil

	mu       sync.Mutex // held during a reload
	made     stamp      // of the last attempt
	looked   look       // the last one of Watch
	optional bool       // the file may be missing; false once it was there
}

// reloaded is how the last attempt to load ended.
type reloaded struct {
	ok bool
	at time.Time // of the last success
}

// NewManager loads the file at path. The error is Load's.
func NewManager(path string, logger *slog.Logger) (*Manager, error) {
	return newManager(&Manager{path: path, logger: logger})
}

// NewOptionalManager is NewManager for a file that need not exist: until a load finds it, the built-in configuration
// is in force. Once it was there it must stay.
func NewOptionalManager(path string, logger *slog.Logger) (*Manager, error) {
	return newManager(&Manager{path: path, logger: logger, optional: true})
}

func newManager(m *Manager) (*Manager, error) {
	first, err := m.load()
	if err != nil {
		return nil, err
	}
	m.use(first)
	return m, nil
}

// BeforeReload sets the function that is called with every configuration that is about to replace another, on the
// reloading goroutine. When it returns an error the old one stays, and that is the reload's error. It is to be set before
// the first reload, and must not call Reload.
func (m *Manager) BeforeReload(f func(*Config) error) { m.before = f }

// OnReload sets the function that is called with every configuration that replaces another, on the reloading goroutine and
// one at a time. It is to be set before the first reload, and must not call Reload.
func (m *Manager) OnReload(f func(*Config)) { m.after = f }

// Current returns the configuration in force.
func (m *Manager) Current() *Config { return m.current.Load() }

// LastReload reports whether the last attempt to load succeeded, and when one last did.
func (m *Manager) LastReload() (ok bool, at time.Time) {
	last := m.last.Load()
	return last.ok, last.at
}

// Reload loads the file again. A file that is broken or gone changes nothing: the error lists its problems.
// Warnings are logged, the error is not.
func (m *Manager) Reload() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reload()
}

func (m *Manager) reload() error {
	next, err := m.load()
	if err == nil && m.before != nil {
		err = m.before(next)
	}
	if err != nil {
		m.last.Store(&reloaded{ok: false, at: m.last.Load().at})
		return err
	}
	m.use(next)
	if m.after != nil {
		m.after(next)
	}
	return nil
}

// use puts a configuration in force, and logs what of it is accepted and does not work.
func (m *Manager) use(c *Config) {
	m.current.Store(c)
	m.last.Store(&reloaded{ok: true, at: time.Now()})
	for _, warning := range c.Warnings() {
		m.logger.Warn("the configuration is accepted with a warning", "warning", warning)
	}
	for _, module := range c.Unusable() {
		for line := range strings.SplitSeq(module.Err.Error(), "\n") {
			m.logger.Error("a module cannot be used, the others can", "module", module.Name, "err", line)
		}
	}
}

func (m *Manager) load() (*Config, error) {
	data, err := read(m.path, m.current.Load() != nil)
	if err != nil {
		m.made = newStamp(nil, m.made.files)
		if m.optional && errors.Is(err, fs.ErrNotExist) {
			return Default(), nil
		}
		return nil, err
	}
	m.optional = false
	next, made, err := parse(m.path, data)
	m.made = made
	return next, err
}

// look is what Watch saw.
type look struct {
	stamp
	modified time.Time // of the file; zero: it was not there
}

// Watch reloads whenever the file, or one that its options name, has other content than at the last attempt, and
// logs the outcome. It looks once in an interval and returns when ctx is done. A change counts at the second look that
// sees the same: a file that is being written may be valid without its guard or its targets.
func (m *Manager) Watch(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.reloadIfChanged()
		}
	}
}

func (m *Manager) reloadIfChanged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var modified time.Time
	if info, err := os.Stat(m.path); err == nil {
		modified = info.ModTime()
	}
	data, _ := read(m.path, true) // a file that is gone differs from one that was there
	before, now := m.looked, look{newStamp(data, m.made.files), modified}
	m.looked = now
	if m.made.sum == now.sum || before.sum != now.sum || !before.modified.Equal(modified) {
		return
	}
	if err := m.reload(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") { // one log line for each problem
			m.logger.Error("the changed configuration is not used", "err", line)
		}
		return
	}
	m.logger.Info("the changed configuration is in force", "file", m.path)
}

// stamp shows whether the files of a configuration changed.
type stamp struct {
	files []string // that its options name
	sum   [sha256.Size]byte
}

// newStamp sums up the configuration file's data and the content of the files.
func newStamp(data []byte, files []string) stamp {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s", len(data), data)
	for _, name := range files {
		fmt.Fprintf(h, "\n%q", name)
		content, _ := option.ReadFile(name) // unreadable counts as empty
		h.Write(content)
	}
	return stamp{files: files, sum: [sha256.Size]byte(h.Sum(nil))}
}

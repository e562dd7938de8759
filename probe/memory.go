package probe

import (
	"context"
	"sync/atomic"
)

// Memory bounds what peers and clients together make us hold: bodies and headers of answers, certificates, decompressors,
// replies that are not read. Each is bounded for itself; a thousand at the same time would still be more than a machine has.
// It is taken before it is allocated. A nil Memory is no bound.
type Memory struct {
	limit, most int64
	held, grown atomic.Int64
}

// NewMemory returns a bound of limit bytes. What probes need beyond what each begins with is at most most of them, so that a
// few large answers leave room for many small ones.
func NewMemory(limit, most int64) *Memory { return &Memory{limit: limit, most: most} }

// Take asks for n bytes more. When there are not as many, the error is an *ExporterError: nothing is wrong with the target.
func (m *Memory) Take(n int64) error {
	if m == nil {
		return nil
	}
	return add(n, &m.held, m.limit, "probes and clients already hold %d, and the limit for all is %d")
}

// Give returns n bytes.
func (m *Memory) Give(n int64) {
	if m != nil {
		m.held.Add(-n)
	}
}

// grow asks for n bytes for a probe beyond those that it began with.
func (m *Memory) grow(n int64) error {
	if err := add(n, &m.grown, m.most, "large answers already hold %d, and the limit for them is %d"); err != nil {
		return err
	}
	err := m.Take(n)
	if err != nil {
		m.grown.Add(-n)
	}
	return err
}

func add(n int64, to *atomic.Int64, limit int64, why string) error {
	if to.Add(n) <= limit {
		return nil
	}
	return Faultf(FaultMemory, "holding %d bytes more: "+why, n, to.Add(-n), limit)
}

// LimitOf returns the limit of the probe that ctx belongs to, nil without one.
func LimitOf(ctx context.Context) *Limit {
	limit, _ := ctx.Value(limitKey{}).(*Limit)
	return limit
}

type limitKey struct{}

// HoldFrom takes what the probe begins with from m until Release, and makes Hold take from it. It is called before the limit
// is used. Its error is Take's.
func (l *Limit) HoldFrom(m *Memory, begin int64) error {
	if err := m.Take(begin); err != nil {
		return err
	}
	l.memory, l.begun = m, begin
	return nil
}

// Hold takes n bytes more until Release. Its error is like Take's. A nil limit has no bound.
func (l *Limit) Hold(n int64) error {
	if l == nil || l.memory == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return context.Canceled // what is taken now would never be given back
	}
	if err := l.memory.grow(n); err != nil {
		return err
	}
	l.grown += n
	return nil
}

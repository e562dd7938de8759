package probe

import (
	"context"
	"sync/atomic"
)

// Memory bounds what peers and clients together make us hold: bodies and headers of answers, certificates, decompressors,
// replies that are not read. Each is bounded for itself; a thousand at the same time would still be more than a machine has.
// It is taken before it is allocated. A nil Memory is no bound.
type Memory struct {
	limit int64
	held  atomic.Int64
}

// NewMemory returns a bound of limit bytes.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit} }

// Take asks for n bytes more. When there are not as many, the error is an *ExporterError: nothing is wrong with the target.
func (m *Memory) Take(n int64) error {
	if m == nil || m.held.Add(n) <= m.limit {
		return nil
	}
	m.held.Add(-n)
	return Faultf(FaultMemory, "holding %d bytes more: probes and clients already hold %d, and the limit for all is %d", n, m.held.Load(), m.limit)
}

// Give returns n bytes.
func (m *Memory) Give(n int64) {
	if m != nil {
		m.held.Add(-n)
	}
}

// LimitOf returns the limit of the probe that ctx belongs to, nil without one.
func LimitOf(ctx context.Context) *Limit {
	limit, _ := ctx.Value(limitKey{}).(*Limit)
	return limit
}

type limitKey struct{}

// HoldFrom makes Hold take from m. It is called before the limit is used.
func (l *Limit) HoldFrom(m *Memory) { l.memory = m }

// Hold takes n bytes until Release. Its error is Take's. A nil limit has no bound.
func (l *Limit) Hold(n int64) error {
	if l == nil || l.memory == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return context.Canceled // what is taken now would never be given back
	}
	if err := l.memory.Take(n); err != nil {
		return err
	}
	l.held += n
	return nil
}

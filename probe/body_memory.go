package probe

import (
	"fmt"
	"sync/atomic"
)

// BodyMemory bounds what all probes together keep of bodies for checks to look at. One body is bounded by its module's
// body_size_limit; a thousand of them at the same time would still be more than a machine has. A nil one is no bound.
type BodyMemory struct {
	limit int64
	held  atomic.Int64
}

// NewBodyMemory returns a bound of limit bytes.
func NewBodyMemory(limit int64) *BodyMemory { return &BodyMemory{limit: limit} }

// Take asks for n bytes more. When they are not to be had, the error is an *ExporterError: nothing is wrong with the
// target.
func (m *BodyMemory) Take(n int64) error {
	if m == nil || m.held.Add(n) <= m.limit {
		return nil
	}
	m.held.Add(-n)
	return &ExporterError{Fault: FaultMemory, Err: fmt.Errorf("keeping the body: the probes in flight already keep %d bytes of bodies, and the limit for all is %d", m.held.Load(), m.limit)}
}

// Give returns n bytes that Take gave.
func (m *BodyMemory) Give(n int64) {
	if m != nil {
		m.held.Add(-n)
	}
}

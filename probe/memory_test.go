package probe

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestHoldIsGivenBackAtTheEndOfTheProbe(t *testing.T) {
	m := NewMemory(100)
	limit := NewLimit(t.Context(), time.Minute)
	limit.HoldFrom(m)
	ctx, cancel := context.WithCancel(limit)
	defer cancel()
	if err := LimitOf(ctx).Hold(60); err != nil {
		t.Fatal(err)
	}
	var e *ExporterError
	if err := LimitOf(ctx).Hold(60); !errors.As(err, &e) || e.Fault != FaultMemory {
		t.Errorf("more than there is: %v", err)
	}
	if err := m.Take(60); err == nil {
		t.Error("others got what a probe holds")
	}
	limit.Release()
	if err := limit.Hold(1); err == nil {
		t.Error("a probe that is over holds memory, which is never given back")
	}
	if err := m.Take(100); err != nil {
		t.Errorf("after the probe: %v", err)
	}
}

func TestWithoutALimitThereIsNoBound(t *testing.T) {
	if err := LimitOf(t.Context()).Hold(1 << 40); err != nil {
		t.Error(err)
	}
	if err := NewLimit(t.Context(), time.Minute).Hold(1 << 40); err != nil {
		t.Error(err)
	}
}

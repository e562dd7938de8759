package probe

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestHoldIsGivenBackAtTheEndOfTheProbe(t *testing.T) {
	m := NewMemory(100, 100)
	limit := NewLimit(t.Context(), time.Minute)
	_ = limit.HoldFrom(m, 0)
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

func TestLargeAnswersLeaveRoomForSmallOnes(t *testing.T) {
	m := NewMemory(100, 40)
	large := NewLimit(t.Context(), time.Minute)
	if err := large.HoldFrom(m, 10); err != nil {
		t.Fatal(err)
	}
	if err := large.Hold(40); err != nil {
		t.Error(err)
	}
	if err := large.Hold(1); err == nil {
		t.Error("large answers hold more than their share")
	}
	for n := range 5 {
		if err := NewLimit(t.Context(), time.Minute).HoldFrom(m, 10); err != nil {
			t.Errorf("probe %d cannot begin: %v", n, err)
		}
	}
	second := NewLimit(t.Context(), time.Minute)
	if err := second.HoldFrom(m, 1); err == nil {
		t.Error("more is held than there is")
	}
	second.Release()
	large.Release()
	if err := second.HoldFrom(m, 50); err != nil {
		t.Errorf("after the large one: %v", err)
	}
	if m.grown.Load() != 0 || m.held.Load() != 100 {
		t.Errorf("%d are held, %d of them beyond the beginning", m.held.Load(), m.grown.Load())
	}
}

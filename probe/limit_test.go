package probe

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimitEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimit(t.Context(), time.Second)
		defer l.Release()
		if err := l.Err(); err != nil {
			t.Fatalf("Err at the start = %v", err)
		}
		begin := time.Now()
		<-l.Done()
		if spent := time.Since(begin); spent != time.Second {
			t.Errorf("Done after %v, want 1s", spent)
		}
		if err := l.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Err = %v, want DeadlineExceeded", err)
		}
	})
}

func TestLimitTellsTheTimeWithoutATimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimit(t.Context(), time.Second)
		defer l.Release()
		time.Sleep(time.Second)
		if err := l.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Err = %v, want DeadlineExceeded", err)
		}
		if l.timed != nil {
			t.Error("a timer was made though Done was not called")
		}
	})
}

func TestLimitEndsWithTheCaller(t *testing.T) {
	for _, asked := range []bool{false, true} {
		parent, cancel := context.WithCancel(t.Context())
		l := NewLimit(parent, time.Hour)
		if asked {
			l.Done()
		}
		cancel()
		<-l.Done()
		if err := l.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("asked before for Done %v: Err = %v, want Canceled", asked, err)
		}
		l.Release()
	}
}

func TestLimitKeepsTheCallersSoonerDeadline(t *testing.T) {
	parent, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l := NewLimit(parent, time.Hour)
	defer l.Release()
	want, _ := parent.Deadline()
	if got, ok := l.Deadline(); !ok || !got.Equal(want) {
		t.Errorf("Deadline = %v, want the caller's %v", got, want)
	}
}

func TestReleasedLimitIsDone(t *testing.T) {
	for _, asked := range []bool{false, true} {
		l := NewLimit(t.Context(), time.Hour)
		if asked {
			l.Done()
		}
		l.Release()
		if err := l.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("asked before for Done %v: Err = %v, want Canceled", asked, err)
		}
		<-l.Done()
	}
}

// TestContextsBelowALimit holds that package context finds the limit's own cancellation, which would take a
// goroutine otherwise.
func TestContextsBelowALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		l := NewLimit(context.WithValue(t.Context(), key{}, "kept"), time.Second)
		defer l.Release()
		below, cancel := context.WithCancel(l)
		defer cancel()
		if got := below.Value(key{}); got != "kept" {
			t.Errorf("the caller's value = %v", got)
		}
		<-below.Done()
		if err := below.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Err below = %v, want DeadlineExceeded", err)
		}
	})
}

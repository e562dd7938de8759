package outbox

import (
	"fmt"
	"testing"
	"time"

	"rollcall/alert/incident"
)

func TestPacing(t *testing.T) {
	p := Pacing{Wait: 10 * time.Second, Interval: time.Minute, PerHour: 3}
	q := queue()
	now := epoch
	for n, after := range []time.Duration{10 * time.Second, 70 * time.Second, 130 * time.Second, time.Hour + 10*time.Second} {
		down, _ := story(fmt.Sprintf("host:%d", n), n)
		q.Add(incident.Down, down, now)
		at, ok := q.Due(p, now)
		if !ok || !at.Equal(epoch.Add(after)) {
			t.Fatalf("message %d is due %v after the first, want %v", n, at.Sub(epoch), after)
		}
		now = at
		begin(q)
		end(q, Delivered, now)
	}
}

func TestClockSetBackHoldsNoMessageBack(t *testing.T) {
	q := queue()
	q.Sent = []time.Time{epoch.Add(24 * time.Hour)}
	down, _ := story("host:1", 0)
	q.Add(incident.Down, down, epoch)
	if at, ok := q.Due(Pacing{Interval: time.Minute, PerHour: 1}, epoch); !ok || at.After(epoch) {
		t.Errorf("due at %v, want at once", at)
	}
}

// TestReloadSendsWhatWasRefusedAtOnce: only mail that was accepted makes the next one wait for the interval.
func TestReloadSendsWhatWasRefusedAtOnce(t *testing.T) {
	q, pacing := queue(), Pacing{Interval: time.Hour, PerHour: 60}
	down, _ := story("host:1", 0)
	q.Add(incident.Down, down, epoch)
	begin(q)
	end(q, Refused, epoch)
	q.Retry()
	if at, ok := q.Due(pacing, epoch); !ok || at.After(epoch) {
		t.Errorf("the next attempt is %v later", at.Sub(epoch))
	}
	begin(q)
	end(q, Delivered, epoch)
	other, _ := story("host:2", 0)
	q.Add(incident.Down, other, epoch)
	if at, _ := q.Due(pacing, epoch); !at.Equal(epoch.Add(time.Hour)) {
		t.Errorf("after one that was accepted it is %v later", at.Sub(epoch))
	}
}

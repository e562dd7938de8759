package alert

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// story is one incident of a target: its beginning and its end.
func story(target string, n int) (down, up *incident) {
	since := epoch.Add(time.Duration(n) * time.Hour)
	down = &incident{ID: incidentID("down", "m", target, since), Module: "m", Target: target, Prober: "tcp", Since: since, Reason: "connection_refused", Stage: "connect"}
	ended := *down
	ended.Until = since.Add(7 * time.Minute)
	return down, &ended
}

// sealFake makes the waiting items a parcel and returns how each would be told.
func sealFake(t *testing.T, d *destination, id string) []status {
	t.Helper()
	var says []status
	err := d.seal(func(items []*item, _ excess) (*parcel, error) {
		for _, it := range items {
			says = append(says, statusOf(it, d.told))
		}
		return &parcel{MessageID: id, Data: []byte("mail")}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return says
}

func TestServerAwayFromDownToUpMakesOneMail(t *testing.T) {
	d := newDestination(channelMail, "ops@example.com")
	down, up := story("host:1", 0)
	d.add(wentDown, down, false, epoch)
	sealFake(t, d, "1")
	d.add(cameUp, up, false, epoch) // while the attempt runs
	d.settle(postponed, time.Minute, epoch)
	if got := sealFake(t, d, "2"); len(got) != 1 || got[0] != wasDown {
		t.Errorf("the next mail tells %v, want one incident from its beginning to its end", got)
	}
}

func TestMailInDoubtStaysAsItWas(t *testing.T) {
	d := newDestination(channelMail, "ops@example.com")
	down, up := story("host:1", 0)
	d.add(wentDown, down, false, epoch)
	sealFake(t, d, "1")
	d.add(cameUp, up, false, epoch)
	for _, v := range []verdict{inDoubt, postponed} { // also when a later attempt certainly failed
		d.settle(v, time.Minute, epoch)
		if d.parcel == nil || d.parcel.MessageID != "1" {
			t.Fatalf("after verdict %v the parcel is %+v, want the same one", v, d.parcel)
		}
	}
	d.settle(delivered, 0, epoch)
	if got := sealFake(t, d, "2"); len(got) != 1 || got[0] != isUp {
		t.Errorf("then follows %v, want the end alone", got)
	}
}

func TestUpNeverFollowsADownThatWasNotSent(t *testing.T) {
	d := newDestination(channelMail, "ops@example.com")
	down, up := story("host:1", 0)
	d.add(wentDown, down, false, epoch)
	sealFake(t, d, "1")
	d.settle(refused, 0, epoch)
	d.add(cameUp, up, false, epoch)
	if got := sealFake(t, d, "2"); len(got) != 1 || got[0] != wasDown {
		t.Errorf("after a refused DOWN the end is told as %v, want the whole incident", got)
	}
}

func TestFlappingTargetIsSummedUp(t *testing.T) {
	d := newDestination(channelMail, "ops@example.com")
	const flaps = 1000
	for n := range flaps {
		down, up := story("host:1", n)
		d.add(wentDown, down, false, epoch)
		d.add(cameUp, up, false, epoch)
	}
	told := 0
	for _, it := range d.items {
		told += 1 + it.Incident.Summed
	}
	if len(d.items) != maxPerTarget || told != flaps {
		t.Errorf("%d items tell %d incidents, want %d that tell %d", len(d.items), told, maxPerTarget, flaps)
	}
	if first := d.items[0].Incident; !first.SummedAll.Equal(epoch) {
		t.Errorf("the sum begins %v, want with the first incident", first.SummedAll)
	}
}

func TestPacing(t *testing.T) {
	p := pacing{wait: 10 * time.Second, interval: time.Minute, perHour: 3}
	d := newDestination(channelMail, "ops@example.com")
	now := epoch
	want := []time.Duration{10 * time.Second, 70 * time.Second, 130 * time.Second, time.Hour + 10*time.Second}
	for n, after := range want {
		down, _ := story(fmt.Sprintf("host:%d", n), n)
		d.add(wentDown, down, false, now)
		at, ok := d.due(p, now)
		if !ok || !at.Equal(epoch.Add(after)) {
			t.Fatalf("mail %d is due %v after the first, want %v", n, at.Sub(epoch), after)
		}
		now = at
		sealFake(t, d, fmt.Sprint(n))
		d.settle(delivered, 0, now)
	}
}

func TestClockSetBackHoldsNoMailBack(t *testing.T) {
	d := newDestination(channelMail, "ops@example.com")
	d.sent = []time.Time{epoch.Add(24 * time.Hour)}
	down, _ := story("host:1", 0)
	d.add(wentDown, down, false, epoch)
	if at, ok := d.due(pacing{interval: time.Minute, perHour: 1}, epoch); !ok || at.After(epoch) {
		t.Errorf("due at %v, want at once", at)
	}
}

// TestRandomDeliveriesTellEachEventOnce drives an outbox with random events and verdicts. Whatever happens, what the
// recipient accepted tells every beginning and every end once, in order, apart from mails in doubt.
func TestRandomDeliveriesTellEachEventOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		d := newDestination(channelMail, "ops@example.com")
		type target struct {
			down *incident
			n    int
		}
		targets := make([]target, 4)
		begun, ended, count := make(map[string]int), make(map[string]int), 0
		tell := func() {
			for _, it := range d.items {
				if !it.sealed {
					continue
				}
				switch s := statusOf(it, d.told); {
				case s == isDown:
					begun[it.Incident.ID]++
				case s == isUp:
					if ended[it.Incident.ID]++; begun[it.Incident.ID] != 1 {
						t.Fatal("an end was told before its beginning")
					}
				case s == wasDown:
					begun[it.Incident.ID]++
					ended[it.Incident.ID]++
				}
			}
		}
		step := func(deliver bool) {
			if d.parcel == nil && len(d.items) > 0 {
				sealFake(t, d, "x")
			}
			if d.parcel == nil {
				return
			}
			v := []verdict{postponed, delivered, inDoubt}[random.IntN(3)]
			if deliver {
				v = delivered
			}
			if v == delivered {
				tell()
			}
			d.settle(v, 0, epoch)
		}
		for range 60 {
			x := &targets[random.IntN(len(targets))]
			switch {
			case random.IntN(3) == 0:
				step(false)
			case x.down == nil && x.n < 3: // few enough that nothing is summed up
				x.n++
				count++
				x.down, _ = story(fmt.Sprintf("host:%p", x), x.n)
				d.add(wentDown, x.down, false, epoch)
			case x.down != nil:
				up := *x.down
				up.Until = up.Since.Add(time.Minute)
				d.add(cameUp, &up, false, epoch)
				x.down = nil
			}
		}
		for len(d.items) > 0 {
			step(true)
		}
		open := 0
		for _, x := range targets {
			if x.down != nil {
				open++
			}
		}
		if len(begun) != count || len(ended) != count-open || len(d.told) != open {
			t.Fatalf("%d incidents, %d open: %d beginnings and %d ends were told, %d threads are kept", count, open, len(begun), len(ended), len(d.told))
		}
		for id, n := range begun {
			if n != 1 || ended[id] > 1 {
				t.Fatalf("incident %s: its beginning was told %d times, its end %d times", id, n, ended[id])
			}
		}
	}
}

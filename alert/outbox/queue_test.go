package outbox

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"rollcall/alert/incident"
	"rollcall/probe"
)

// epoch is when the tests begin; what they compare does not depend on it.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// story is one incident of a target: its beginning and its end.
func story(target string, n int) (down, up *incident.Incident) {
	since := epoch.Add(time.Duration(n) * time.Hour)
	down = &incident.Incident{
		ID: probe.Key{Module: "m", Target: target}.IncidentID(since), Subject: incident.Subject{Key: probe.Key{Module: "m", Target: target}, Prober: "tcp", Scheduled: true},
		Since: since, Reason: "connection_refused", Stage: "connect",
	}
	ended := *down
	ended.Until, ended.Lasted = since.Add(7*time.Minute), 7*time.Minute
	return down, &ended
}

func queue() *Queue { return NewQueue("email", "ops@example.com") }

// begin makes a message of what is owed, has its delivery begin, and returns it.
func begin(q *Queue) *Message {
	if q.Message == nil {
		m := &Message{ID: "id", Parts: [][]byte{[]byte("mail")}, Overflow: q.Overflow}
		var read Cursor
		for part := q.Read(&read); len(part) > 0; part = q.Read(&read) {
			for _, news := range part {
				m.Says = news.Say(m.Says)
			}
		}
		q.Begin(m)
	} else {
		q.Begin(q.Message)
	}
	return q.Message
}

// end settles the delivery as the hook does.
func end(q *Queue, v Verdict, now time.Time) {
	if v == Delivered || v == Rejected {
		for n, more := 0, true; more; {
			n, more = q.Accept(n)
		}
	}
	q.Settle(v, now)
}

func TestServerAwayFromDownToUpIsOneMessage(t *testing.T) {
	q := queue()
	down, up := story("host:1", 0)
	q.Add(incident.Down, down, epoch)
	begin(q)
	q.Add(incident.Up, up, epoch) // while the attempt runs
	end(q, Postponed, epoch)
	if m := begin(q); len(m.Says) != 1 || !m.Says[0].Down || !m.Says[0].Up {
		t.Errorf("the next message says %+v, want one incident from its beginning to its end", m.Says)
	}
}

func TestMessageInDoubtStaysAsItWas(t *testing.T) {
	q := queue()
	down, up := story("host:1", 0)
	q.Add(incident.Down, down, epoch)
	first := begin(q)
	q.Add(incident.Up, up, epoch)
	for _, v := range []Verdict{InDoubt, Postponed} { // also when a later attempt certainly failed
		end(q, v, epoch)
		if begin(q) != first {
			t.Fatalf("after %s the message is %+v, want the same one", v.Name(), q.Message)
		}
	}
	end(q, Delivered, epoch)
	if m := begin(q); len(m.Says) != 1 || m.Says[0].Down || !m.Says[0].Up {
		t.Errorf("then follows %+v, want the end alone", m.Says)
	}
}

func TestUnreportedIncidentThatEndsIsOneMessage(t *testing.T) {
	q := queue()
	down, up := story("host:1", 0)
	q.Add(incident.Down, down, epoch)
	begin(q)
	end(q, Refused, epoch)
	q.Add(incident.Up, up, epoch)
	if m := begin(q); len(m.Says) != 1 || !m.Says[0].Down || !m.Says[0].Up {
		t.Errorf("after a refused DOWN the message says %+v, want the whole incident", m.Says)
	}
}

// TestRefusedMessageStaysOwed, and is tried ever more rarely, to once a day.
func TestRefusedMessageStaysOwed(t *testing.T) {
	q := queue()
	down, _ := story("host:1", 0)
	q.Add(incident.Down, down, epoch)
	now, last := epoch, time.Duration(0)
	for n := range 20 {
		begin(q)
		end(q, Refused, now)
		at, ok := q.Due(Pacing{}, now)
		if !ok || at.Sub(now) < last/4 || at.Sub(now) > 24*time.Hour {
			t.Fatalf("after %d refusals the next attempt is due in %v (%t)", n+1, at.Sub(now), ok)
		}
		last = at.Sub(now)
		now = at
	}
	if last < 12*time.Hour {
		t.Errorf("in the end it is tried again after %v", last)
	}
	if q.Retry(); q.notBefore.After(epoch) {
		t.Error("after a reload it is not tried at once")
	}
	begin(q)
	end(q, Delivered, now)
	if q.Pending() != 0 || q.Refused() {
		t.Error("it is still owed once it was delivered")
	}
}

func TestNewsShortenTheWaitOfARecipientThatRefused(t *testing.T) {
	for name, news := range map[string]func(q *Queue){
		"another incident": func(q *Queue) {
			other, _ := story("host:2", 1)
			q.Add(incident.Down, other, epoch)
		},
		"another recipient's mail was accepted": (*Queue).Hasten,
	} {
		q := queue()
		down, _ := story("host:1", 0)
		q.Add(incident.Down, down, epoch)
		for range 15 {
			begin(q)
			end(q, Refused, epoch)
		}
		news(q)
		if at, _ := q.Due(Pacing{}, epoch); at.After(epoch.Add(longestPause)) {
			t.Errorf("%s: the next attempt is in %v", name, at.Sub(epoch))
		}
	}
}

func TestWhatIsOverForADayIsNotOwedToARecipientThatRefuses(t *testing.T) {
	q := queue()
	_, over := story("host:1", 0)
	open, _ := story("host:2", 0)
	q.Add(incident.Up, over, epoch)
	q.Add(incident.Down, open, epoch)
	for n, want := range []int{2, 1} {
		begin(q)
		end(q, Refused, epoch.Add(time.Duration(n)*48*time.Hour))
		if q.Pending() != want {
			t.Errorf("after %d days %d are owed, want %d", 2*n, q.Pending(), want)
		}
	}
}

func TestRecipientThatDoesNotExistIsGivenUp(t *testing.T) {
	q := queue()
	down, _ := story("host:1", 0)
	q.Add(incident.Down, down, epoch)
	begin(q)
	end(q, NoRecipient, epoch)
	if q.Pending() != 0 || q.refusal != NoRecipient || !q.Knows(down.Key, down.ID) {
		t.Errorf("%d are owed, the refusal is %s", q.Pending(), q.refusal.Name())
	}
	other, _ := story("host:2", 0)
	q.Add(incident.Down, other, epoch)
	if at, ok := q.Due(Pacing{}, epoch); !ok || at.Before(epoch.Add(12*time.Hour)) {
		t.Errorf("it is asked for again after %v", at.Sub(epoch))
	}
	if q.Retry(); q.Knows(down.Key, down.ID) {
		t.Error("after a reload it is not owed what it missed")
	}
}

func TestMessageThatIsTooLargeIsSentInParts(t *testing.T) {
	q := queue()
	const targets = 600
	for n := range targets {
		down, _ := story(fmt.Sprintf("host:%d", n), n)
		q.Add(incident.Down, down, epoch)
	}
	messages := 0
	for q.Pending() > 0 {
		if at, ok := q.Due(Pacing{}, epoch); !ok || at.After(epoch) {
			t.Fatal("a smaller message waits")
		}
		if m := begin(q); len(m.Says) > 100 {
			end(q, TooLarge, epoch)
			continue
		}
		messages++
		end(q, Delivered, epoch)
	}
	if messages < targets/100 || messages > 20 {
		t.Errorf("there were %d messages", messages)
	}
	down, _ := story("one:1", 0)
	q.Add(incident.Down, down, epoch)
	begin(q)
	end(q, TooLarge, epoch)
	if q.Pending() != 1 || !q.Refused() {
		t.Error("one that cannot be made smaller is not owed like one that was refused")
	}
}

func TestFlappingTargetIsBounded(t *testing.T) {
	q := queue()
	const flaps = 1000
	counted := 0
	for n := range flaps {
		down, up := story("host:1", n)
		for _, c := range []bool{q.Add(incident.Down, down, epoch), q.Add(incident.Up, up, epoch)} {
			if c {
				counted++
			}
		}
	}
	n := q.targets[probe.Key{Module: "m", Target: "host:1"}]
	if len(n.Outages) > maxOutages || len(n.Outages)+counted != flaps || q.Overflow != counted {
		t.Errorf("%d outages, %d counted, %d more", len(n.Outages), counted, q.Overflow)
	}
	begin(q)
	down, up := story("host:1", flaps)
	q.Add(incident.Down, down, epoch)
	q.Add(incident.Up, up, epoch)
	end(q, Delivered, epoch)
	if n = q.targets[n.Key]; len(n.Outages) != 1 || q.Pending() != 1 {
		t.Errorf("after the delivery there are %+v", n)
	}
}

// TestStrangersCannotCrowdOutConfiguredTargets: invented targets get no room beyond their bound, configured ones do. What
// ended without room is counted, and what is down gets in as soon as there is room.
func TestStrangersCannotCrowdOutConfiguredTargets(t *testing.T) {
	q := queue()
	add := func(name string, scheduled, over bool) *incident.Incident {
		down, up := story(name, 0)
		down.Scheduled, up.Scheduled = scheduled, scheduled
		q.Add(incident.Down, down, epoch)
		if over {
			q.Add(incident.Up, up, epoch)
		}
		return down
	}
	for n := range maxRequestedTargets {
		add(fmt.Sprintf("invented:%d", n), false, false)
	}
	add("over:1", false, true)
	open := add("open:1", false, false)
	add("configured:1", true, false)
	if len(q.targets) != maxRequestedTargets+1 || q.Overflow != 1 || q.Knows(open.Key, open.ID) {
		t.Errorf("%d targets, %d only counted", len(q.targets), q.Overflow)
	}
	begin(q)
	end(q, Delivered, epoch)
	if q.Overflow != 0 || q.Pending() != 0 {
		t.Errorf("after delivery, %d are counted and %d pending", q.Overflow, q.Pending())
	}
}

func TestCountedOutagesAreReportedOnce(t *testing.T) {
	for _, c := range []struct {
		verdicts []Verdict
		want     int // in the next message
	}{
		{[]Verdict{Delivered}, 1},
		{[]Verdict{Refused}, 3},
		{[]Verdict{Postponed}, 3},
		{[]Verdict{InDoubt, Postponed, Delivered}, 1},
	} {
		q := queue()
		q.Overflow = 2
		begin(q)
		q.Overflow++ // one more came meanwhile
		for n, v := range c.verdicts {
			if n > 0 {
				begin(q)
			}
			end(q, v, epoch)
		}
		if q.Overflow != c.want {
			t.Errorf("after %v: %d, want %d", c.verdicts, q.Overflow, c.want)
		}
	}
}

// TestRandomDeliveriesTellEachEventOnce drives a queue with random events and verdicts. Whatever happens, what the
// recipient accepted tells every beginning and every end once, in order.
func TestRandomDeliveriesTellEachEventOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		q := queue()
		type target struct {
			down *incident.Incident
			n    int
		}
		targets := make([]target, 4)
		begun, ended, count := make(map[string]int), make(map[string]int), 0
		step := func(deliver bool) {
			if q.Message == nil && q.Pending() == 0 {
				return
			}
			m := begin(q)
			v := []Verdict{Postponed, Delivered, InDoubt, Refused}[random.IntN(4)]
			if deliver {
				v = Delivered
			}
			if v == Delivered {
				for _, s := range m.Says {
					if s.Down {
						begun[s.ID]++
					}
					if s.Up {
						if ended[s.ID]++; begun[s.ID] != 1 {
							t.Fatal("an end was reported before its beginning")
						}
					}
				}
			}
			end(q, v, epoch)
		}
		for range 60 {
			x := &targets[random.IntN(len(targets))]
			switch {
			case random.IntN(3) == 0:
				step(false)
			case x.down == nil && x.n < maxOutages: // few enough that none is only counted
				x.n++
				count++
				x.down, _ = story(fmt.Sprintf("host:%p", x), x.n)
				q.Add(incident.Down, x.down, epoch)
			case x.down != nil:
				up := *x.down
				up.Until = up.Since.Add(time.Minute)
				q.Add(incident.Up, &up, epoch)
				x.down = nil
			}
		}
		for q.Pending() > 0 || q.Message != nil {
			step(true)
		}
		open := 0
		for _, x := range targets {
			if x.down != nil {
				open++
			}
		}
		if len(begun) != count || len(ended) != count-open || len(q.targets) != open {
			t.Fatalf("%d incidents, %d open: %d beginnings and %d ends were reported, %d threads are kept", count, open, len(begun), len(ended), len(q.targets))
		}
		for id, n := range begun {
			if n != 1 || ended[id] > 1 {
				t.Fatalf("incident %s: its beginning was reported %d times, its end %d times", id, n, ended[id])
			}
		}
	}
}

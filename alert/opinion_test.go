package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/witness"
	"rollcall/probe"
)

// panel is witnesses whose answer is in the test.
type panel struct {
	answer witness.Answer
	takes  time.Duration
	asked  atomic.Int32
	most   atomic.Int32 // at once
	now    atomic.Int32
}

func (p *panel) Ask(ctx context.Context, _ witness.Question) witness.Answer {
	p.asked.Add(1)
	p.most.Store(max(p.most.Load(), p.now.Add(1)))
	defer p.now.Add(-1)
	select {
	case <-time.After(p.takes):
		return p.answer
	case <-ctx.Done():
		return witness.Answer{Err: ctx.Err()}
	}
}

// opinions is a change of settings: db:5432 is a target, the panel is asked, and these are the references.
func opinions(p *panel, references ...string) func(*Config) {
	return func(c *Config) {
		atOnce(c)
		watching(append(references, "db:5432")...)(c)
		if c.hold = 10 * time.Minute; p != nil {
			c.ask = p.Ask
		}
		c.references = make(map[probe.Key]*probe.Target)
		for _, target := range references {
			c.references[probe.Key{Module: "tcp_connect", Target: target}.Redacted()] = &probe.Target{Module: "tcp_connect", Target: target, Interval: time.Minute}
		}
	}
}

func TestSecondOpinion(t *testing.T) {
	silent := errors.New("paris: no answer")
	for name, c := range map[string]struct {
		answer witness.Answer
		hold   time.Duration // in place of ten minutes
		within time.Duration // in which it is reported
		not    time.Duration // and before which it is not
		scope  incident.Scope
		want   string
		says   string
	}{
		"all say down":            {witness.Answer{Down: []string{"paris", "oslo"}}, 0, 3 * time.Second, 0, "everywhere", "TCP db:5432 is down", "down from here and from paris, oslo."},
		"one of two says down":    {witness.Answer{Down: []string{"oslo"}, Err: silent}, 0, 3 * time.Second, 0, "everywhere", "TCP db:5432 is down", "down from here and from oslo."},
		"all say up":              {witness.Answer{Up: []string{"paris"}}, 0, 11 * time.Minute, 9 * time.Minute, "here", "TCP db:5432 is down from here only", "down from here only; up from paris."},
		"one says up":             {witness.Answer{Up: []string{"paris"}, Down: []string{"oslo"}}, 0, 11 * time.Minute, 9 * time.Minute, "here", "TCP db:5432 is down from some places", "down from here and from oslo; up from paris."},
		"up, and nothing is held": {witness.Answer{Up: []string{"paris"}}, -1, 3 * time.Second, 0, "here", "TCP db:5432 is down from here only", "down from here only; up from paris."},
		"none answers":            {witness.Answer{Err: silent}, 0, 3 * time.Second, 0, "unknown", "TCP db:5432 is down", "down from here; no witness answers."},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, dir string, p *postman) {
				witnesses, a := &panel{answer: c.answer, takes: time.Second}, newAlertmanagers()
				s := settings(p, opinions(witnesses))
				s.channels = append(s.channels, posting(a))
				if c.hold < 0 {
					s.hold = 0
				}
				h := openHook(t, dir, s)
				scheduled(h, "db:5432", false)
				time.Sleep(c.not)
				p.want()
				if _, posted := a.latest(am1, "db:5432"); posted {
					t.Error("the alert was posted too soon")
				}
				time.Sleep(c.within - c.not)
				p.want(c.want)
				if body := strings.ReplaceAll(p.got[0].body, "\n", " "); !strings.Contains(body, "The server is "+c.says) {
					t.Errorf("the mail says\n%s", p.got[0].body)
				}
				if posted, ok := a.latest(am1, "db:5432"); !ok || posted.Labels["scope"] != string(c.scope) {
					t.Errorf("Alertmanager has %+v", posted)
				}
				if s := h.Stats(); s.Scopes[c.scope] != 1 || s.Incidents != 1 {
					t.Errorf("the numbers are %+v", s)
				}
				if got := h.Opinion(probe.Key{Module: "tcp_connect", Target: "db:5432"}); got+"." != c.says {
					t.Errorf("the opinion is %q", got)
				}
				scheduled(h, "db:5432", false)
				scheduled(h, "db:5432", true)
				time.Sleep(time.Minute)
				p.want(c.want, "TCP db:5432 is up again")
				if n := witnesses.asked.Load(); n != 1 {
					t.Errorf("the witnesses were asked %d times", n)
				}
				closeHook(t, h)
			})
		})
	}
}

// TestWhatIsUpAgainBeforeItsHoldEndsIsNotReported, and what a restart interrupts is.
func TestHeldIncidents(t *testing.T) {
	here := witness.Answer{Up: []string{"paris"}}
	t.Run("up again", func(t *testing.T) {
		bubble(t, func(t *testing.T, dir string, p *postman) {
			h := openHook(t, dir, settings(p, opinions(&panel{answer: here})))
			scheduled(h, "db:5432", false)
			time.Sleep(5 * time.Minute)
			scheduled(h, "db:5432", true)
			time.Sleep(time.Hour)
			p.want()
			closeHook(t, h)
		})
	})
	t.Run("a restart while it is held", func(t *testing.T) {
		bubble(t, func(t *testing.T, dir string, p *postman) {
			c := settings(p, opinions(&panel{answer: here}))
			h := openHook(t, dir, c)
			scheduled(h, "db:5432", false)
			time.Sleep(5 * time.Minute)
			h = again(t, h, dir, c)
			time.Sleep(4 * time.Minute)
			p.want()
			time.Sleep(2 * time.Minute)
			p.want("TCP db:5432 is down from here only")
			closeHook(t, h)
		})
	})
	t.Run("a restart while they are asked", func(t *testing.T) {
		bubble(t, func(t *testing.T, dir string, p *postman) {
			c := settings(p, opinions(&panel{answer: here, takes: 15 * time.Second}))
			h := openHook(t, dir, c)
			scheduled(h, "db:5432", false)
			time.Sleep(time.Second)
			begin := time.Now()
			h = again(t, h, dir, c)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("the restart waited %v for the witnesses", took)
			}
			time.Sleep(time.Minute)
			p.want("TCP db:5432 is down")
			closeHook(t, h)
		})
	})
}

// TestSecondOpinionIsBounded: a thousand targets go down at once, and the witnesses take their time. All is reported.
func TestSecondOpinionIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		witnesses := &panel{answer: witness.Answer{Down: []string{"paris"}}, takes: 10 * time.Second}
		h := openHook(t, dir, settings(p, opinions(witnesses)))
		begin := time.Now()
		for n := range 1000 {
			see(h, fmt.Sprintf("host-%d:1", n), false)
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("probes waited %v", took)
		}
		time.Sleep(opinionTime + 5*time.Second)
		s := h.Stats()
		held := 0
		h.active.Load().eachOpen(func(i *incident.Incident) {
			if i.Held {
				held++
			}
		})
		if s.Incidents != 1000 || held != 0 {
			t.Errorf("the numbers are %+v, and %d are held back", s, held)
		}
		time.Sleep(10 * time.Minute)
		if m := witnesses.most.Load(); m != maxQuestions {
			t.Errorf("%d were asked at once, want %d", m, maxQuestions)
		}
		if n := witnesses.asked.Load(); n > 500 {
			t.Errorf("%d questions: those that were reported meanwhile are not asked about", n)
		}
		if p.attempts() == 0 || h.Stats().Channels[0].Pending > 0 {
			t.Error("not everything was reported")
		}
		closeHook(t, h)
	})
}

// TestIsolated: when all references fail, the failures of others are not theirs.
func TestIsolated(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		c := settings(p, opinions(&panel{answer: witness.Answer{Err: errors.New("no answer")}}, "one:53", "two:53"))
		var hurried atomic.Int32
		h := NewHook(HookOptions{StoragePath: dir, Logger: slog.New(slog.DiscardHandler), Hurry: func(*probe.Target) { hurried.Add(1) }})
		if err := h.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{"one:53", "two:53", "db:5432"} {
			scheduled(h, target, true)
		}
		time.Sleep(time.Minute)
		scheduled(h, "db:5432", false) // before it is known that the line is cut
		time.Sleep(time.Second)
		if hurried.Load() < 2 {
			t.Error("the references are not probed at once")
		}
		p.want()
		if h.Isolated(probe.Key{Module: "tcp_connect", Target: "db:5432"}) {
			t.Error("it is isolated while the references are up")
		}
		scheduled(h, "one:53", false)
		scheduled(h, "two:53", false)
		if !h.Isolated(probe.Key{Module: "tcp_connect", Target: "db:5432"}) || h.Isolated(probe.Key{Module: "tcp_connect", Target: "one:53"}) {
			t.Error("it is not isolated, or so are the references")
		}
		time.Sleep(time.Minute)
		cut := "is down: our own line is cut"
		if got := fmt.Sprint(p.subjects()); strings.Contains(got, "db:5432") || strings.Count(got, "TCP one:53 "+cut)+strings.Count(got, "TCP two:53 "+cut)+strings.Count(got, "2 servers are down") == 0 {
			t.Errorf("mails %s", got)
		}
		if s := h.Stats(); s.Incidents != 2 || s.Scopes[incident.ScopeIsolated] != 2 {
			t.Errorf("the numbers are %+v", s)
		}
		// The target's failure is no part of what comes later: it had been up all the time.
		scheduled(h, "one:53", true)
		scheduled(h, "two:53", true)
		scheduled(h, "db:5432", true)
		time.Sleep(2 * time.Minute)
		if got := fmt.Sprint(p.subjects()); strings.Contains(got, "db:5432") {
			t.Errorf("mails %s", got)
		}
		scheduled(h, "one:53", true)
		scheduled(h, "db:5432", false)
		time.Sleep(time.Second)
		scheduled(h, "one:53", true)
		time.Sleep(5 * time.Second)
		if got := fmt.Sprint(p.subjects()); strings.Count(got, "TCP db:5432 is down") != 1 {
			t.Errorf("mails %s", got)
		}
		closeHook(t, h)
	})
}

// TestReferencesThatAreNotProbedIsolateNothing: their last results do not count for ever.
func TestReferencesThatAreNotProbedIsolateNothing(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, opinions(nil, "one:53")))
		scheduled(h, "one:53", false)
		time.Sleep(4 * time.Minute)
		scheduled(h, "db:5432", false)
		time.Sleep(time.Minute)
		p.want("TCP one:53 is down: our own line is cut", "TCP db:5432 is down")
		closeHook(t, h)
	})
}

// TestWitnessesGetNoPassword: they are not asked about a target that has one.
func TestWitnessesGetNoPassword(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		witnesses := &panel{answer: witness.Answer{Up: []string{"paris"}}}
		h := openHook(t, dir, settings(p, opinions(witnesses)))
		h.Observe(&probe.Record{Module: "web", Prober: "http", Target: "http://me:secret@shop/", Result: *resultAt(time.Now(), false)})
		time.Sleep(time.Minute)
		if p.want("HTTP http://***@shop/ is down"); witnesses.asked.Load() > 0 {
			t.Error("the witnesses were asked")
		}
		closeHook(t, h)
	})
}

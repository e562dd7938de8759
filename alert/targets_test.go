package alert

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/alert/maintenance"
	"rollcall/probe"
)

// compiled is a section whose mails p gets.
func compiled(t *testing.T, p *postman, change func(*Options), targets ...Target) *Config {
	t.Helper()
	o := sound(func(o *Options) { o.Alertmanager = nil })
	change(&o)
	if o.Email != nil && o.Email.From == "" {
		o.Email.From = "rollcall@example.com" // otherwise this machine's name is looked up, by goroutines outside the bubble
	}
	c, err := o.Compile(targets, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.channels[0].notifier = p
	return c
}

func (p *postman) addressed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for n, m := range p.got {
		all = append(all, p.to[n]+": "+m.subject[26:])
	}
	slices.Sort(all)
	return all
}

func TestTargetHasItsOwnRecipientsAndThresholds(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		none := time.Duration(0)
		h := openHook(t, dir, compiled(t, p, func(o *Options) {
			o.Email.Groups = map[string][]Address{"db": {"a@example.com", "b@example.com"}}
			o.RepeatEvery = Span(time.Hour)
		},
			Target{Target: &probe.Target{Module: "tcp_connect", Target: "web:80", Name: "Shop", Group: "web"}},
			Target{Target: &probe.Target{Module: "tcp_connect", Target: "db:5432"}, To: []string{"db", "b@example.com"}, DownAfter: 2, UpAfter: 3, RepeatEvery: &none},
		))
		for range 90 {
			scheduled(h, "web:80", false)
			scheduled(h, "db:5432", false)
			time.Sleep(time.Minute)
		}
		for range 2 {
			scheduled(h, "web:80", true)
			scheduled(h, "db:5432", true)
			time.Sleep(time.Minute)
		}
		closeHook(t, h)
		want := []string{
			"a@example.com: TCP db:5432 is down", "b@example.com: TCP db:5432 is down",
			"ops@example.com: TCP web:80 is down", "ops@example.com: TCP web:80 is still down", "ops@example.com: TCP web:80 is up again",
		}
		if got := p.addressed(); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, m := range p.got {
			if isShop := strings.Contains(m.subject, "web:80"); isShop != strings.Contains(m.body, "\nName:        Shop\nGroup:       web\n") {
				t.Errorf("name and group are missing, or another's:\n%s", m.body)
			}
		}
	})
}

// TestRecipientThatLosesATargetGetsTheEnd: a reload gives a target that is down to another address.
func TestRecipientThatLosesATargetGetsTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		to := func(address string) *Config {
			return compiled(t, p, func(*Options) {}, Target{Target: &probe.Target{Module: "tcp_connect", Target: "web:80"}},
				Target{Target: &probe.Target{Module: "tcp_connect", Target: "other:80"}, To: []string{"a@example.com"}},
				Target{Target: &probe.Target{Module: "tcp_connect", Target: "db:5432"}, To: []string{address}})
		}
		h := openHook(t, dir, to("a@example.com"))
		scheduled(h, "db:5432", false)
		time.Sleep(time.Minute)
		if err := h.Apply(t.Context(), to("b@example.com")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		scheduled(h, "db:5432", true)
		time.Sleep(time.Minute)
		closeHook(t, h)
		want := []string{
			"a@example.com: TCP db:5432 is down", "a@example.com: TCP db:5432 is up again",
			"b@example.com: TCP db:5432 is down", "b@example.com: TCP db:5432 is up again",
		}
		if got := p.addressed(); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestRecipientsOfTargetsAreJudgedAtLoad(t *testing.T) {
	for to, want := range map[string]string{"root": "is a local user name", "db": "is a local user name", "a b": "is not a mail address", "ops@example.com": "", "web": ""} {
		o := sound(func(o *Options) { o.Email.Groups = map[string][]Address{"web": {"a@example.com"}} })
		_, err := o.Compile([]Target{{Target: &probe.Target{Module: "m", Target: "web:80"}, To: []string{to}}}, nil)
		if want == "" != (err == nil) || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", to, err, want)
		}
	}
}

// TestMaintenanceHoldsNewsBack: what begins in a window and ends in it is not reported; what is still down at its end is
// reported once; what was reported before has its end at once.
func TestMaintenanceHoldsNewsBack(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		begin := time.Now().Add(10 * time.Minute)
		window := maintenance.Options{From: begin.Format(time.RFC3339), Until: begin.Add(time.Hour).Format(time.RFC3339), Groups: []string{"web"}}
		config := func() *Config {
			return compiled(t, p, func(o *Options) { o.Maintenance, o.RepeatEvery = []maintenance.Options{window}, Span(20*time.Minute) },
				Target{Target: &probe.Target{Module: "tcp_connect", Target: "before:80", Group: "web"}}, Target{Target: &probe.Target{Module: "tcp_connect", Target: "within:80", Group: "web"}},
				Target{Target: &probe.Target{Module: "tcp_connect", Target: "beyond:80", Group: "web"}}, Target{Target: &probe.Target{Module: "tcp_connect", Target: "other:80"}})
		}
		h := openHook(t, dir, config())
		for minute := range 95 {
			if minute == 50 { // it survives a restart
				h = again(t, h, dir, config())
			}
			scheduled(h, "before:80", minute < 5 || minute > 29)
			scheduled(h, "within:80", minute < 20 || minute > 30)
			scheduled(h, "beyond:80", minute < 30)
			scheduled(h, "other:80", minute != 40)
			planned := h.Maintenance(time.Now())
			if open := minute >= 10 && minute < 70; open != (planned != nil) || open && (!planned(probe.Key{Module: "tcp_connect", Target: "beyond:80"}) || planned(probe.Key{Module: "tcp_connect", Target: "other:80"})) {
				t.Errorf("in minute %d the targets under maintenance are wrong", minute)
			}
			time.Sleep(time.Minute)
		}
		closeHook(t, h)
		want := []string{
			"TCP before:80 is down", "TCP before:80 is up again", "TCP other:80 is down", "TCP other:80 is up again",
			"TCP beyond:80 is down", "TCP beyond:80 is still down",
		}
		if got := p.subjects(); !slices.Equal(got, want) {
			t.Errorf("mails %q, want %q", got, want)
		}
		since := begin.Add(20 * time.Minute).Local().Format(time.ANSIC)
		if m := p.got[4]; !strings.Contains(m.body, "Down since:  "+since) {
			t.Errorf("it does not say that it is down since %s:\n%s", since, m.body)
		}
	})
}

func TestFlappingTargetIsTwoMails(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, compiled(t, p, func(*Options) {}, Target{Target: &probe.Target{Module: "tcp_connect", Target: "flap:80"}}))
		for minute := range 120 {
			if minute == 20 {
				h = again(t, h, dir, compiled(t, p, func(*Options) {}, Target{Target: &probe.Target{Module: "tcp_connect", Target: "flap:80"}}))
			}
			scheduled(h, "flap:80", minute > 60 || minute%4 != 0)
			time.Sleep(time.Minute)
		}
		closeHook(t, h)
		p.want("TCP flap:80 is down", "TCP flap:80 is up again", "TCP flap:80 is down", "TCP flap:80 is up again",
			"TCP flap:80 flaps: 3 outages in 8m, 25 % down", "TCP flap:80 is up again")
		if m := p.got[5]; !strings.Contains(m.body, "after 16 outages in 1h1m, 26 % down") {
			t.Errorf("the end does not say how often:\n%s", m.body)
		}
	})
}

func TestExpiryWarnings(t *testing.T) {
	for text, want := range map[string]ExpiryWarning{"14d": {Before: Span(14 * 24 * time.Hour)}, "0s": {}, "33%": {Share: 0.33}, "12.5%": {Share: 0.125}} {
		var w ExpiryWarning
		if err := w.UnmarshalText([]byte(text)); err != nil || w != want {
			t.Errorf("%s: %+v, %v", text, w, err)
		}
		var again ExpiryWarning
		shown, _ := w.MarshalText()
		if err := again.UnmarshalText(shown); err != nil || again != want {
			t.Errorf("%s is shown as %s, which is %+v, %v", text, shown, again, err)
		}
	}
	for _, text := range []string{"0%", "100%", "-1%", "%", "NaN%", "x", "14"} {
		if err := new(ExpiryWarning).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

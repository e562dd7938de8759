package alert

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/alert/outbox"
	"rollcall/probe"
)

func TestCapHoldsBackAndSumsUp(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, func(c *Config) { c.channels[0].pacing.PerHour = 5 }))
		const incidents = 300
		for range incidents { // 36 seconds each: three hours
			see(h, "flapper:1", false)
			time.Sleep(18 * time.Second)
			see(h, "flapper:1", true)
			time.Sleep(18 * time.Second)
		}
		time.Sleep(2 * time.Hour)
		closeHook(t, h)
		if n := len(p.got); n > 5*5 {
			t.Errorf("%d mails in five hours", n)
		}
		told := 0
		number := func(pattern, text string) int {
			n := 0
			if match := regexp.MustCompile(pattern).FindStringSubmatch(text); match != nil {
				n, _ = strconv.Atoi(match[1])
			}
			return n
		}
		for _, m := range p.got {
			text := strings.Join(strings.Fields(m.body), " ")
			told += number(`(\d+) more outages? `, m.subject)
			if n := number(`flaps: (\d+) outages in`, text); n > 0 {
				told += n
				if !strings.Contains(text, "down, is up now") { // this one's end is counted again
					told--
				}
			} else if strings.Contains(m.subject, "is up again") || strings.Contains(m.subject, "was down for") {
				told++
			}
		}
		if told != incidents {
			t.Errorf("the mails name %d incidents, want %d: %q", told, incidents, p.subjects())
		}
	})
}

func TestRemindersComeWhileItLasts(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, func(c *Config) { c.policy.RepeatEvery = 6 * time.Hour }))
		for range 24 * 4 {
			see(h, "host:1", false)
			time.Sleep(15 * time.Minute)
		}
		closeHook(t, h)
		p.want("TCP host:1 is down", "TCP host:1 is still down", "TCP host:1 is still down", "TCP host:1 is still down")
		for _, m := range p.got[1:] {
			if m.header.Get("In-Reply-To") != p.got[0].header.Get("Message-Id") {
				t.Error("a reminder does not answer its DOWN")
			}
		}
	})
}

func TestExpiringCertificateIsOneMailADay(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, func(c *Config) { c.policy.CertWarning = 336 * time.Hour }))
		expiry := time.Now().Add(100 * time.Hour)
		for range 3 * 24 {
			r := resultAt(time.Now(), true)
			r.TLS = &probe.TLSFacts{EarliestExpiry: expiry}
			h.Observe(&probe.Record{Module: "m", Prober: "http", Target: "https://host/", Result: *r})
			time.Sleep(time.Hour)
		}
		closeHook(t, h)
		if len(p.got) != 3 || !strings.Contains(p.got[0].subject, "the certificate of https://host/ expires ") {
			t.Errorf("mails %q", p.subjects())
		}
		if p.got[0].header.Get("Message-Id") == p.got[1].header.Get("Message-Id") {
			t.Error("two days' warnings have the same Message-ID")
		}
	})
}

// TestFullDiskHoldsBackNoMail: mail goes out from memory, a metric tells, and once there is room again the store has
// everything.
func TestFullDiskHoldsBackNoMail(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		limitDisk(t, h, 64<<10)
		storm := func(up bool) {
			for n := range 500 {
				see(h, fmt.Sprintf("host-%03d:80", n), up)
			}
			time.Sleep(5 * time.Minute)
		}
		storm(false)
		p.want("500 servers are down")
		if m := h.Stats(); m.StoreFailures == 0 || m.Incidents != 500 {
			t.Errorf("the numbers are %+v", m)
		}
		limitDisk(t, h, 0)
		time.Sleep(time.Minute)
		closeHook(t, h)
		h = openHook(t, dir, settings(p))
		storm(false)
		p.want("500 servers are down")
		limitDisk(t, h, 64<<10)
		storm(true)
		closeHook(t, h)
		p.want("500 servers are down", "500 servers are up again")
	})
}

// TestStoreThatIsRemovedIsWrittenAgain: a restart then knows what was down, and that it was mailed.
func TestStoreThatIsRemovedIsWrittenAgain(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(2 * time.Minute)
		if err := os.Remove(filepath.Join(dir, outbox.StoreFile)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if m := h.Stats(); m.StoreFailures != 1 {
			t.Errorf("%d failures are counted", m.StoreFailures)
		}
		see(h, "host:2", false) // goes to the new file
		time.Sleep(2 * time.Minute)
		h = again(t, h, dir, settings(p))
		see(h, "host:1", false)
		see(h, "host:2", true)
		time.Sleep(2 * time.Minute)
		closeHook(t, h)
		p.want("TCP host:1 is down", "TCP host:2 is down", "TCP host:2 is up again")
	})
}

func TestShutdownWaitsForMailUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.takes = 5 * time.Second
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(12 * time.Second) // the session began at ten
		closeHook(t, h)
		h = openHook(t, dir, settings(p))
		time.Sleep(time.Hour)
		closeHook(t, h)
		p.want("TCP host:1 is down")
	})
}

func TestShutdownEndsWhatDoesNotEnd(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.takes = 24 * time.Hour
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(12 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("closing took %v", took)
		}
	})
}

func TestForgottenAfterADayWithoutResults(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		see(h, "host:2", true)
		time.Sleep(25 * time.Hour)
		if m := h.Stats(); m.Incidents != 0 || m.Watched != 0 {
			t.Errorf("after a day the numbers are %+v", m)
		}
		closeHook(t, h)
		s, l, _, err := outbox.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Trackers) != 0 {
			t.Errorf("the store holds %d targets", len(l.Trackers))
		}
		for _, q := range l.Queues {
			if known(q) != 0 {
				t.Errorf("%s still knows %d targets", q.Name, known(q))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		p.want("TCP host:1 is down", "TCP host:1 is no longer reported")
		if want := " no longer reported: it had no result for a day. "; !strings.Contains(p.got[1].body, want) {
			t.Errorf("the mail does not say %q:\n%s", want, p.got[1].body)
		}
	})
}

func TestProbeRequestsCanBeLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, watching("configured:1"), func(c *Config) { c.probeRequests = false }))
		see(h, "asked:1", false)
		h.Observe(&probe.Record{Module: "tcp_connect", Prober: "tcp", Target: "configured:1", Scheduled: true, Result: *resultAt(time.Now(), false)})
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP configured:1 is down")
	})
}

// TestDebugProbesAreNoNews: a person looks at a probe, perhaps with a slip in the target's name. It neither begins
// an incident nor ends one.
func TestDebugProbesAreNoNews(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		try := func(target string, up bool) {
			h.Observe(&probe.Record{Module: "tcp_connect", Prober: "tcp", Target: target, Debug: true, Result: *resultAt(time.Now(), up)})
		}
		try("slip:1", false)
		see(h, "host:1", false)
		try("host:1", true)
		time.Sleep(time.Minute)
		if n := h.Stats().Incidents; n != 1 {
			t.Errorf("%d incidents are open, want that of host:1", n)
		}
		closeHook(t, h)
		p.want("TCP host:1 is down")
	})
}

// TestExporterErrorsAreNoNews: what is not a verdict about the target never reaches the hook.
func TestExporterErrorsAreNoNews(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		runner := &probe.Runner{Observers: []probe.Observer{h}}
		fault := &probe.Module{Name: "m", Kind: "tcp", Prober: prober(func(ctx context.Context) (probe.Result, error) {
			return probe.Result{}, &probe.ExporterError{Fault: probe.FaultDescriptors, Err: errors.New("too many open files")}
		})}
		if _, err := runner.Do(t.Context(), fault, probe.Request{Target: "host:1"}); err == nil {
			t.Error("the fault became a verdict")
		}
		gone, cancel := context.WithCancel(t.Context())
		hangUp := &probe.Module{Name: "m", Kind: "tcp", Prober: prober(func(ctx context.Context) (probe.Result, error) {
			cancel()
			return *resultAt(time.Now(), false), nil
		})}
		if _, err := runner.Do(gone, hangUp, probe.Request{Target: "host:1"}); err == nil {
			t.Error("a cancelled scrape became a verdict")
		}
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want()
	})
}

type prober func(ctx context.Context) (probe.Result, error)

func (f prober) Probe(ctx context.Context, _ probe.Request) (probe.Result, error) { return f(ctx) }

func TestPasswordInATargetIsRedacted(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "http://me:canary@host/path", false)
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP http://***@host/path is down")
		if b := read(t, dir, "alert.db"); strings.Contains(b, "canary") || strings.Contains(p.got[0].body, "canary") {
			t.Error("the store or the mail holds the password")
		}
	})
}

package alert

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestMailServerThatIsAwayForDaysFillsNothing: callers of /probe invent as many targets as are watched, each day others,
// while nobody takes mail. What waits is bounded in memory and on the disk, and once the server is back the mails name
// or number every event. The configured target is named.
func TestMailServerThatIsAwayForDaysFillsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		var log bytes.Buffer
		p.judge(func(envelope) verdict { return postponed })
		p.takes = 5 * time.Hour // so that there are few attempts
		h := NewHook(HookOptions{StoragePath: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := h.Apply(t.Context(), settings(p, watching("db:5432"))); err != nil {
			t.Fatal(err)
		}
		const days = 3
		var sizes [days]int64
		for day := range days {
			for n := range maxRequestedWatches {
				see(h, fmt.Sprintf("invented-%d-%d:1", day, n), false)
				if n%1000 == 0 {
					time.Sleep(time.Second)
				}
			}
			time.Sleep(25 * time.Hour)
			info, err := os.Stat(filepath.Join(dir, storeFile))
			if err != nil {
				t.Fatal(err)
			}
			sizes[day] = info.Size()
		}
		scheduled(h, "db:5432", false)
		time.Sleep(time.Second)
		synctest.Wait() // the hook's own fields are looked at
		if first, last := sizes[0], sizes[days-1]; last > first*3/2 || last > 64<<20 {
			t.Errorf("the store grew day by day: %d bytes", sizes)
		}
		if n := len(h.active.Load().destinations[0].items); n > maxRequestedWaiting+1 {
			t.Errorf("%d items wait", n)
		}
		m := h.Metrics()
		if c := m.Channels[0]; c.Summed != 2*(days-1)*maxRequestedWatches || c.Pending != int(c.Summed)+maxRequestedWaiting+1 {
			t.Errorf("the numbers are %+v", m)
		}
		if n := strings.Count(log.String(), "only counted"); n != 1 {
			t.Errorf("the log says %d times that news is only counted", n)
		}
		closeHook(t, h)
		p.judge(nil)
		p.takes = 0
		h = openHook(t, dir, settings(p, watching("db:5432")))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if m := h.Metrics(); m.Channels[0].Pending != 0 || m.Incidents != 1 {
			t.Errorf("the numbers are %+v", m)
		}
		if n := len(h.active.Load().destinations[0].told); n != 1 {
			t.Errorf("%d threads are kept, want that of the configured target", n)
		}
		closeHook(t, h)
		named, more := 0, 0
		if len(p.got) != 3 || !strings.HasSuffix(p.got[2].subject, " is no longer watched") { // the third has room for one
			t.Errorf("the mails are %q", p.subjects())
		}
		for _, m := range p.got {
			named += strings.Count(m.body, "\n  TCP ")
			for _, number := range regexp.MustCompile(`\n  and (\d+) more (?:went down|stopped being watched)`).FindAllStringSubmatch(m.body, -1) {
				n, _ := strconv.Atoi(number[1])
				more += n
			}
		}
		if want := maxRequestedWaiting; named != want || more != 2*(days-1)*maxRequestedWatches {
			t.Errorf("%d mails list %d targets, want %d, and number %d events", len(p.got), named, want, more)
		}
		if !strings.Contains(p.got[0].body, "TCP db:5432 ") {
			t.Error("the first mail does not name the configured target")
		}
		if want := ", 20000 more went down, 20000 more stopped being watched"; !strings.HasSuffix(p.got[0].subject, want) {
			t.Errorf("the subject is %q, want …%q", p.got[0].subject, want)
		}
	})
}

// filled is an outbox that has no room for further news from /probe.
func filled() *destination {
	d := newDestination(channelMail, "ops@example.com")
	for n := range maxRequestedWaiting {
		down, _ := story(fmt.Sprintf("waiting:%d", n), n)
		d.add(wentDown, down, true, epoch)
	}
	return d
}

func TestConfiguredTargetsHaveRoomOfTheirOwn(t *testing.T) {
	d := filled()
	first, _ := story("configured:1", 1)
	if !d.add(wentDown, first, false, epoch) {
		t.Fatal("there is no room")
	}
	d.seal(func(items []*item, _ excess) (*parcel, error) {
		if len(items) != maxItemsPerMail || items[len(items)-1].Incident != first {
			t.Errorf("the first mail tells %d, and the configured target is not among them", len(items))
		}
		return new(parcel), nil
	})
	d.settle(delivered, 0, epoch)
	for n := range 2 * maxWaiting {
		down, _ := story(fmt.Sprintf("configured:%d", n), n)
		d.add(wentDown, down, false, epoch)
	}
	if n := len(d.items) - d.requested; n != maxWaiting || d.excess.Down != maxWaiting {
		t.Errorf("%d wait and %d are counted", n, d.excess.Down)
	}
	d.seal(func(items []*item, _ excess) (*parcel, error) {
		for _, it := range items {
			if it.Requested {
				t.Fatal("an invented target comes before a configured one")
			}
		}
		return new(parcel), nil
	})
}

// TestEndOfAnIncidentThatWasOnlyCounted is told in full when there is room.
func TestEndOfAnIncidentThatWasOnlyCounted(t *testing.T) {
	d := filled()
	down, up := story("counted:1", 0)
	if d.add(wentDown, down, true, epoch) || d.excess.Down != 1 || !d.excess.Since.Equal(epoch) {
		t.Fatalf("it was not counted: %+v", d.excess)
	}
	if !d.add(stillDown, down, true, epoch) || !d.add(certEnding, down, true, epoch) || d.excess.total() != 1 {
		t.Error("what comes again by itself was counted")
	}
	sealFake(t, d, "1")
	d.settle(delivered, 0, epoch)
	d.add(cameUp, up, true, epoch)
	sealFake(t, d, "2")
	d.settle(delivered, 0, epoch)
	if got := sealFake(t, d, "3"); len(got) != 1 || got[0] != wasDown {
		t.Errorf("the end is told as %v", got)
	}
}

// TestWhoseBeginningWasNamedItsEndIsNamed, also when the beginning is on its way, and nothing is kept of it then.
func TestWhoseBeginningWasNamedItsEndIsNamed(t *testing.T) {
	d := filled()
	sealFake(t, d, "1")
	told := d.items[0].Incident
	d.settle(delivered, 0, epoch)
	for n := range maxItemsPerMail { // full again
		down, _ := story(fmt.Sprintf("more:%d", n), n)
		d.add(wentDown, down, true, epoch)
	}
	sealFake(t, d, "2")
	underWay := d.items[0].Incident
	if !d.add(cameUp, told, true, epoch) || !d.add(cameUp, underWay, true, epoch) {
		t.Error("an end is only counted")
	}
	for len(d.items) > 0 {
		d.settle(delivered, 0, epoch)
		sealFake(t, d, "x")
	}
	if _, a := d.told[told.ID]; a {
		t.Error("a thread is kept")
	}
	if _, b := d.told[underWay.ID]; b {
		t.Error("a thread is kept")
	}
}

// TestNumberOfWhatHadNoRoom is told once, whatever happens to the mail.
func TestNumberOfWhatHadNoRoom(t *testing.T) {
	for _, c := range []struct {
		verdicts []verdict
		want     excess // in the next mail
	}{
		{[]verdict{delivered}, excess{Down: 1}},
		{[]verdict{refused}, excess{Down: 1}},
		{[]verdict{postponed}, excess{Down: 3}},
		{[]verdict{inDoubt, postponed, delivered}, excess{Down: 1}},
	} {
		d := filled()
		for n := range 2 {
			down, _ := story("counted:1", n)
			d.add(wentDown, down, true, epoch)
		}
		sealFake(t, d, "1")
		if got := d.parcel.excess; got.Down != 2 || d.excess.total() != 0 {
			t.Errorf("the parcel tells %+v", got)
		}
		down, _ := story("counted:1", 2)
		d.add(wentDown, down, true, epoch.Add(time.Hour))
		for _, v := range c.verdicts {
			d.settle(v, 0, epoch)
		}
		d.excess.Since = time.Time{}
		if d.excess != c.want {
			t.Errorf("after %v: %+v, want %+v", c.verdicts, d.excess, c.want)
		}
	}
}

func TestMailSaysHowMuchMoreThereWas(t *testing.T) {
	down, _ := story("host:1", 0)
	items := []*item{{Incident: down, Down: true}}
	more := excess{Down: 12, Up: 1, Since: epoch}
	l := head.write("ops@example.com", items, more, nil, epoch)
	if want := asctime(epoch) + ": 1 server is down, 12 more went down, 1 more came up again"; l.subject != want {
		t.Errorf("the subject is %q, want %q", l.subject, want)
	}
	want := "Too much waited to be told one by one. What else came, from " + asctime(epoch) + " on, is only counted:\n" +
		"  and 12 more went down\n  and 1 more came up again\n\nDown:\n  TCP host:1 "
	if !strings.Contains(l.body, want) {
		t.Errorf("the body is\n%s\nwant\n%s", l.body, want)
	}
	if l.messageID == head.write("ops@example.com", items, excess{}, nil, epoch).messageID {
		t.Error("another mail has the same Message-ID")
	}
}

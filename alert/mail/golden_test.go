package mail

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	time.Local = time.FixedZone("CET", 3600) // the golden files have the same times everywhere
	os.Exit(m.Run())
}

// situations are the mails that people typically get, by the names of their golden files.
func situations() map[string]*outbox.Digest {
	whole := func(n ...*outbox.Notification) *outbox.Digest {
		d := digest(n...)
		d.Down, d.Targets = max(3, len(n)), 400
		d.Groups = map[string]int{"web": d.Down - 2, "db": 2}
		d.Reasons = map[probe.Reason]int{"connection_refused": d.Down - 1, "no_such_host": 1}
		return d
	}
	down, up := sample()
	for _, i := range []*incident.Incident{down, up} {
		i.Name, i.Group, i.Labels, i.Scheduled = "Shop", "web", labels.FromStrings("env", "prod", "team", "shop"), true
	}
	reminded, certificate, left, flapping, settled := *down, *down, *up, *down, *up
	reminded.Reminded = epoch.Add(6 * time.Hour)
	certificate.Target, certificate.Prober, certificate.Module, certificate.ID = "https://shop.example.com/", "http", "http_2xx", ""
	certificate.Expiry, certificate.Reason, certificate.Recent, certificate.UpFor = epoch.Add(13*24*time.Hour), "", nil, 0
	left.Unwatched = "it left the configuration"
	flapping.Flaps = &incident.Flaps{Outages: 3, Since: epoch.Add(-6 * time.Minute), Latest: epoch, Down: 2 * time.Minute}
	settled.Flaps = &incident.Flaps{Outages: 11, Since: epoch.Add(-13 * time.Minute), Latest: epoch.Add(6 * time.Minute), Down: 8 * time.Minute, Up: epoch.Add(7 * time.Minute)}
	here, cut, cutToo := *down, *down, *down
	here.Scope, here.UpFrom, here.DownFrom = incident.ScopeHere, []string{"paris"}, nil
	cut.Scope, cutToo.Scope, cutToo.Target = incident.ScopeIsolated, incident.ScopeIsolated, "other:9000"
	foreign, _ := sample()
	foreign.Scheduled = true
	foreign.Target, foreign.Detail = "bücher.example:80", "connecting to 192.0.2.1:80: connection refused"
	var few, storm []*outbox.Notification
	for n := range 300 {
		i, over := story(fmt.Sprintf("host%03d.example.com:443", n), 0)
		switch {
		case n < 6:
			few = append(few, isDownNow(i))
		case n == 6:
			few = append(few, news(outbox.Outage{Incident: over, Up: true, MessageID: "first@example.com"}))
		}
		storm = append(storm, isDownNow(i))
	}
	first, _ := sample()
	first.UpFor, first.Recent = 0, first.Recent[1:]
	once := digest(isDownNow(first))
	once.Down, once.Targets, once.ExternalURL = 0, 0, ""
	earlier := "6a4f@example.com"
	return map[string]*outbox.Digest{
		"check":       once,
		"down":        whole(isDownNow(down)),
		"up":          whole(news(outbox.Outage{Incident: up, Up: true, MessageID: earlier})),
		"was-down":    whole(news(outbox.Outage{Incident: up, Down: true, Up: true})),
		"still-down":  whole(news(outbox.Outage{Incident: &reminded, Reminder: true, MessageID: earlier})),
		"here":        whole(isDownNow(&here)),
		"isolated":    whole(isDownNow(&cut), isDownNow(&cutToo)),
		"flaps":       whole(isDownNow(&flapping)),
		"settled":     whole(news(outbox.Outage{Incident: &settled, Up: true, MessageID: earlier})),
		"certificate": whole(&outbox.Notification{Key: certificate.Key, Cert: &certificate}),
		"no-longer":   whole(news(outbox.Outage{Incident: &left, Up: true, MessageID: earlier})),
		"few":         whole(few...),
		"storm":       whole(storm...),
		"foreign":     whole(isDownNow(foreign)),
	}
}

// TestMailsOfTypicalSituations: a strict reader takes them, and no line is too long for a terminal.
func TestMailsOfTypicalSituations(t *testing.T) {
	short := *sender
	short.short = true
	all := situations()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			m, msg := compose(t, sender, "ops@example.com", all[name])
			brief, _ := compose(t, &short, "ops@example.com", all[name])
			text := strings.ReplaceAll(string(msg.Parts[0]), "\r\n", "\n")
			lines := strings.Split(text, "\n")
			if name == "check" { // the old script's text is one line
				lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Server Monitor: ") })
			}
			for _, line := range lines {
				if len(line) > maxColumns && !strings.HasPrefix(line, "https://") { // an address is not broken

					t.Errorf("%d columns: %s", len(line), line)
				}
			}
			if want := map[bool]string{true: "quoted-printable", false: "7bit"}[name == "foreign"]; m.header.Get("Content-Transfer-Encoding") != want {
				t.Errorf("it is sent as %s, want %s", m.header.Get("Content-Transfer-Encoding"), want)
			}
			got := "Short subject: " + brief.subject + "\n\n" + text
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

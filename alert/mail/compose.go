package mail

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
)

// The bounds of one mail, which a phone can show and every server takes. Of what does not fit, the number is given.
const (
	maxLines      = 170      // of listed targets and outages
	maxListed     = 60 << 10 // bytes of them as they are sent
	maxDetailed   = 5        // targets shown in full
	maxReferences = 10
)

// letter is a mail before it is encoded.
type letter struct {
	to         Address
	subject    string
	body       string
	messageID  string   // without <>
	references []string // the mails that it answers
	at         time.Time
	says       []outbox.Said
}

// write makes the one letter that says all of the digest.
func (m *Mailer) write(to Address, d *outbox.Digest) letter {
	out := letter{to: to, at: d.At}
	var entries []entry
	for _, n := range d.Notifications {
		entries = append(entries, entriesOf(n)...)
		out.says = n.Say(out.says)
		for _, o := range n.Owed() {
			if id := o.MessageID; id != "" && len(out.references) < maxReferences && !slices.Contains(out.references, id) {
				out.references = append(out.references, id)
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.status, b.status), cmp.Compare(a.incident.Target, b.incident.Target), cmp.Compare(a.incident.Module, b.incident.Module))
	})
	out.messageID = m.messageID(to, out.says, d.Overflow)
	b := new(strings.Builder)
	if len(entries) == 1 && d.Overflow == 0 {
		out.subject = entries[0].subject()
		if m.short {
			out.subject = entries[0].shortSubject()
		}
		first := entries[0].firstLine()
		if d.Targets > 0 { // else this is the old script's mail, whose text is one line
			first = wrap(first, "")
		}
		fmt.Fprintf(b, "%s\n\n", first)
		entries[0].details(b, d.ExternalURL)
		if history := entries[0].history(); len(history) > 0 {
			fmt.Fprintf(b, "Outages:\n  %s\n\n", strings.Join(history, "\n  "))
		}
		if d.Targets > 0 {
			fmt.Fprintf(b, "%s.\n", state(d))
		}
	} else {
		summary := summarise(entries, d)
		out.subject = fmt.Sprintf("%s: %s", asctime(first(entries, d.At)), summary)
		if m.short && len(entries) > 0 {
			out.subject = shortSummary(entries)
		}
		fmt.Fprintf(b, "%s\n\n", wrap(fmt.Sprintf("Server Monitor: %s.", summary), ""))
		writeState(b, d)
		list(b, entries, d.ExternalURL)
	}
	out.subject = m.subjectPrefix + out.subject
	fmt.Fprintf(b, "%s\n\n-- \nrollcall on %s\n", zone(d.At), m.host)
	if d.ExternalURL != "" {
		fmt.Fprintf(b, "%s\n", d.ExternalURL)
	}
	out.body = b.String()
	return out
}

// messageID depends on nothing but what is said to which recipient, so that a retry, also after a crash, carries the same.
func (m *Mailer) messageID(to Address, says []outbox.Said, overflow int) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", to)
	for _, s := range says {
		fmt.Fprintf(h, "%q %q %q %s %t %t %d %d\n", s.Key.Module, s.Key.Target, s.Key.Hostname, s.ID, s.Down, s.Up,
			s.Reminded.UnixNano(), s.Cert.UnixNano())
	}
	fmt.Fprintf(h, "%d\n", overflow)
	return hex.EncodeToString(h.Sum(nil)[:16]) + "@" + m.from.domain(m.host)
}

// details shows one target in full.
func (e entry) details(b *strings.Builder, externalURL string) {
	const indent = "             "
	i := e.incident
	row := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintln(b, wrap(fmt.Sprintf("%-13s%s", name, text), indent))
		}
	}
	row("Name:", "%s", incident.Clean(i.Name, maxTarget))
	row("Group:", "%s", incident.Clean(i.Group, maxTarget))
	row("Target:", "%s", incident.Clean(i.Target, maxTarget))
	row("Hostname:", "%s", incident.Clean(i.Hostname, maxTarget))
	row("Labels:", "%s", labelText(i.Labels))
	row("Test:", "%s, module %s", test(i), incident.Clean(i.Module, 100))
	if e.status == expires {
		row("Certificate:", "expires %s, in %s", asctime(i.Expiry), span(i.Expiry.Sub(i.Since)))
	} else {
		row("Down since:", "%s", asctime(i.Since))
		if i.Unwatched != "" {
			row("Ended:", "%s: %s", asctime(i.Until), i.Unwatched)
		} else if !i.Until.IsZero() {
			row("Up since:", "%s, after %s", asctime(i.Until), span(i.Lasted))
		}
		if i.Reason != "" {
			row("Reason:", "%s, at stage %s", words(i.Reason), i.Stage)
			row("", "%s", incident.Clean(i.Detail, maxAnswer))
		}
	}
	row("Seen:", "%s", incident.Clean(i.Opinion(), maxTarget))
	if link := Link(externalURL, i); len(link) > maxColumns-len(indent) {
		fmt.Fprintf(b, "Evidence:\n%s\n", link)
	} else {
		row("Evidence:", "%s", link)
	}
	if i.UpFor >= time.Second {
		row("Before that:", "up for %s", span(i.UpFor))
	}
	if len(i.Recent) > 0 {
		fmt.Fprintf(b, "\nLast results:\n")
		for _, o := range i.Recent {
			says := "up"
			if o.Cause != nil {
				says = "down, " + words(o.Reason)
			}
			fmt.Fprintf(b, "  %s %7.3fs  %s\n", stamp(time.Unix(0, o.At)), o.Took.Seconds(), says)
		}
	}
	b.WriteByte('\n')
}

// maxLabels bounds what a target's labels take in a mail, in bytes.
const maxLabels = 500

// labelText is a target's labels as people write them: env=prod, team=web.
func labelText(all labels.Labels) string {
	var parts []string
	all.Range(func(l labels.Label) { parts = append(parts, l.Name+"="+l.Value) })
	return incident.Clean(strings.Join(parts, ", "), maxLabels)
}

// zone says which zone the times of a mail are in.
func zone(at time.Time) string {
	at = at.Local()
	if name, offset := at.Zone(); offset != 0 {
		return fmt.Sprintf("Times are in %s (UTC%s).", name, at.Format("-07:00"))
	}
	return "Times are in UTC."
}

// Link leads to the exporter's page about an incident of a configured target, and to the latest probe of others, of which
// no history is kept; empty: the exporter's address is unknown.
func Link(externalURL string, i *incident.Incident) string {
	switch {
	case externalURL == "":
		return ""
	case i.Scheduled && i.ID != "":
		return externalURL + "/incident/" + i.ID
	}
	return externalURL + "/logs?" + url.Values{"target": {i.Target}, "module": {i.Module}}.Encode()
}

// Text is the subject and the text of a mail about one incident alone: for other ways to notify.
func Text(i *incident.Incident, externalURL string) (subject, text string) {
	o := outbox.Outage{Incident: i, Down: i.Until.IsZero(), Up: !i.Until.IsZero(), MessageID: i.ID}
	e := entry{statusOf(o), i, nil}
	b := new(strings.Builder)
	fmt.Fprintf(b, "%s\n\n", e.firstLine())
	e.details(b, externalURL)
	fmt.Fprintln(b, zone(i.Since))
	return e.subject(), strings.TrimSpace(b.String())
}

// headings are the parts of a letter about several targets, in the order of their urgency, which is that of the statuses.
// Short subjects begin with a state.
var headings = [...]struct{ state, title, one, many string }{
	isDown:      {"DOWN", "Down", "server is down", "servers are down"},
	isStillDown: {"STILL DOWN", "Still down", "server is still down", "servers are still down"},
	flaps:       {"FLAPPING", "Flapping", "server flaps", "servers flap"},
	expires:     {"EXPIRING", "Certificate expires soon", "certificate expires soon", "certificates expire soon"},
	wasDown:     {"UP", "Was down, is up again", "server was down", "servers were down"},
	isUnwatched: {"NOT REPORTED", "No longer reported", "server is no longer reported", "servers are no longer reported"},
	isUp:        {"UP", "Up again", "server is up again", "servers are up again"},
}

func (e entry) state() string { return headings[e.status].state }
func (e entry) title() string { return headings[e.status].title }

// leading are the first of the entries, as far as key is the same of them.
func leading(entries []entry, key func(entry) string) []entry {
	end := slices.IndexFunc(entries, func(e entry) bool { return key(e) != key(entries[0]) })
	if end < 0 {
		return entries
	}
	return entries[:end]
}

// first is when the first of what a letter says happened.
func first(entries []entry, now time.Time) time.Time {
	at := now
	for _, e := range entries {
		at = incident.Earlier(at, e.at())
	}
	return at
}

// summarise is the one sentence about several targets. It counts targets, and says how many are down in all where that is
// more than what is new.
func summarise(entries []entry, d *outbox.Digest) string {
	var count [len(headings)]int
	isolated := 0
	for _, e := range entries {
		count[e.status]++
		if e.status == isDown && e.incident.Scope == incident.ScopeIsolated {
			isolated++
		}
	}
	var parts []string
	for s, h := range headings {
		if count[s] == 0 {
			continue
		}
		part := plural(count[s], h.one, h.many)
		if status(s) == isDown && d.Down > count[s] {
			part += fmt.Sprintf(" (%d in all)", d.Down)
		}
		if status(s) == isDown && isolated == count[s] {
			part += " as our own line is cut"
		}
		parts = append(parts, part)
	}
	if d.Overflow > 0 {
		parts = append(parts, plural(d.Overflow, "more outage is over", "more outages are over"))
	}
	return strings.Join(parts, ", ")
}

// state says how all targets are now: "500 of 612 watched are down".
func state(d *outbox.Digest) string {
	return fmt.Sprintf("Now %d of %d watched %s down", d.Down, d.Targets, map[bool]string{true: "is", false: "are"}[d.Down == 1])
}

// writeState says how all targets are now, by reason and group: "500 of 612 watched are down: 480 connection refused, 20
// timeout".
func writeState(b *strings.Builder, d *outbox.Digest) {
	text := state(d)
	if len(d.Reasons) > 0 {
		text += ": " + most(d.Reasons, words)
	}
	fmt.Fprintf(b, "%s.\n", wrap(text, ""))
	if len(d.Groups) > 0 {
		groups := "Down by group: " + most(d.Groups, func(g string) string { return incident.Clean(g, maxTarget) })
		fmt.Fprintf(b, "%s.\n", wrap(groups, ""))
	}
	if d.Overflow > 0 {
		fmt.Fprintf(b, "Too much waited to name everything:\n%s.\n", plural(d.Overflow, "outage that is over is only counted", "outages that are over are only counted"))
	}
	b.WriteByte('\n')
}

// maxCounts is how many reasons or groups a mail counts by name.
const maxCounts = 20

// most are the counts by name, the highest first: "480 connection refused, 20 timeout".
func most[K ~string](counts map[K]int, write func(K) string) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b K) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	var parts []string
	rest := 0
	for n, name := range names {
		if n < maxCounts {
			parts = append(parts, fmt.Sprintf("%d %s", counts[name], write(name)))
		} else {
			rest += counts[name]
		}
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("%d others", rest))
	}
	return strings.Join(parts, ", ")
}

// list shows several targets: a line each as far as there is room, and when they are few, in full as well.
func list(b *strings.Builder, entries []entry, externalURL string) {
	room := room{lines: maxLines, bytes: maxListed}
	named := make(map[string]int)
	for _, e := range entries {
		named[server(e.incident)]++
	}
	for rest := entries; len(rest) > 0; {
		same := leading(rest, entry.title)
		rest = rest[len(same):]
		fmt.Fprintf(b, "%s:\n", same[0].title())
		for n, e := range same {
			text := wrap("  "+e.line(named[server(e.incident)] > 1), continued) + "\n"
			for _, outage := range e.history() {
				text += "    " + outage + "\n"
			}
			if !room.take(text) {
				more := fmt.Sprintf("  and %d more: %s", len(same)-n, externalURL)
				fmt.Fprintln(b, strings.TrimRight(more, ": "))
				break
			}
			b.WriteString(text)
		}
		b.WriteByte('\n')
	}
	if len(entries) > maxDetailed {
		return
	}
	for _, e := range entries {
		fmt.Fprintf(b, "%s\n\n", wrap(e.subject(), continued))
		e.details(b, externalURL)
	}
}

// continued is how the second line of an entry in a list begins.
const continued = "      "

// room is what a list may still take.
type room struct{ lines, bytes int }

// take reports whether the lines fit, and takes their room. A byte beyond ASCII takes three when it is sent.
func (r *room) take(text string) bool {
	r.lines -= strings.Count(text, "\n")
	r.bytes -= len(text)
	for n := range len(text) {
		if text[n] >= 0x80 {
			r.bytes -= 2
		}
	}
	return r.lines >= 0 && r.bytes >= 0
}

package mail

import (
	"fmt"
	"strings"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
)

// maxTarget bounds a target's name in a mail, in bytes.
const maxTarget = 300

// status is what a message has to say about one target.
type status uint8

const (
	isDown status = iota
	isStillDown
	flaps // several outages
	expires
	wasDown     // its beginning and its end at once
	isUnwatched // with its beginning, should the recipient not know it
	isUp
)

// entry is one target in a message.
type entry struct {
	status   status
	incident *incident.Incident // the latest
	outages  []outbox.Outage    // what is owed; for a certificate, none
}

// entriesOf are what a message says about a target: of its outages, of its certificate.
func entriesOf(n *outbox.Notification) []entry {
	var entries []entry
	if outages := n.Owed(); len(outages) > 0 {
		last := outages[len(outages)-1]
		e := entry{statusOf(last), last.Incident, outages}
		if len(outages) > 1 {
			e.status = flaps
		}
		entries = append(entries, e)
	}
	if n.Cert != nil {
		entries = append(entries, entry{status: expires, incident: n.Cert})
	}
	return entries
}

// statusOf is what to say of an outage: with an end, also its beginning unless an earlier mail said it.
func statusOf(o outbox.Outage) status {
	switch {
	case o.Incident.Unwatched != "":
		return isUnwatched
	case o.Down && !o.Up && o.Incident.Flaps != nil:
		return flaps
	case o.Up && o.MessageID == "":
		return wasDown
	case o.Up:
		return isUp
	case o.Down:
		return isDown
	default:
		return isStillDown
	}
}

// at is when that which the status says came to be.
func (e entry) at() time.Time {
	i := e.incident
	switch e.status {
	case isStillDown:
		return i.Reminded
	case isUp, wasDown, isUnwatched:
		return i.Until
	case flaps:
		return e.flapping().Latest
	default:
		return i.Since
	}
}

// flapping sums up the outages of a target that flaps.
func (e entry) flapping() incident.Flaps {
	if f := e.incident.Flaps; f != nil {
		return *f
	}
	last := e.incident
	f := incident.Flaps{Outages: len(e.outages), Since: e.outages[0].Incident.Since, Latest: last.Changed(), Up: last.Until}
	for _, o := range e.outages {
		f.Down += o.Incident.Lasted
	}
	return f
}

// test is the test's type as the old script writes it.
func test(i *incident.Incident) string { return strings.ToUpper(i.Prober) }

// server is the old script's way to name a target: test type and server-info, which for tcp is host:port.
func server(i *incident.Incident) string { return test(i) + " " + serverInfo(i) }

func serverInfo(i *incident.Incident) string {
	info := i.Target
	if i.Prober == "tcp" {
		info = strings.TrimPrefix(info, "tcp://")
	}
	return incident.Clean(info, maxTarget)
}

// phrases are what a message says of a target in each place where it may stand.
type phrases struct {
	subject string // after the time, as the old script's
	body    string // after "The server", as the old script's
	line    string // in a list, after the name
	short   string // in a short subject, after the state and the name
}

func (e entry) phrases() (p phrases) {
	i, reason := e.incident, words(e.incident.Reason)
	since := " since " + stamp(i.Since) + ": " + reason
	switch e.status {
	case isDown:
		p = phrases{"is down" + scope(i), " is down.", since, scope(i) + ": " + reason}
		switch opinion := i.Opinion(); {
		case i.Scope == incident.ScopeIsolated:
			p.body, p.short = " is down, and "+opinion+".", scope(i)
		case opinion != "":
			p.body = " is " + opinion + "."
		}
	case isStillDown:
		p = phrases{"is still down", " is still down, since " + asctime(i.Since) + ".", since, " for " + span(i.Reminded.Sub(i.Since)) + ": " + reason}
	case isUp:
		p = phrases{"is up again", " is up again.", "", ""}
		if i.Flaps != nil {
			p.body = " is up again, after " + outagesIn(*i.Flaps, i.Until) + "."
		}
	case wasDown:
		p = phrases{"was down for " + span(i.Lasted), " is up again; it was down from " + asctime(i.Since) + " to " + asctime(i.Until) + ".", "", ""}
	case isUnwatched:
		p = phrases{"is no longer reported", " is no longer reported: " + i.Unwatched + ". It was down since " + asctime(i.Since) + ".",
			since + "; " + i.Unwatched, ": " + i.Unwatched}
	case flaps:
		says := outagesIn(e.flapping(), e.at())
		switch {
		case i.Flaps != nil:
		case i.Unwatched != "":
			says += ", is no longer reported"
		case i.Until.IsZero():
			says += ", is down now"
		default:
			says += ", is up now"
		}
		p = phrases{"flaps: " + says, " flaps: " + says + ".", " flaps: " + says, ": " + says}
	case expires:
		return phrases{"the certificate of " + serverInfo(i) + " expires " + asctime(i.Expiry), "'s certificate expires " + asctime(i.Expiry) + ".",
			" expires " + stamp(i.Expiry), ": certificate in " + span(i.Expiry.Sub(i.Since))}
	}
	switch {
	case e.status == isUp || e.status == wasDown:
		p.line, p.short = " "+stamp(i.Since)+" to "+stamp(i.Until)+": "+reason, " after "+span(i.Lasted)
	case (e.status == isDown || e.status == isStillDown) && i.Scope == incident.ScopeHere:
		p.line += "," + scope(i)
	}
	p.subject = server(i) + " " + p.subject
	return p
}

// subject is the old script's line, for one target.
func (e entry) subject() string { return asctime(e.at()) + ": " + e.phrases().subject }

// shortSubject is that for a phone: "DOWN shop.example.com: connection refused".
func (e entry) shortSubject() string {
	return e.state() + " " + name(e.incident) + e.phrases().short
}

// firstLine is the old script's body.
func (e entry) firstLine() string {
	return fmt.Sprintf("Server Monitor: Performed a health-check running a %s test against %s. The server%s", test(e.incident), serverInfo(e.incident), e.phrases().body)
}

// line is the entry in a list, with its module where that is needed to tell it from another.
func (e entry) line(module bool) string {
	head := server(e.incident)
	if module {
		head += fmt.Sprintf(" (module %s)", incident.Clean(e.incident.Module, 100))
	}
	return head + e.phrases().line
}

// scope is what a subject adds about a target that is down when others do not see it so.
func scope(i *incident.Incident) string {
	switch {
	case i.Scope == incident.ScopeHere && len(i.DownFrom) == 0:
		return " from here only"
	case i.Scope == incident.ScopeHere:
		return " from some places"
	case i.Scope == incident.ScopeIsolated:
		return ": our own line is cut"
	default:
		return ""
	}
}

// outagesIn says what a target did that flapped until at: "11 outages in 20m, 43 % down".
func outagesIn(f incident.Flaps, at time.Time) string {
	return fmt.Sprintf("%d outages in %s, %.0f %% down", f.Outages, span(at.Sub(f.Since)), 100*f.Share(at))
}

// history is a line for each outage of a target that flaps.
func (e entry) history() []string {
	if e.status != flaps || len(e.outages) == 1 {
		return nil
	}
	var lines []string
	for _, o := range e.outages {
		end := "now"
		if !o.Incident.Until.IsZero() {
			end = stamp(o.Incident.Until)
		}
		lines = append(lines, fmt.Sprintf("%s to %s: %s", stamp(o.Incident.Since), end, words(o.Incident.Reason)))
	}
	return lines
}

// asctime is a time as the old script and C write it: Wed Feb 11 20:00:00 2015.
func asctime(t time.Time) string { return t.Local().Format(time.ANSIC) }

// stamp is a time in a list, where the year is known.
func stamp(t time.Time) string { return t.Local().Format(time.Stamp) }

// span says a duration for a person: two units are enough.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	for n, u := range units[:3] {
		if d >= u.size {
			next := units[n+1]
			if rest := d % u.size / next.size; rest > 0 {
				return fmt.Sprintf("%d%s%d%s", d/u.size, u.name, rest, next.name)
			}
			return fmt.Sprintf("%d%s", d/u.size, u.name)
		}
	}
	return d.String()
}

// plural is "1 server is", "3 servers are" for (n, "server is", "servers are").
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

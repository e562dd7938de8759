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
		if i.Flaps != nil {
			return i.Flaps.Latest
		}
		return i.Changed()
	default:
		return i.Since
	}
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

// subject is the old script's line, for one target.
func (e entry) subject() string {
	i := e.incident
	if e.status == expires {
		return fmt.Sprintf("%s: the certificate of %s expires %s", asctime(e.at()), serverInfo(i), asctime(i.Expiry))
	}
	return fmt.Sprintf("%s: %s %s", asctime(e.at()), server(i), e.says())
}

func (e entry) says() string {
	switch e.status {
	case isStillDown:
		return "is still down"
	case isUp:
		return "is up again"
	case wasDown:
		return "was down for " + span(e.incident.Lasted)
	case isUnwatched:
		return "is no longer reported"
	case flaps:
		return e.flapping()
	default:
		return "is down" + e.scope()
	}
}

// scope is what a subject adds about a target that is down when others do not see it so.
func (e entry) scope() string {
	switch i := e.incident; {
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

// flapping sums up several outages: "flaps: 11 outages in 20m, 43 % down, is up now".
func (e entry) flapping() string {
	if f := e.incident.Flaps; f != nil {
		return fmt.Sprintf("flaps: %s", outagesIn(f, e.at()))
	}
	first, down := e.outages[0].Incident.Since, time.Duration(0)
	for _, o := range e.outages {
		down += o.Incident.Lasted
	}
	now := "is up now"
	switch last := e.incident; {
	case last.Until.IsZero():
		now = "is down now"
	case last.Unwatched != "":
		now = "is no longer reported"
	}
	whole := e.at().Sub(first)
	share := ""
	if whole > 0 {
		share = fmt.Sprintf(", %d %% down", min(100, 100*down/whole))
	}
	return fmt.Sprintf("flaps: %d outages in %s%s, %s", len(e.outages), span(whole), share, now)
}

// outagesIn says what a target did that flapped until at.
func outagesIn(f *incident.Flaps, at time.Time) string {
	return fmt.Sprintf("%d outages in %s, %.0f %% down", f.Outages, span(at.Sub(f.Since)), 100*f.Share(at))
}

// firstLine is the old script's body.
func (e entry) firstLine() string {
	i := e.incident
	says := "The server is down."
	if opinion := i.Opinion(); opinion != "" {
		says = "The server is " + opinion + "."
		if i.Scope == incident.ScopeIsolated {
			says = "The server is down, and " + opinion + "."
		}
	}
	switch e.status {
	case isStillDown:
		says = "The server is still down, since " + asctime(i.Since) + "."
	case isUp:
		says = "The server is up again."
		if i.Flaps != nil {
			says = "The server is up again, after " + outagesIn(i.Flaps, i.Until) + "."
		}
	case wasDown:
		says = "The server is up again; it was down from " + asctime(i.Since) + " to " + asctime(i.Until) + "."
	case isUnwatched:
		says = "The server is no longer reported: " + i.Unwatched + ". It was down since " + asctime(i.Since) + "."
	case flaps:
		says = "The server " + e.flapping() + "."
	case expires:
		says = "The server's certificate expires " + asctime(i.Expiry) + "."
	}
	return fmt.Sprintf("Server Monitor: Performed a health-check running a %s test against %s. %s", test(i), serverInfo(i), says)
}

// line is the entry in a list, with its module where that is needed to tell it from another.
func (e entry) line(module bool) string {
	i := e.incident
	head := fmt.Sprintf("%s (module %s)", server(i), incident.Clean(i.Module, 100))
	if !module {
		head = server(i)
	}
	switch e.status {
	case expires:
		return fmt.Sprintf("%s expires %s", head, stamp(i.Expiry))
	case isUnwatched:
		return fmt.Sprintf("%s since %s: %s; %s", head, stamp(i.Since), words(i.Reason), i.Unwatched)
	case isUp, wasDown:
		return fmt.Sprintf("%s %s to %s: %s", head, stamp(i.Since), stamp(i.Until), words(i.Reason))
	case flaps:
		return fmt.Sprintf("%s %s", head, e.flapping())
	default:
		reason := words(i.Reason)
		if i.Scope == incident.ScopeHere {
			reason += "," + e.scope()
		}
		return fmt.Sprintf("%s since %s: %s", head, stamp(i.Since), reason)
	}
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

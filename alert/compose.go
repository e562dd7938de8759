package alert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// The bounds of one mail. What does not fit waits for the next.
const (
	maxItemsPerMail = 5000
	maxDetailed     = 10  // incidents told in full; of more, a line each
	maxTarget       = 300 // bytes of a target in a mail
	maxReferences   = 10
)

// letterhead is what every mail of one exporter has in common.
type letterhead struct {
	host          string // this machine
	externalURL   string // of the exporter's own pages; empty: unknown
	from          Address
	subjectPrefix string
}

// letter is a mail before it is encoded.
type letter struct {
	to         Address
	subject    string
	body       string
	messageID  string   // without <>
	references []string // the mails that it answers
	at         time.Time
}

// status is what a mail has to say about one item.
type status uint8

const (
	isDown status = iota
	isStillDown
	isUp
	wasDown     // its beginning and its end at once
	isUnwatched // with its beginning, should nobody have heard of it
	endsSoon
)

// statusOf says how to tell an item to somebody who was, or was not, told of the incident's beginning: an end whose
// beginning nobody heard of is told as a whole.
func statusOf(it *item, told map[string]string) status {
	_, heard := told[it.Incident.ID]
	switch {
	case it.Cert:
		return endsSoon
	case it.Incident.Unwatched != "":
		return isUnwatched
	case it.Up && (it.Down || !heard):
		return wasDown
	case it.Up:
		return isUp
	case it.Down:
		return isDown
	default:
		return isStillDown
	}
}

// write makes the one letter that tells all items, and how much more there was.
func (l letterhead) write(to Address, items []*item, more excess, told map[string]string, now time.Time) letter {
	out := letter{to: to, at: now, messageID: l.messageID(to, items, more)}
	seen := make(map[string]bool)
	for _, it := range items {
		if id := told[it.Incident.ID]; id != "" && !seen[id] && len(out.references) < maxReferences {
			seen[id] = true
			out.references = append(out.references, id)
		}
	}
	var b strings.Builder
	if len(items) == 1 && more.total() == 0 {
		s := statusOf(items[0], told)
		out.subject = l.subjectPrefix + subject(s, items[0].Incident)
		fmt.Fprintf(&b, "%s\n\n", firstLine(s, items[0].Incident))
		l.details(&b, s, items[0].Incident)
	} else {
		summary, at := summarise(items, more, told)
		out.subject = fmt.Sprintf("%s%s: %s", l.subjectPrefix, asctime(at), summary)
		fmt.Fprintf(&b, "Server Monitor: %s.\n\n", summary)
		more.write(&b)
		l.list(&b, items, told)
	}
	fmt.Fprintf(&b, "-- \nrollcall on %s\n", l.host)
	if l.externalURL != "" {
		fmt.Fprintf(&b, "%s\n", l.externalURL)
	}
	out.body = b.String()
	return out
}

// messageID depends on nothing but what is told to whom, so that a retry, also after a crash, carries the same.
func (l letterhead) messageID(to Address, items []*item, more excess) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", to)
	for _, it := range items {
		i := it.Incident
		fmt.Fprintf(h, "%s %t %t %t %d %d\n", i.ID, it.Down, it.Up, it.Reminder, i.Since.UnixNano(), i.Reminded.UnixNano())
	}
	if more.total() > 0 {
		fmt.Fprintf(h, "%d %d %d %d\n", more.Down, more.Up, more.Unwatched, more.Since.UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:16]) + "@" + l.host
}

// server is the old script's way to name a target: test type and server-info, which for tcp is host:port.
func server(i *incident) string { return test(i) + " " + serverInfo(i) }

func test(i *incident) string { return strings.ToUpper(i.Prober) }

func serverInfo(i *incident) string {
	info := i.Target
	if i.Prober == "tcp" {
		info = strings.TrimPrefix(info, "tcp://")
	}
	return clean(info, maxTarget)
}

// at is when that which the status says came to be.
func (s status) at(i *incident) time.Time {
	switch s {
	case isStillDown:
		return i.Reminded
	case isUp, wasDown, isUnwatched:
		return i.Until
	default:
		return i.Since
	}
}

// subject is the old script's line, for one target.
func subject(s status, i *incident) string {
	var says string
	switch s {
	case isDown:
		says = "is down"
	case isStillDown:
		says = "is still down"
	case isUp:
		says = "is up again"
	case wasDown:
		says = "was down for " + span(i.Until.Sub(i.Since))
	case isUnwatched:
		says = "is no longer watched"
	case endsSoon:
		return fmt.Sprintf("%s: the certificate of %s ends %s", asctime(s.at(i)), serverInfo(i), asctime(i.Expiry))
	}
	return fmt.Sprintf("%s: %s %s", asctime(s.at(i)), server(i), says)
}

// firstLine is the old script's body.
func firstLine(s status, i *incident) string {
	says := "The server is down."
	switch s {
	case isDown:
	case isStillDown:
		says = "The server is still down, since " + asctime(i.Since) + "."
	case isUp:
		says = "The server is up again."
	case wasDown:
		says = "The server is up again; it was down from " + asctime(i.Since) + " to " + asctime(i.Until) + "."
	case isUnwatched:
		says = "The server is no longer watched: " + i.Unwatched + ". It was down since " + asctime(i.Since) + "."
	case endsSoon:
		says = "The server's certificate ends " + asctime(i.Expiry) + "."
	}
	return fmt.Sprintf("Server Monitor: Performed a health-check running a %s test against %s. %s", test(i), serverInfo(i), says)
}

// details tells one incident in full.
func (l letterhead) details(b *strings.Builder, s status, i *incident) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-13s%s\n", name, fmt.Sprintf(format, args...))
	}
	row("Target:", "%s", clean(i.Target, maxTarget))
	row("Test:", "%s, module %s", test(i), clean(i.Module, 100))
	if s == endsSoon {
		row("Certificate:", "ends %s, in %s", asctime(i.Expiry), span(i.Expiry.Sub(i.Since)))
	} else {
		row("Down since:", "%s", asctime(i.Since))
		if i.Unwatched != "" {
			row("Unwatched:", "since %s: %s", asctime(i.Until), i.Unwatched)
		} else if !i.Until.IsZero() {
			row("Up since:", "%s, after %s", asctime(i.Until), span(i.Until.Sub(i.Since)))
		}
		if i.UpFor > 0 {
			row("Before that:", "up for %s", span(i.UpFor))
		}
		if i.Reason != "" {
			row("Reason:", "%s (at stage %s)", i.Reason, i.Stage)
			row("", "%s", clean(i.Detail, maxDetail))
		}
		if i.Summed > 0 {
			row("Also:", "down %s before that, since %s", plural(i.Summed, "time", "times"), asctime(i.SummedAll))
		}
	}
	if len(i.Recent) > 0 {
		fmt.Fprintf(b, "\nLast results:\n")
		for _, o := range i.Recent {
			says := "up"
			if o.Reason != "" {
				says = fmt.Sprintf("down  %s (at stage %s)", o.Reason, o.Stage)
			}
			fmt.Fprintf(b, "  %s  %6.3fs  %s\n", asctime(time.Unix(0, o.At)), o.Took.Seconds(), says)
		}
	}
	if link := l.link(i); link != "" {
		fmt.Fprintf(b, "\nLatest probe: %s\n", link)
	}
	b.WriteByte('\n')
}

func (l letterhead) link(i *incident) string {
	if l.externalURL == "" {
		return ""
	}
	return l.externalURL + "/logs?" + url.Values{"target": {i.Target}, "module": {i.Module}}.Encode()
}

// headings are the parts of a letter about several targets, in the order of their urgency.
var headings = [...]struct {
	status    status
	title     string
	one, many string
}{
	{isDown, "Down", "server is down", "servers are down"},
	{isStillDown, "Still down", "server is still down", "servers are still down"},
	{endsSoon, "Certificate ends soon", "certificate ends soon", "certificates end soon"},
	{wasDown, "Was down, is up again", "server was down", "servers were down"},
	{isUnwatched, "No longer watched", "server is no longer watched", "servers are no longer watched"},
	{isUp, "Up again", "server is up again", "servers are up again"},
}

// summarise is the one sentence about several targets, and when the first of it happened.
func summarise(items []*item, more excess, told map[string]string) (string, time.Time) {
	count := make(map[status]int)
	var at time.Time
	for _, it := range items {
		s := statusOf(it, told)
		count[s]++
		if t := s.at(it.Incident); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	var parts []string
	for _, h := range headings {
		if n := count[h.status]; n > 0 {
			parts = append(parts, plural(n, h.one, h.many))
		}
	}
	for _, p := range more.parts() {
		parts = append(parts, fmt.Sprintf("%d more %s", p.n, p.says))
	}
	return strings.Join(parts, ", "), at
}

// list tells several incidents: a line each, and the most urgent ones in full as well.
func (l letterhead) list(b *strings.Builder, items []*item, told map[string]string) {
	by := make(map[status][]*item)
	for _, it := range items {
		s := statusOf(it, told)
		by[s] = append(by[s], it)
	}
	for _, h := range headings {
		if len(by[h.status]) == 0 {
			continue
		}
		fmt.Fprintf(b, "%s:\n", h.title)
		for _, it := range by[h.status] {
			fmt.Fprintf(b, "  %s\n", line(h.status, it.Incident))
		}
		b.WriteByte('\n')
	}
	if len(items) > maxDetailed {
		return
	}
	for _, h := range headings {
		for _, it := range by[h.status] {
			fmt.Fprintf(b, "%s\n\n", subject(h.status, it.Incident))
			l.details(b, h.status, it.Incident)
		}
	}
}

func line(s status, i *incident) string {
	head := fmt.Sprintf("%s (module %s)", server(i), clean(i.Module, 100))
	switch s {
	case endsSoon:
		return fmt.Sprintf("%s ends %s", head, asctime(i.Expiry))
	case isUnwatched:
		head = fmt.Sprintf("%s since %s: %s; %s", head, asctime(i.Since), i.Reason, i.Unwatched)
	case isUp, wasDown:
		head = fmt.Sprintf("%s %s to %s: %s", head, asctime(i.Since), asctime(i.Until), i.Reason)
	default:
		head = fmt.Sprintf("%s since %s: %s", head, asctime(i.Since), i.Reason)
	}
	if i.Summed > 0 {
		head += fmt.Sprintf(", and %s before that", plural(i.Summed, "time", "times"))
	}
	return head
}

// encode makes the letter a message for the wire. What it quotes is data: clean has taken the control characters out,
// headers are encoded words and the body is quoted-printable.
func (l letterhead) encode(m letter) ([]byte, error) {
	msg := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP), gomail.WithNoDefaultUserAgent())
	from := l.from.header(l.host)
	from.Name = "Rollcall"
	msg.FromMailAddress(from)
	msg.ToMailAddress(m.to.header(l.host))
	// Its own folding, because go-mail's loses one of two spaces where it breaks a line, and asctime has two.
	msg.SetGenHeaderPreformatted(gomail.HeaderSubject, fold(mime.QEncoding.Encode("utf-8", notEncoded(m.subject)), len("Subject: ")))
	msg.SetDateWithValue(m.at)
	msg.SetMessageIDWithValue(m.messageID)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation replies
	if len(m.references) > 0 {
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+m.references[0]+">")
		msg.SetGenHeader(gomail.HeaderReferences, "<"+strings.Join(m.references, "> <")+">")
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.body)
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("composing a mail: %w", err)
	}
	return b.Bytes(), nil
}

// notEncoded keeps a reader from taking a target that looks like an encoded word (RFC 2047) for one. go-mail, like
// mime.WordEncoder, leaves ASCII as it is.
func notEncoded(s string) string {
	if strings.Contains(s, "?=") {
		return strings.ReplaceAll(s, "=?", "= ?")
	}
	return s
}

// fold breaks a header into lines of about 76 bytes (RFC 5322, 2.2.3); used is what stands before s on the first line.
// It breaks at single spaces only, because some readers make one space of all that is around a break.
func fold(s string, used int) string {
	var b strings.Builder
	for len(s) > 0 {
		end := len(s) // of the spaces and the word that come next
		word := len(s) - len(strings.TrimLeft(s, " "))
		if i := strings.IndexByte(s[word:], ' '); i >= 0 {
			end = word + i
		}
		if word == 1 && b.Len() > 0 && used+end > 76 {
			b.WriteString("\r\n")
			used = 0
		}
		b.WriteString(s[:end])
		if used += end; strings.Contains(s[:end], "\r\n") { // encoded words come folded
			used = end - strings.LastIndex(s[:end], "\n")
		}
		s = s[end:]
	}
	return b.String()
}

package mail

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

// epoch is when the tests begin; what they compare does not depend on it.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var sender = &Mailer{host: "probe", from: "rollcall@example.com"}

// story is one incident of a target: its beginning and its end.
func story(target string, n int) (down, up *incident.Incident) {
	since := epoch.Add(time.Duration(n) * time.Hour)
	down = &incident.Incident{
		ID: probe.Key{Module: "m", Target: target}.IncidentID(since), Subject: incident.Subject{Key: probe.Key{Module: "m", Target: target}, Prober: "tcp"},
		Since: since, Reason: "connection_refused", Stage: "connect",
	}
	ended := *down
	ended.Until, ended.Lasted = since.Add(7*time.Minute), 7*time.Minute
	return down, &ended
}

// news is what is owed of one target.
func news(outages ...outbox.Outage) *outbox.Notification {
	return &outbox.Notification{Key: outages[0].Incident.Key, Outages: outages}
}

func isDownNow(i *incident.Incident) *outbox.Notification {
	return news(outbox.Outage{Incident: i, Down: true})
}

func digest(n ...*outbox.Notification) *outbox.Digest {
	return &outbox.Digest{Notifications: n, Down: len(n), Targets: len(n), ExternalURL: "https://probe.example.com/rollcall", At: epoch}
}

// parsed is a mail as a strict reader sees it.
type parsed struct {
	header  mail.Header
	subject string
	body    string
}

func parse(t *testing.T, data []byte) parsed {
	t.Helper()
	if i := bytes.IndexByte(bytes.ReplaceAll(data, []byte("\r\n"), nil), '\n'); i >= 0 {
		t.Fatal("a line ends without CR")
	}
	for line := range strings.SplitSeq(string(data), "\r\n") {
		if len(line) > 998 {
			t.Fatalf("a line is %d bytes long", len(line))
		}
		for _, r := range line {
			if r >= utf8.RuneSelf || (r < ' ' && r != '\t') {
				t.Fatalf("the line %q holds %q", line, r)
			}
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("a strict reader refuses the mail: %v\n%s", err, data)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatalf("subject: %v", err)
	}
	body, err := io.ReadAll(decoded(m))
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	return parsed{m.Header, subject, strings.ReplaceAll(string(body), "\r\n", "\n")}
}

// decoded is a mail's body without its transfer encoding.
func decoded(m *mail.Message) io.Reader {
	if m.Header.Get("Content-Transfer-Encoding") == "7bit" {
		return m.Body
	}
	return quotedprintable.NewReader(m.Body)
}

func compose(t *testing.T, m *Mailer, to string, d *outbox.Digest) (parsed, *outbox.Message) {
	t.Helper()
	msg, err := m.Compose(to, d)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, msg.Parts[0]), msg
}

func sample() (down, up *incident.Incident) {
	down, up = story("host:9000", 0)
	for _, i := range []*incident.Incident{down, up} {
		i.Detail, i.UpFor = "connecting to 192.0.2.1:9000: connection refused", 76*time.Hour
		i.Recent = []incident.Outcome{
			{At: epoch.Add(-time.Minute).UnixNano(), Took: 3 * time.Millisecond},
			{At: epoch.UnixNano(), Took: 2 * time.Millisecond, Cause: &incident.Cause{Stage: probe.StageConnect, Reason: probe.ReasonConnectionRefused}},
		}
	}
	return down, up
}

func TestTCPSchemeIsNotPartOfTheServerInfo(t *testing.T) {
	down, _ := story("tcp://host:9000", 0)
	m, _ := compose(t, sender, "ops@example.com", digest(isDownNow(down)))
	if !strings.HasSuffix(m.subject, ": TCP host:9000 is down") || !strings.Contains(m.body, "host:9000. ") || !strings.Contains(m.body, "\nTarget:      tcp://host:9000\n") {
		t.Errorf("subject %q, body\n%s", m.subject, m.body)
	}
}

func TestMailIsWellMade(t *testing.T) {
	down, up := sample()
	_, first := compose(t, sender, "ops@example.com", digest(isDownNow(down)))
	later := digest(isDownNow(down))
	later.At = epoch.Add(time.Hour)
	if _, again := compose(t, sender, "ops@example.com", later); first.ID != again.ID {
		t.Errorf("a later attempt has Message-ID %s, the first had %s", again.ID, first.ID)
	}
	if _, other := compose(t, sender, "root@example.com", digest(isDownNow(down))); other.ID == first.ID {
		t.Error("another recipient's mail has the same Message-ID")
	}
	m, msg := compose(t, sender, "ops@example.com", digest(news(outbox.Outage{Incident: up, Up: true, MessageID: first.ID})))
	for name, want := range map[string]string{
		"From":                      `"Rollcall" <rollcall@example.com>`,
		"To":                        `<ops@example.com>`,
		"Date":                      epoch.Format(time.RFC1123Z),
		"Message-Id":                "<" + msg.ID + ">",
		"In-Reply-To":               "<" + first.ID + ">",
		"References":                "<" + first.ID + ">",
		"Auto-Submitted":            "auto-generated",
		"X-Auto-Response-Suppress":  "All",
		"Content-Type":              "text/plain; charset=UTF-8",
		"Content-Transfer-Encoding": "7bit",
		"Bcc":                       "",
	} {
		if got := m.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.HasSuffix(msg.ID, "@example.com") || msg.ID == first.ID {
		t.Errorf("Message-ID is %q", msg.ID)
	}
}

func TestSubjectsSayWhatHappened(t *testing.T) {
	down, up := sample()
	reminded, cert, left := *down, *down, *up
	reminded.Reminded = epoch.Add(6 * time.Hour)
	cert.Expiry = epoch.Add(48 * time.Hour)
	left.Unwatched = "it left the configuration"
	_, before := story("host:9000", -1)
	at := func(d time.Duration) string { return epoch.Add(d).Local().Format(time.ANSIC) }
	for name, c := range map[string]struct {
		news *outbox.Notification
		want string
		body string
	}{
		"down":      {isDownNow(down), at(0) + ": TCP host:9000 is down", "The server is down."},
		"up":        {news(outbox.Outage{Incident: up, Up: true, MessageID: "id@x"}), at(7*time.Minute) + ": TCP host:9000 is up again", "The server is up again."},
		"both":      {news(outbox.Outage{Incident: up, Up: true, Down: true}), at(7*time.Minute) + ": TCP host:9000 was down for 7m", "it was down from " + at(0) + " to " + at(7*time.Minute)},
		"reminder":  {news(outbox.Outage{Incident: &reminded, Reminder: true, MessageID: "id@x"}), at(6*time.Hour) + ": TCP host:9000 is still down", "still down, since " + at(0)},
		"expiry":    {&outbox.Notification{Key: cert.Key, Cert: &cert}, at(0) + ": the certificate of host:9000 expires " + at(48*time.Hour), "certificate expires"},
		"unwatched": {news(outbox.Outage{Incident: &left, Up: true, Down: true}), at(7*time.Minute) + ": TCP host:9000 is no longer reported", "no longer reported: it left the configuration"},
		"flaps, down now": {news(outbox.Outage{Incident: before, Up: true, MessageID: "id@x"}, outbox.Outage{Incident: down, Down: true}),
			at(0) + ": TCP host:9000 flaps: 2 outages in 1h, 12 % down, is down now", "The server flaps: 2 outages"},
		"flaps, up now": {news(outbox.Outage{Incident: before, Down: true, Up: true}, outbox.Outage{Incident: up, Down: true, Up: true}),
			at(7*time.Minute) + ": TCP host:9000 flaps: 2 outages in 1h7m, 21 % down, is up now", "The server flaps: 2 outages"},
	} {
		m, _ := compose(t, sender, "ops@example.com", digest(c.news))
		first, rest, _ := strings.Cut(m.body, "\n\n")
		first = strings.ReplaceAll(first, "\n", " ")
		if m.subject != c.want || !strings.HasPrefix(first, "Server Monitor: Performed a health-check running a TCP test against host:9000. ") || !strings.Contains(first, c.body) {
			t.Errorf("%s: subject %q, first line %q; want %q, …%q…", name, m.subject, first, c.want, c.body)
		}
		if both := "Outages:\n  " + at(-time.Hour)[4:19] + " to " + at(-53 * time.Minute)[4:19] + ": connection refused\n  " + at(0)[4:19] + " to "; strings.HasPrefix(name, "flaps") != strings.Contains(rest, both) {
			t.Errorf("%s: the outages are listed, or not:\n%s", name, rest)
		}
	}
}

// TestStormIsAMailThatCanBeRead: 5,000 targets of long and foreign names fail for two reasons, one flaps, and one is up
// again. The mail counts first, names who fits, and stays small.
func TestStormIsAMailThatCanBeRead(t *testing.T) {
	for _, name := range []string{"host-%04d:80", "xn--example-" + strings.Repeat("x", 200) + "-%04d:80", "пример-" + strings.Repeat("я", 120) + "-%04d:80"} {
		var all []*outbox.Notification
		for n := range 5000 {
			down, _ := story(fmt.Sprintf(name, 4999-n), 0)
			all = append(all, isDownNow(down))
		}
		_, other := story("other:80", 0)
		_, flap := story("flap:80", -1)
		again, _ := story("flap:80", 0)
		all = append(all, news(outbox.Outage{Incident: other, Down: true, Up: true}),
			news(outbox.Outage{Incident: flap, Down: true, Up: true}, outbox.Outage{Incident: again, Down: true}))
		d := digest(all...)
		d.Down, d.Targets, d.Reasons = 5101, 6000, map[probe.Reason]int{"timeout": 301, "connection_refused": 4800}
		m, msg := compose(t, sender, "ops@example.com", d)
		if want := ": 5000 servers are down (5101 in all), 1 server flaps, 1 server was down"; !strings.HasSuffix(m.subject, want) {
			t.Errorf("subject %q, want …%q", m.subject, want)
		}
		if want := ".\n\nNow 5101 of 6000 watched are down: 4800 connection refused, 301 timeout.\n\nDown:\n  TCP " + fmt.Sprintf(name, 0); !strings.Contains(m.body, want) {
			t.Errorf("the body does not say %q:\n%.1000s", want, m.body)
		}
		if lines := strings.Count(m.body, "\n"); lines > 200 || lines < 40 || len(msg.Parts[0]) > 100_000 {
			t.Errorf("it has %d lines and %d bytes", lines, len(msg.Parts[0]))
		}
		if !strings.Contains(m.body, " more: https://probe.example.com/rollcall\n") {
			t.Error("it does not say where the rest is")
		}
		if len(msg.Says) != 5003 {
			t.Errorf("it counts as having told %d incidents", len(msg.Says))
		}
	}
}

func TestMailSaysWhatIsOnlyCounted(t *testing.T) {
	down, _ := story("host:1", 0)
	d := digest(isDownNow(down))
	_, without := compose(t, sender, "ops@example.com", d)
	d.Overflow = 12
	m, msg := compose(t, sender, "ops@example.com", d)
	if want := ": 1 server is down, 12 more outages are over"; !strings.HasSuffix(m.subject, want) {
		t.Errorf("the subject is %q, want …%q", m.subject, want)
	}
	if want := "Too much waited to name everything:\n12 outages that are over are only counted.\n\nDown:\n  TCP host:1 "; !strings.Contains(m.body, want) {
		t.Errorf("the body is\n%s\nwant\n%s", m.body, want)
	}
	if msg.ID == without.ID || msg.Overflow != 12 {
		t.Error("another mail has the same Message-ID, or it does not count as told")
	}
}

func TestPrefixAndFoldingKeepTheSubject(t *testing.T) {
	for n := range 100 { // wherever the header is folded, also at the double space of "Mar  1"
		s := *sender
		s.subjectPrefix = strings.Repeat("x", n+1) + " "
		down, _ := sample()
		m, _ := compose(t, &s, "ops@example.com", digest(isDownNow(down)))
		if want := s.subjectPrefix + asctime(epoch) + ": TCP host:9000 is down"; m.subject != want {
			t.Fatalf("subject %q, want %q", m.subject, want)
		}
	}
}

func TestLocalUserGetsAnAddressInTheHeader(t *testing.T) {
	down, _ := sample()
	m, _ := compose(t, sender, "root", digest(isDownNow(down)))
	if got := m.header.Get("To"); got != "<root@probe>" {
		t.Errorf("To: %s", got)
	}
}

func TestSenderIsThisMachineUnlessNamed(t *testing.T) {
	o := &Options{To: []Address{"ops@example.com"}}
	o.SetDefaults()
	if m := New(o); m.from != Address("rollcall@"+qualified(hostname())) {
		t.Errorf("from %s", m.from)
	}
	o.From = "me@example.com"
	if m := New(o); m.from != "me@example.com" {
		t.Errorf("from %s", m.from)
	}
}

// TestSenderWithoutAFullNameIsALiteral: a server may refuse a sender whose domain is no full name. The mail that has the
// literal is one that a strict reader takes.
func TestSenderWithoutAFullNameIsALiteral(t *testing.T) {
	s := *sender
	s.from = Address("rollcall@" + literal(net.IPv4(192, 0, 2, 7)))
	down, _ := sample()
	m, _ := compose(t, &s, "ops@example.com", digest(isDownNow(down)))
	from, err := mail.ParseAddress(m.header.Get("From"))
	if err != nil || from.Address != "rollcall@[192.0.2.7]" || !strings.HasSuffix(m.header.Get("Message-Id"), "@[192.0.2.7]>") {
		t.Errorf("from %v, %v; Message-ID %s", from, err, m.header.Get("Message-Id"))
	}
	if domain := senderDomain("no-such-host"); !strings.HasPrefix(domain, "[") && domain != "no-such-host" {
		t.Errorf("this machine is %s", domain)
	}
	if domain := senderDomain("probe.example.com"); domain != "probe.example.com" {
		t.Errorf("a full name became %s", domain)
	}
}

// FuzzCompose: whatever a target, a module or a remote answer holds, the mail has the headers it should have and no
// other, and its text is the letter's.
func FuzzCompose(f *testing.F) {
	f.Add("host:1\r\nBcc: x@y", "m", "220 hello\r\nBcc: x@y\r\n\r\nbody", "")
	f.Add("=?utf-8?q?x?=", "\x00", "\r\n.\r\nQUIT\r\n", "[a] ")
	f.Add("\u202egnp.exe", "ünïcode", "\xff\xfe", "=?")
	f.Add(strings.Repeat("a", 5000), strings.Repeat("é", 300), strings.Repeat("\n", 2000), " ")
	f.Add("a  b\t c", " m ", "\u2028", "prefix  with  spaces  ")
	f.Add("\xff", "m", "", "=?")
	f.Fuzz(func(t *testing.T, target, module, detail, prefix string) {
		s := *sender
		if OneLine(prefix, 100) == nil && utf8.ValidString(prefix) {
			s.subjectPrefix = prefix
		}
		down, up := story(probe.Key{Target: target}.Redacted().Target, 0)
		down.Module, down.Detail, up.Module, up.Hostname = module, detail, module, target
		for _, d := range []*outbox.Digest{digest(isDownNow(down)), digest(isDownNow(down), news(outbox.Outage{Incident: up, Up: true, Down: true}))} {
			letter := s.write("ops@example.com", d)
			data, err := s.encode(letter)
			if err != nil {
				t.Fatal(err)
			}
			m := parse(t, data)
			for name := range m.header {
				switch name {
				case "From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "X-Auto-Response-Suppress", "Mime-Version", "Content-Type", "Content-Transfer-Encoding":
				default:
					t.Errorf("there is a header %s", name)
				}
			}
			if strings.IndexFunc(m.subject, incident.IsControl) >= 0 {
				t.Errorf("the subject %q holds control characters", m.subject)
			}
			if strings.TrimSpace(m.subject) != strings.TrimSpace(notEncoded(letter.subject)) {
				t.Errorf("subject %q, want %q", m.subject, letter.subject)
			}
			if m.body != letter.body {
				t.Errorf("body (-want +got):\n%s", cmp.Diff(letter.body, m.body))
			}
		}
	})
}

package alert

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"rollcall/probe"
)

var head = letterhead{host: "probe.example.com", externalURL: "https://probe.example.com/rollcall", from: "rollcall@example.com"}

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
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	return parsed{m.Header, subject, strings.ReplaceAll(string(body), "\r\n", "\n")}
}

func compose(t *testing.T, l letterhead, told map[string]string, items ...*item) parsed {
	t.Helper()
	data, err := l.encode(l.write("ops@example.com", items, excess{}, told, epoch))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, data)
}

func sample() (down, up *incident) {
	down, up = story("host:9000", 0)
	for _, i := range []*incident{down, up} {
		i.Detail, i.UpFor = "connecting to 192.0.2.1:9000: connection refused", 76*time.Hour
		i.Recent = []outcome{
			{At: epoch.Add(-time.Minute).UnixNano(), Took: 3 * time.Millisecond},
			{At: epoch.UnixNano(), Took: 2 * time.Millisecond, Stage: probe.StageConnect, Reason: probe.ReasonConnectionRefused},
		}
	}
	return down, up
}

func TestDownMailIsTheOldScripts(t *testing.T) {
	down, _ := sample()
	m := compose(t, head, nil, &item{Incident: down, Down: true})
	at := down.Since.Local().Format("Mon Jan _2 15:04:05 2006")
	if want := at + ": TCP host:9000 is down"; m.subject != want {
		t.Errorf("subject %q, want %q", m.subject, want)
	}
	minute := epoch.Add(-time.Minute).Local().Format(time.ANSIC)
	want := `Server Monitor: Performed a health-check running a TCP test against host:9000. The server is down.

Target:      host:9000
Test:        TCP, module m
Down since:  ` + at + `
Before that: up for 3d4h
Reason:      connection_refused (at stage connect)
             connecting to 192.0.2.1:9000: connection refused

Last results:
  ` + minute + `   0.003s  up
  ` + at + `   0.002s  down  connection_refused (at stage connect)

Latest probe: https://probe.example.com/rollcall/logs?module=m&target=host%3A9000

-- 
rollcall on probe.example.com
https://probe.example.com/rollcall
`
	if diff := cmp.Diff(want, m.body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestTCPSchemeIsNotPartOfTheServerInfo(t *testing.T) {
	down, _ := story("tcp://host:9000", 0)
	m := compose(t, head, nil, &item{Incident: down, Down: true})
	if !strings.HasSuffix(m.subject, ": TCP host:9000 is down") || !strings.Contains(m.body, "against host:9000. ") || !strings.Contains(m.body, "\nTarget:      tcp://host:9000\n") {
		t.Errorf("subject %q, body\n%s", m.subject, m.body)
	}
}

func TestMailIsWellMade(t *testing.T) {
	down, up := sample()
	first := head.write("ops@example.com", []*item{{Incident: down, Down: true}}, excess{}, nil, epoch)
	again := head.write("ops@example.com", []*item{{Incident: down, Down: true}}, excess{}, nil, epoch.Add(time.Hour))
	if first.messageID != again.messageID {
		t.Errorf("a later attempt has Message-ID %s, the first had %s", again.messageID, first.messageID)
	}
	if other := head.write("root@example.com", []*item{{Incident: down, Down: true}}, excess{}, nil, epoch); other.messageID == first.messageID {
		t.Error("another recipient's mail has the same Message-ID")
	}
	m := compose(t, head, map[string]string{down.ID: first.messageID}, &item{Incident: up, Up: true})
	for name, want := range map[string]string{
		"From":                      `"Rollcall" <rollcall@example.com>`,
		"To":                        `<ops@example.com>`,
		"Date":                      epoch.Format(time.RFC1123Z),
		"In-Reply-To":               "<" + first.messageID + ">",
		"References":                "<" + first.messageID + ">",
		"Auto-Submitted":            "auto-generated",
		"Content-Type":              "text/plain; charset=UTF-8",
		"Content-Transfer-Encoding": "quoted-printable",
		"Bcc":                       "",
	} {
		if got := m.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if id := m.header.Get("Message-Id"); !strings.HasSuffix(id, "@probe.example.com>") || id == "<"+first.messageID+">" {
		t.Errorf("Message-ID is %q", id)
	}
}

func TestSubjectsSayWhatHappened(t *testing.T) {
	down, up := sample()
	reminded := *down
	reminded.Reminded = epoch.Add(6 * time.Hour)
	cert := *down
	cert.Expiry = epoch.Add(48 * time.Hour)
	at := func(d time.Duration) string { return epoch.Add(d).Local().Format(time.ANSIC) }
	told := map[string]string{down.ID: "id@x"}
	for _, c := range []struct {
		told map[string]string
		item item
		want string
		body string
	}{
		{nil, item{Incident: down, Down: true}, at(0) + ": TCP host:9000 is down", "The server is down."},
		{told, item{Incident: up, Up: true}, at(7*time.Minute) + ": TCP host:9000 is up again", "The server is up again."},
		{nil, item{Incident: up, Up: true, Down: true}, at(7*time.Minute) + ": TCP host:9000 was down for 7m0s", "it was down from " + at(0) + " to " + at(7*time.Minute)},
		{nil, item{Incident: up, Up: true}, at(7*time.Minute) + ": TCP host:9000 was down for 7m0s", "it was down from"},
		{told, item{Incident: &reminded, Reminder: true}, at(6*time.Hour) + ": TCP host:9000 is still down", "still down, since " + at(0)},
		{nil, item{Incident: &cert, Cert: true}, at(0) + ": the certificate of host:9000 ends " + at(48*time.Hour), "certificate ends"},
	} {
		m := compose(t, head, c.told, &c.item)
		first, _, _ := strings.Cut(m.body, "\n")
		if m.subject != c.want || !strings.HasPrefix(first, "Server Monitor: Performed a health-check running a TCP test against host:9000. ") || !strings.Contains(first, c.body) {
			t.Errorf("subject %q, first line %q; want %q, …%q…", m.subject, first, c.want, c.body)
		}
	}
}

func TestStormIsListedWhole(t *testing.T) {
	var items []*item
	for n := range 500 {
		down, _ := story(fmt.Sprintf("host-%03d:80", n), 0)
		items = append(items, &item{Incident: down, Down: true})
	}
	_, up := story("other:80", 0)
	items = append(items, &item{Incident: up, Down: true, Up: true})
	m := compose(t, head, nil, items...)
	if want := ": 500 servers are down, 1 server was down"; !strings.HasSuffix(m.subject, want) {
		t.Errorf("subject %q, want …%q", m.subject, want)
	}
	for n := range 500 {
		if !strings.Contains(m.body, fmt.Sprintf("  TCP host-%03d:80 (module m) since ", n)) {
			t.Fatalf("target %d is not listed", n)
		}
	}
}

func TestPrefixAndFoldingKeepTheSubject(t *testing.T) {
	for n := range 100 { // wherever the header is folded, also at the double space of "Mar  1"
		l := head
		l.subjectPrefix = strings.Repeat("x", n+1) + " "
		down, _ := sample()
		m := compose(t, l, nil, &item{Incident: down, Down: true})
		if want := l.subjectPrefix + subject(isDown, down); m.subject != want {
			t.Fatalf("subject %q, want %q", m.subject, want)
		}
	}
}

func TestLocalUserGetsAnAddressInTheHeader(t *testing.T) {
	down, _ := sample()
	data, err := head.encode(head.write("root", []*item{{Incident: down, Down: true}}, excess{}, nil, epoch))
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, data).header.Get("To"); got != "<root@probe.example.com>" {
		t.Errorf("To: %s", got)
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
	f.Fuzz(func(t *testing.T, target, module, detail, prefix string) {
		l := head
		if oneLine(prefix, 100) == nil && utf8.ValidString(prefix) {
			l.subjectPrefix = prefix
		}
		down, up := story(identity(target), 0)
		down.Module, down.Detail, up.Module = module, detail, module
		for _, items := range [][]*item{{{Incident: down, Down: true}}, {{Incident: down, Down: true}, {Incident: up, Up: true, Down: true}}} {
			letter := l.write("ops@example.com", items, excess{}, nil, epoch)
			data, err := l.encode(letter)
			if err != nil {
				t.Fatal(err)
			}
			m := parse(t, data)
			for name := range m.header {
				switch name {
				case "From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "Mime-Version", "Content-Type", "Content-Transfer-Encoding":
				default:
					t.Errorf("there is a header %s", name)
				}
			}
			if strings.IndexFunc(m.subject, isControl) >= 0 {
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

package alert

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"
)

var testMessage = []byte("Subject: x\r\n\r\nServer Monitor: one line\r\n.\r\nafter a lone dot\r\n")

func client(s *mailServer, mode TLSMode) *smtpServer {
	return &smtpServer{options: SMTPOptions{Address: s.address, TLS: mode}, from: "rollcall@example.com", hello: "probe.example.com", timeout: 10 * time.Second}
}

func one(to Address) []envelope { return []envelope{{to, testMessage}} }

func TestSMTPDelivers(t *testing.T) {
	server := (&mailServer{}).start(t)
	if r := client(server, TLSNone).deliver(t.Context(), one("ops@example.com")); r[0].verdict != delivered {
		t.Fatalf("verdict %v: %v", r[0].verdict, r[0].err)
	}
	got := server.got()
	if len(got) != 1 || got[0].to != "ops@example.com" || !strings.HasPrefix(got[0].from, "FROM:<rollcall@example.com>") {
		t.Fatalf("got %+v", got)
	}
	if want := bytes.ReplaceAll(testMessage, []byte("\r\n"), []byte("\n")); !bytes.Equal(got[0].data, want) {
		t.Errorf("the message arrived as %q, want %q", got[0].data, want)
	}
}

// TestSMTPStallEndsByTheDeadline: wherever the server falls silent, the session ends in time, and nothing is taken
// for delivered.
func TestSMTPStallEndsByTheDeadline(t *testing.T) {
	secure, ca := selfSigned(t)
	for _, step := range []string{"greeting", "EHLO", "STARTTLS", "tls", "AUTH", "MAIL", "RCPT", "DATA", "dot"} {
		for _, how := range []string{"time", "context"} {
			t.Run(step+" by "+how, func(t *testing.T) {
				t.Parallel()
				server := (&mailServer{stallAt: step, secure: secure, extension: []string{"STARTTLS", "AUTH PLAIN"}, user: "u", password: "p"}).start(t)
				c := client(server, TLSStart)
				c.options.TLSConfig.CA, c.options.Username, c.options.Password = ca, "u", "p"
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if how == "time" {
					c.timeout = 200 * time.Millisecond
				} else {
					time.AfterFunc(200*time.Millisecond, cancel)
				}
				begin := time.Now()
				r := c.deliver(ctx, one("ops@example.com"))
				if took := time.Since(begin); took > 3*time.Second {
					t.Errorf("took %v", took)
				}
				want := postponed
				if step == "dot" {
					want = inDoubt
				}
				if r[0].verdict != want || r[0].err == nil {
					t.Errorf("verdict %v (%v), want %v", r[0].verdict, r[0].err, want)
				}
			})
		}
	}
}

func TestSMTPQuitThatStallsIsDelivered(t *testing.T) {
	server := (&mailServer{stallAt: "QUIT"}).start(t)
	begin := time.Now()
	if r := client(server, TLSNone).deliver(t.Context(), one("ops@example.com")); r[0].verdict != delivered {
		t.Errorf("verdict %v: %v", r[0].verdict, r[0].err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestSMTPRepliesAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		server *mailServer
		want   verdict
	}{
		"greeting 554":        {&mailServer{replies: map[string]string{"greeting": "554 go away"}}, postponed},
		"greeting 421":        {&mailServer{replies: map[string]string{"greeting": "421 later"}}, postponed},
		"garbage":             {&mailServer{replies: map[string]string{"greeting": "HTTP/1.1 400 Bad Request"}}, postponed},
		"endless greeting":    {&mailServer{endless: true}, postponed},
		"MAIL 451":            {&mailServer{replies: map[string]string{"MAIL": "451 try later"}}, postponed},
		"MAIL 550":            {&mailServer{replies: map[string]string{"MAIL": "550 no such sender"}}, refused},
		"RCPT 450":            {&mailServer{replies: map[string]string{"RCPT": "450 greylisted"}}, postponed},
		"RCPT 550":            {&mailServer{replies: map[string]string{"RCPT": "550 no such user"}}, refused},
		"RCPT 421":            {&mailServer{replies: map[string]string{"RCPT": "421 closing"}}, postponed},
		"DATA 554":            {&mailServer{replies: map[string]string{"DATA": "554 no"}}, refused},
		"DATA 452":            {&mailServer{replies: map[string]string{"DATA": "452 disk full"}}, postponed},
		"message 552":         {&mailServer{replies: map[string]string{"dot": "552 too large"}}, refused},
		"message 451":         {&mailServer{replies: map[string]string{"dot": "451 local error"}}, postponed},
		"hangs up at EHLO":    {&mailServer{hangUpAt: "EHLO"}, postponed},
		"hangs up at DATA":    {&mailServer{hangUpAt: "DATA"}, postponed},
		"hangs up at the end": {&mailServer{hangUpAt: "dot"}, inDoubt},
		"QUIT 500":            {&mailServer{replies: map[string]string{"QUIT": "500 what"}}, delivered},
		"hangs up at QUIT":    {&mailServer{hangUpAt: "QUIT"}, delivered},
		"EHLO unknown":        {&mailServer{replies: map[string]string{"EHLO": "502 not implemented"}}, delivered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := c.server.start(t)
			if r := client(server, TLSNone).deliver(t.Context(), one("ops@example.com")); r[0].verdict != c.want {
				t.Errorf("verdict %v (%v), want %v", r[0].verdict, r[0].err, c.want)
			}
		})
	}
}

func TestSMTPNobodyListens(t *testing.T) {
	c := client(&mailServer{address: "127.0.0.1:1"}, TLSNone)
	if r := c.deliver(t.Context(), one("ops@example.com")); r[0].verdict != postponed {
		t.Errorf("verdict %v (%v), want postponed", r[0].verdict, r[0].err)
	}
}

func TestSMTPOneRefusedRecipientHoldsBackNobody(t *testing.T) {
	server := (&mailServer{rcpt: map[string]string{"gone@example.com": "550 no such user", "grey@example.com": "450 greylisted"}}).start(t)
	r := client(server, TLSNone).deliver(t.Context(), []envelope{
		{"gone@example.com", testMessage}, {"a@example.com", testMessage}, {"grey@example.com", testMessage}, {"b@example.com", testMessage},
	})
	for i, want := range []verdict{refused, delivered, postponed, delivered} {
		if r[i].verdict != want {
			t.Errorf("recipient %d: verdict %v (%v), want %v", i, r[i].verdict, r[i].err, want)
		}
	}
	if got := server.got(); len(got) != 2 || got[0].to != "a@example.com" || got[1].to != "b@example.com" {
		t.Errorf("got %+v", got)
	}
}

func TestSMTPSessionThatBreaksPostponesTheRest(t *testing.T) {
	server := (&mailServer{rcpt: map[string]string{"b@example.com": "421 shutting down"}}).start(t)
	r := client(server, TLSNone).deliver(t.Context(), []envelope{{"a@example.com", testMessage}, {"b@example.com", testMessage}, {"c@example.com", testMessage}})
	for i, want := range []verdict{delivered, postponed, postponed} {
		if r[i].verdict != want {
			t.Errorf("recipient %d: verdict %v (%v), want %v", i, r[i].verdict, r[i].err, want)
		}
	}
}

func TestSMTPEncryption(t *testing.T) {
	secure, ca := selfSigned(t)
	for name, c := range map[string]struct {
		server *mailServer
		mode   TLSMode
		ca     string
		want   verdict
		says   string
	}{
		"starttls":                          {&mailServer{secure: secure, extension: []string{"STARTTLS"}}, TLSStart, ca, delivered, ""},
		"starttls that somebody removed":    {&mailServer{}, TLSStart, ca, postponed, "does not offer STARTTLS"},
		"starttls refused":                  {&mailServer{extension: []string{"STARTTLS"}, replies: map[string]string{"STARTTLS": "454 not now"}}, TLSStart, ca, postponed, "454"},
		"starttls with an unknown issuer":   {&mailServer{secure: secure, extension: []string{"STARTTLS"}}, TLSStart, "", postponed, "unknown authority; one of your own is named by tls_config: ca_file"},
		"implicit":                          {&mailServer{secure: secure, implicit: true}, TLSImplicit, ca, delivered, ""},
		"implicit with an unknown issuer":   {&mailServer{secure: secure, implicit: true}, TLSImplicit, "", postponed, "ca_file"},
		"implicit to a server that is not":  {&mailServer{}, TLSImplicit, ca, postponed, "a server that begins in clear wants tls: starttls"},
		"starttls to a server that is not":  {&mailServer{secure: secure, implicit: true}, TLSStart, ca, postponed, "waits for us: tls: implicit"},
		"none to a server that offers more": {&mailServer{secure: secure, extension: []string{"STARTTLS"}}, TLSNone, "", delivered, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := c.server.start(t)
			m := client(server, c.mode)
			m.options.TLSConfig = config.TLSConfig{CA: c.ca}
			if c.mode == TLSStart && server.implicit {
				m.timeout = 300 * time.Millisecond // both wait
			}
			r := m.deliver(t.Context(), one("ops@example.com"))
			if r[0].verdict != c.want || (c.says != "" && !strings.Contains(r[0].err.Error(), c.says)) {
				t.Errorf("verdict %v (%v), want %v that says %q", r[0].verdict, r[0].err, c.want, c.says)
			}
			if c.want != delivered && len(server.got()) != 0 {
				t.Error("a message went out all the same")
			}
		})
	}
}

func TestSMTPAuth(t *testing.T) {
	secure, ca := selfSigned(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		offers, password, file string
		want                   string // what the server saw
		verdict                verdict
	}{
		"PLAIN":                  {"AUTH PLAIN", "hunter2", "", "PLAIN encrypted=true ok=true", delivered},
		"LOGIN":                  {"AUTH LOGIN", "hunter2", "", "LOGIN encrypted=true ok=true", delivered},
		"CRAM-MD5":               {"AUTH CRAM-MD5", "hunter2", "", "CRAM-MD5 encrypted=true ok=true", delivered},
		"PLAIN is preferred":     {"AUTH CRAM-MD5 LOGIN PLAIN", "hunter2", "", "PLAIN encrypted=true ok=true", delivered},
		"from a file":            {"AUTH PLAIN", "", file, "PLAIN encrypted=true ok=true", delivered},
		"a wrong password":       {"AUTH PLAIN", "wrong", "", "PLAIN encrypted=true ok=false", postponed},
		"a wrong password LOGIN": {"AUTH LOGIN", "wrong", "", "LOGIN encrypted=true ok=false", postponed},
		"nothing known":          {"AUTH GSSAPI", "hunter2", "", "", postponed},
		"no AUTH at all":         {"SIZE", "hunter2", "", "", postponed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := (&mailServer{secure: secure, user: "rollcall", password: "hunter2", extension: []string{"STARTTLS", c.offers}}).start(t)
			m := client(server, TLSStart)
			m.options.TLSConfig.CA = ca
			m.options.Username, m.options.Password, m.options.PasswordFile = "rollcall", config.Secret(c.password), c.file
			r := m.deliver(t.Context(), one("ops@example.com"))
			server.mu.Lock()
			defer server.mu.Unlock()
			if saw := strings.Join(server.secrets, "; "); r[0].verdict != c.verdict || saw != c.want {
				t.Errorf("verdict %v (%v), the server saw %q; want %v and %q", r[0].verdict, r[0].err, saw, c.verdict, c.want)
			}
			if r[0].err != nil && strings.Contains(r[0].err.Error(), "hunter2") {
				t.Errorf("the error tells the password: %v", r[0].err)
			}
		})
	}
}

func TestTranscriptShowsEachStepAndNoPassword(t *testing.T) {
	secure, ca := selfSigned(t)
	server := (&mailServer{secure: secure, user: "rollcall", password: "hunter2", extension: []string{"STARTTLS", "AUTH LOGIN"}}).start(t)
	m := client(server, TLSStart)
	m.options.TLSConfig.CA, m.options.Username, m.options.Password = ca, "rollcall", "hunter2"
	c := &Config{host: "probe.example.com", email: &emailConfig{to: []Address{"ops@example.com"}, from: m.from, mailer: m}}
	var b bytes.Buffer
	if err := c.Test(t.Context(), &b, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"C: EHLO probe.example.com", "C: STARTTLS", "TLS 1.3", "C: MAIL FROM:<rollcall@example.com>", "C: RCPT TO:<ops@example.com>", "S: 250 ok", "queued as 4711", "C: QUIT", "   sent"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the transcript lacks %q", want)
		}
	}
	for _, secret := range []string{"hunter2", "aHVudGVyMg", "cm9sbGNhbGw"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("the transcript shows %q", secret)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
}

func TestTestMailThatIsRefusedSaysWhy(t *testing.T) {
	server := (&mailServer{rcpt: map[string]string{"ops@example.com": "550 5.1.1 no such user"}}).start(t)
	m := client(server, TLSNone)
	c := &Config{host: "h", email: &emailConfig{to: []Address{"ops@example.com"}, from: m.from, mailer: m}}
	var b bytes.Buffer
	if err := c.Test(t.Context(), &b, ""); err == nil || !strings.Contains(err.Error(), "no such user") || !strings.Contains(b.String(), "S: 550") {
		t.Errorf("error %v, transcript:\n%s", err, b.String())
	}
}

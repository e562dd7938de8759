package mail

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/alert/outbox"
)

var testMessage = []byte("Subject: x\r\n\r\nServer Monitor: one line\r\n.\r\nafter a lone dot\r\n")

func client(s *mailServer, mode TLSMode) *smtpServer {
	return &smtpServer{options: SMTPOptions{Address: s.address, TLS: mode}, from: "rollcall@example.com", host: "probe.example.com", limits: every(10 * time.Second)}
}

// every gives each step the same time.
func every(d time.Duration) limits { return limits{d, d, d, d, d, d} }

func TestSMTPDelivers(t *testing.T) {
	server := (&mailServer{}).start(t)
	if r := client(server, TLSNone).deliver(t.Context(), "ops@example.com", testMessage, io.Discard); r.Verdict != outbox.Delivered {
		t.Fatalf("verdict %v: %v", r.Verdict, r.Err)
	}
	got := server.got()
	if len(got) != 1 || got[0].to != "ops@example.com" || !strings.HasPrefix(got[0].from, "FROM:<rollcall@example.com>") {
		t.Fatalf("got %+v", got)
	}
	if want := bytes.ReplaceAll(testMessage, []byte("\r\n"), []byte("\n")); !bytes.Equal(got[0].data, want) {
		t.Errorf("the message arrived as %q, want %q", got[0].data, want)
	}
}

// TestSMTPServerThatRepeatsThePassword knows it from an earlier session, and says it in every step.
func TestSMTPServerThatRepeatsThePassword(t *testing.T) {
	const password = "canary-password"
	secure, ca := selfSigned(t)
	basic := base64.StdEncoding.EncodeToString([]byte("u:" + password))
	for _, step := range []string{"EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "dot"} {
		t.Run(step, func(t *testing.T) {
			says := fmt.Sprintf("550 5.7.1 not with %s, %q, or Basic %s", password, password, basic)
			server := (&mailServer{replies: map[string]string{step: says}, secure: secure, extension: []string{"STARTTLS", "AUTH PLAIN"}, user: "u", password: password}).start(t)
			var shown bytes.Buffer
			c := client(server, TLSStart)
			c.options.TLSConfig.CA, c.options.Username, c.options.Password = ca, "u", password
			r := c.deliver(t.Context(), "ops@example.com", testMessage, &shown)
			if r.Err == nil || strings.Contains(r.Err.Error(), password) || strings.Contains(r.Err.Error(), basic) {
				t.Errorf("the error: %v", r.Err)
			}
			if strings.Contains(shown.String(), password) || strings.Contains(shown.String(), basic) {
				t.Errorf("the transcript:\n%s", &shown)
			}
		})
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
				patience := 200 * time.Millisecond
				if step == "dot" { // what comes before is to succeed, also on a busy machine
					patience = 3 * time.Second
				}
				if how == "time" {
					c.limits = every(patience)
				} else {
					time.AfterFunc(patience, cancel)
				}
				begin := time.Now()
				r := c.deliver(ctx, "ops@example.com", testMessage, io.Discard)
				if took := time.Since(begin); took > 20*time.Second {
					t.Errorf("took %v", took)
				}
				want := outbox.Postponed
				if step == "dot" {
					want = outbox.InDoubt
				}
				if r.Verdict != want || r.Err == nil {
					t.Errorf("verdict %v (%v), want %v", r.Verdict, r.Err, want)
				}
			})
		}
	}
}

func TestSMTPQuitThatStallsIsDelivered(t *testing.T) {
	server := (&mailServer{stallAt: "QUIT"}).start(t)
	begin := time.Now()
	if r := client(server, TLSNone).deliver(t.Context(), "ops@example.com", testMessage, io.Discard); r.Verdict != outbox.Delivered {
		t.Errorf("verdict %v: %v", r.Verdict, r.Err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestSMTPRepliesAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		server *mailServer
		want   outbox.Verdict
	}{
		"greeting 554":        {&mailServer{replies: map[string]string{"greeting": "554 go away"}}, outbox.Postponed},
		"greeting 421":        {&mailServer{replies: map[string]string{"greeting": "421 later"}}, outbox.Postponed},
		"garbage":             {&mailServer{replies: map[string]string{"greeting": "HTTP/1.1 400 Bad Request"}}, outbox.Postponed},
		"endless greeting":    {&mailServer{endless: true}, outbox.Postponed},
		"MAIL 451":            {&mailServer{replies: map[string]string{"MAIL": "451 try later"}}, outbox.Postponed},
		"MAIL 550":            {&mailServer{replies: map[string]string{"MAIL": "550 no such sender"}}, outbox.Refused},
		"RCPT 450":            {&mailServer{replies: map[string]string{"RCPT": "450 greylisted"}}, outbox.Postponed},
		"RCPT 550":            {&mailServer{replies: map[string]string{"RCPT": "550 no such user"}}, outbox.Refused},
		"RCPT 421":            {&mailServer{replies: map[string]string{"RCPT": "421 closing"}}, outbox.Postponed},
		"DATA 554":            {&mailServer{replies: map[string]string{"DATA": "554 no"}}, outbox.Refused},
		"DATA 452":            {&mailServer{replies: map[string]string{"DATA": "452 disk full"}}, outbox.Postponed},
		"message 552":         {&mailServer{replies: map[string]string{"dot": "552 too large"}}, outbox.TooLarge},
		"message 552 5.2.2":   {&mailServer{replies: map[string]string{"dot": "552 5.2.2 mailbox full"}}, outbox.Refused},
		"MAIL 552":            {&mailServer{replies: map[string]string{"MAIL": "552 5.3.4 too large"}}, outbox.TooLarge},
		"message 554 5.6.0":   {&mailServer{replies: map[string]string{"dot": "554 5.6.0 sender not verified"}}, outbox.Refused},
		"RCPT 550 5.1.1":      {&mailServer{replies: map[string]string{"RCPT": "550 5.1.1 no such user"}}, outbox.NoRecipient},
		"MAIL 550 5.1.7":      {&mailServer{replies: map[string]string{"MAIL": "550 5.1.7 bad sender"}}, outbox.Refused},
		"message 451":         {&mailServer{replies: map[string]string{"dot": "451 local error"}}, outbox.Postponed},
		"hangs up at EHLO":    {&mailServer{hangUpAt: "EHLO"}, outbox.Postponed},
		"hangs up at DATA":    {&mailServer{hangUpAt: "DATA"}, outbox.Postponed},
		"hangs up at the end": {&mailServer{hangUpAt: "dot"}, outbox.InDoubt},
		"QUIT 500":            {&mailServer{replies: map[string]string{"QUIT": "500 what"}}, outbox.Delivered},
		"hangs up at QUIT":    {&mailServer{hangUpAt: "QUIT"}, outbox.Delivered},
		"EHLO unknown":        {&mailServer{replies: map[string]string{"EHLO": "502 not implemented"}}, outbox.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := c.server.start(t)
			if r := client(server, TLSNone).deliver(t.Context(), "ops@example.com", testMessage, io.Discard); r.Verdict != c.want {
				t.Errorf("verdict %v (%v), want %v", r.Verdict, r.Err, c.want)
			}
		})
	}
}

func TestSMTPNoServerListens(t *testing.T) {
	c := client(&mailServer{address: "127.0.0.1:1"}, TLSNone)
	if r := c.deliver(t.Context(), "ops@example.com", testMessage, io.Discard); r.Verdict != outbox.Postponed {
		t.Errorf("verdict %v (%v), want postponed", r.Verdict, r.Err)
	}
}

// TestSMTPStepsHaveTheirOwnTime: a server that takes its time with each step, in all more than any may take, gets its mail
// delivered; the final dot may take the longest.
func TestSMTPStepsHaveTheirOwnTime(t *testing.T) {
	server := (&mailServer{slow: 300 * time.Millisecond, slowDot: 1500 * time.Millisecond}).start(t)
	c := client(server, TLSNone)
	c.limits = every(time.Second)
	c.limits.dot = 20 * time.Second
	if r := c.deliver(t.Context(), "ops@example.com", testMessage, io.Discard); r.Verdict != outbox.Delivered {
		t.Errorf("%s: %v", r.Verdict.Name(), r.Err)
	}
}

func TestSMTPLimitsAreThoseOfTheRFC(t *testing.T) {
	m := New(&Options{SMTP: &SMTPOptions{Address: "mail.example.com:25"}})
	got := m.transport.(*smtpServer).limits
	want := limits{30 * time.Second, 5 * time.Minute, 5 * time.Minute, 2 * time.Minute, 3 * time.Minute, 10 * time.Minute}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSMTPSizeIsKept(t *testing.T) {
	for size, want := range map[string]outbox.Verdict{"SIZE 40": outbox.TooLarge, "size 40": outbox.TooLarge, "SIZE 4000": outbox.Delivered, "SIZE 0": outbox.Delivered, "SIZE": outbox.Delivered} {
		server := (&mailServer{extension: []string{size}}).start(t)
		if r := client(server, TLSNone).deliver(t.Context(), "ops@example.com", testMessage, io.Discard); r.Verdict != want {
			t.Errorf("%s: %s (%v)", size, r.Verdict.Name(), r.Err)
		}
	}
}

func TestHelloIsANameThatStrictServersTake(t *testing.T) {
	server := (&mailServer{}).start(t)
	conn, err := net.Dial("tcp", server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for host, want := range map[string]string{"probe.example.com": "probe.example.com", "no-such-host-here": "[127.0.0.1]"} {
		if got := hello(host, conn); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestSMTPEncryption(t *testing.T) {
	secure, ca := selfSigned(t)
	for name, c := range map[string]struct {
		server *mailServer
		mode   TLSMode
		ca     string
		want   outbox.Verdict
		says   string
	}{
		"starttls":                          {&mailServer{secure: secure, extension: []string{"STARTTLS"}}, TLSStart, ca, outbox.Delivered, ""},
		"starttls that was removed":         {&mailServer{}, TLSStart, ca, outbox.Postponed, "does not offer STARTTLS"},
		"starttls refused":                  {&mailServer{extension: []string{"STARTTLS"}, replies: map[string]string{"STARTTLS": "454 not now"}}, TLSStart, ca, outbox.Postponed, "454"},
		"starttls with an unknown issuer":   {&mailServer{secure: secure, extension: []string{"STARTTLS"}}, TLSStart, "", outbox.Postponed, "unknown authority; one of your own is named by tls_config: ca_file"},
		"implicit":                          {&mailServer{secure: secure, implicit: true}, TLSImplicit, ca, outbox.Delivered, ""},
		"implicit with an unknown issuer":   {&mailServer{secure: secure, implicit: true}, TLSImplicit, "", outbox.Postponed, "ca_file"},
		"implicit to a server that is not":  {&mailServer{}, TLSImplicit, ca, outbox.Postponed, "a server that begins in clear wants tls: starttls"},
		"starttls to a server that is not":  {&mailServer{secure: secure, implicit: true}, TLSStart, ca, outbox.Postponed, "waits for us: tls: implicit"},
		"none to a server that offers more": {&mailServer{secure: secure, extension: []string{"STARTTLS"}}, TLSNone, "", outbox.Delivered, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := c.server.start(t)
			m := client(server, c.mode)
			m.options.TLSConfig = config.TLSConfig{CA: c.ca}
			if c.mode == TLSStart && server.implicit {
				m.limits = every(300 * time.Millisecond) // both wait
			}
			r := m.deliver(t.Context(), "ops@example.com", testMessage, io.Discard)
			if r.Verdict != c.want || (c.says != "" && !strings.Contains(r.Err.Error(), c.says)) {
				t.Errorf("verdict %v (%v), want %v that says %q", r.Verdict, r.Err, c.want, c.says)
			}
			if c.want != outbox.Delivered && len(server.got()) != 0 {
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
		verdict                outbox.Verdict
	}{
		"PLAIN":                  {"AUTH PLAIN", "hunter2", "", "PLAIN encrypted=true ok=true", outbox.Delivered},
		"LOGIN":                  {"AUTH LOGIN", "hunter2", "", "LOGIN encrypted=true ok=true", outbox.Delivered},
		"CRAM-MD5":               {"AUTH CRAM-MD5", "hunter2", "", "CRAM-MD5 encrypted=true ok=true", outbox.Delivered},
		"PLAIN is preferred":     {"AUTH CRAM-MD5 LOGIN PLAIN", "hunter2", "", "PLAIN encrypted=true ok=true", outbox.Delivered},
		"from a file":            {"AUTH PLAIN", "", file, "PLAIN encrypted=true ok=true", outbox.Delivered},
		"a wrong password":       {"AUTH PLAIN", "wrong", "", "PLAIN encrypted=true ok=false", outbox.Postponed},
		"a wrong password LOGIN": {"AUTH LOGIN", "wrong", "", "LOGIN encrypted=true ok=false", outbox.Postponed},
		"lower case":             {"auth plain", "hunter2", "", "PLAIN encrypted=true ok=true", outbox.Delivered},
		"before RFC 2554":        {"AUTH=LOGIN PLAIN", "hunter2", "", "PLAIN encrypted=true ok=true", outbox.Delivered},
		"after 504 the next":     {"AUTH PLAIN LOGIN", "hunter2", "", "PLAIN encrypted=true ok=504; LOGIN encrypted=true ok=true", outbox.Delivered},
		"nothing known":          {"AUTH GSSAPI", "hunter2", "", "", outbox.Postponed},
		"no AUTH at all":         {"SIZE", "hunter2", "", "", outbox.Postponed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := (&mailServer{secure: secure, user: "rollcall", password: "hunter2", extension: []string{"STARTTLS", c.offers}, unusable: map[bool]string{true: "PLAIN"}[strings.Contains(name, "504")]}).start(t)
			m := client(server, TLSStart)
			m.options.TLSConfig.CA = ca
			m.options.Username, m.options.Password, m.options.PasswordFile = "rollcall", config.Secret(c.password), c.file
			r := m.deliver(t.Context(), "ops@example.com", testMessage, io.Discard)
			server.mu.Lock()
			defer server.mu.Unlock()
			if saw := strings.Join(server.secrets, "; "); r.Verdict != c.verdict || saw != c.want {
				t.Errorf("verdict %v (%v), the server saw %q; want %v and %q", r.Verdict, r.Err, saw, c.verdict, c.want)
			}
			if r.Err != nil && strings.Contains(r.Err.Error(), "hunter2") {
				t.Errorf("the error tells the password: %v", r.Err)
			}
		})
	}
}

func TestTranscriptShowsEachStepAndNoPassword(t *testing.T) {
	secure, ca := selfSigned(t)
	server := (&mailServer{secure: secure, user: "rollcall", password: "hunter2", extension: []string{"STARTTLS", "AUTH LOGIN"}}).start(t)
	m := client(server, TLSStart)
	m.options.TLSConfig.CA, m.options.Username, m.options.Password = ca, "rollcall", "hunter2"
	c := &Mailer{host: "probe.example.com", from: m.from, transport: m}
	var b bytes.Buffer
	if err := c.Test(t.Context(), &b, "ops@example.com"); err != nil {
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
	c := &Mailer{host: "h", from: m.from, transport: m}
	var b bytes.Buffer
	if err := c.Test(t.Context(), &b, "ops@example.com"); err == nil || !strings.Contains(err.Error(), "no such user") || !strings.Contains(b.String(), "S: 550") {
		t.Errorf("error %v, transcript:\n%s", err, b.String())
	}
}

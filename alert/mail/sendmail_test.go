//go:build unix

package mail

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/alert/outbox"
)

// script is a stand-in for sendmail, which keeps its arguments and input in its directory.
func script(t *testing.T, body string) (m *sendmail, dir string) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, "sendmail")
	text := "#!/bin/sh\ncd \"${0%/*}\" || exit 99\nprintf '%s\\n' \"$@\" >args\ncat >input\n" + body + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return &sendmail{path: path, from: "rollcall@example.com", timeout: 10 * time.Second}, dir
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSendmailGetsArgumentsAndMessageAsTheyAre(t *testing.T) {
	m, dir := script(t, "exit 0")
	r := m.deliver(t.Context(), "$(touch pwned)@example.com", testMessage, io.Discard) // no configuration lets this pass; here it meets no shell either
	if r.Verdict != outbox.Delivered {
		t.Fatalf("verdict %v: %v", r.Verdict, r.Err)
	}
	if got, want := read(t, dir, "args"), "-i\n-f\nrollcall@example.com\n--\n$(touch pwned)@example.com\n"; got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
	if got, want := read(t, dir, "input"), strings.ReplaceAll(string(testMessage), "\r\n", "\n"); got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
		t.Error("the address was run")
	}
}

func TestSendmailExitCodes(t *testing.T) {
	for body, want := range map[string]outbox.Verdict{
		"exit 0":                     outbox.Delivered,
		"exit 75":                    outbox.Postponed, // temporary failure
		"exit 71":                    outbox.Postponed,
		"exit 69":                    outbox.Postponed,
		"exit 1":                     outbox.Postponed,
		"exit 67":                    outbox.Refused, // no such user
		"exit 65":                    outbox.Refused,
		"exit 68":                    outbox.Refused,
		"kill -9 $$":                 outbox.Postponed,
		"yes | head -c 9999999 >&2;": outbox.Delivered,
	} {
		t.Run(body, func(t *testing.T) { // not parallel: a program that another one's fork still holds open does not start
			m, _ := script(t, body)
			if r := m.deliver(t.Context(), "root", testMessage, io.Discard); r.Verdict != want {
				t.Errorf("verdict %v (%v), want %v", r.Verdict, r.Err, want)
			}
		})
	}
}

func TestSendmailErrorQuotesWhatItSaid(t *testing.T) {
	m, _ := script(t, "echo 'fatal: queue\x1b[2J is full' >&2; exit 75")
	r := m.deliver(t.Context(), "root", testMessage, io.Discard)
	if s := fmt.Sprint(r.Err); !strings.Contains(s, "is full") || strings.Contains(s, "\x1b") {
		t.Errorf("error %q", s)
	}
}

func TestSendmailThatIsMissingIsTriedAgain(t *testing.T) {
	m := &sendmail{path: filepath.Join(t.TempDir(), "none"), timeout: time.Second}
	if r := m.deliver(t.Context(), "root", testMessage, io.Discard); r.Verdict != outbox.Postponed || !strings.Contains(r.Err.Error(), "install a mail system") {
		t.Errorf("verdict %v (%v), want postponed, and what to do", r.Verdict, r.Err)
	}
}

func TestSendmailThatHangsIsKilledWithItsChildren(t *testing.T) {
	for _, how := range []string{"time", "context"} {
		t.Run(how, func(t *testing.T) {
			m, dir := script(t, "sleep 60 & echo $! >child; wait")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if how == "time" {
				m.timeout = 500 * time.Millisecond
			} else {
				time.AfterFunc(500*time.Millisecond, cancel)
			}
			begin := time.Now()
			if r := m.deliver(ctx, "root", testMessage, io.Discard); r.Verdict != outbox.InDoubt {
				t.Errorf("verdict %v (%v), want in doubt: it may have queued the mail", r.Verdict, r.Err)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			var child int
			if _, err := fmt.Sscan(read(t, dir, "child"), &child); err != nil {
				t.Fatal(err)
			}
			// A killed child whose parent is gone stays a zombie where no init reaps; running is what it must not do.
			for alive := true; alive; {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
				alive = syscall.Kill(child, 0) == nil && err == nil && !strings.Contains(string(stat), ") Z ")
				if time.Since(begin) > 30*time.Second {
					t.Fatalf("the child %d still runs", child)
				}
			}
		})
	}
}

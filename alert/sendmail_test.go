//go:build unix

package alert

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
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

func TestSendmailGetsArgumentsAndMessageAsTheyAre(t *testing.T) {
	m, dir := script(t, "exit 0")
	r := m.deliver(t.Context(), one("$(touch pwned)@example.com")) // no configuration lets this pass; here it meets no shell either
	if r[0].verdict != delivered {
		t.Fatalf("verdict %v: %v", r[0].verdict, r[0].err)
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
	for body, want := range map[string]verdict{
		"exit 0":                     delivered,
		"exit 75":                    postponed, // temporary failure
		"exit 71":                    postponed,
		"exit 69":                    postponed,
		"exit 1":                     postponed,
		"exit 67":                    refused, // no such user
		"exit 65":                    refused,
		"exit 68":                    refused,
		"kill -9 $$":                 postponed,
		"yes | head -c 9999999 >&2;": delivered,
	} {
		t.Run(body, func(t *testing.T) { // not parallel: a program that another one's fork still holds open does not start
			m, _ := script(t, body)
			if r := m.deliver(t.Context(), one("root")); r[0].verdict != want {
				t.Errorf("verdict %v (%v), want %v", r[0].verdict, r[0].err, want)
			}
		})
	}
}

func TestSendmailErrorQuotesWhatItSaid(t *testing.T) {
	m, _ := script(t, "echo 'fatal: queue\x1b[2J is full' >&2; exit 75")
	r := m.deliver(t.Context(), one("root"))
	if s := fmt.Sprint(r[0].err); !strings.Contains(s, "is full") || strings.Contains(s, "\x1b") {
		t.Errorf("error %q", s)
	}
}

func TestSendmailThatIsMissingIsTriedAgain(t *testing.T) {
	m := &sendmail{path: filepath.Join(t.TempDir(), "none"), timeout: time.Second}
	if r := m.deliver(t.Context(), one("root")); r[0].verdict != postponed || !strings.Contains(r[0].err.Error(), "install a mail system") {
		t.Errorf("verdict %v (%v), want postponed, and what to do", r[0].verdict, r[0].err)
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
			if r := m.deliver(ctx, one("root")); r[0].verdict != inDoubt {
				t.Errorf("verdict %v (%v), want in doubt: it may have queued the mail", r[0].verdict, r[0].err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			var child int
			if _, err := fmt.Sscan(read(t, dir, "child"), &child); err != nil {
				t.Fatal(err)
			}
			// A killed child whose parent is gone stays a zombie where nobody reaps; running is what it must not do.
			for alive := true; alive; {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
				alive = syscall.Kill(child, 0) == nil && err == nil && !strings.Contains(string(stat), ") Z ")
				if time.Since(begin) > 10*time.Second {
					t.Fatalf("the child %d still runs", child)
				}
			}
		})
	}
}

// TestSendmailThatHangsOverOneRecipientHoldsUpNobody: the others get theirs in the same delivery; who found no turn
// before the time was over is tried again, and is not in doubt.
func TestSendmailThatHangsOverOneRecipientHoldsUpNobody(t *testing.T) {
	m, _ := script(t, `case "$5" in hang*) exec sleep 60;; esac`)
	m.timeout = time.Second
	mails := []envelope{{to: "hang", data: []byte("m")}, {to: "a", data: []byte("m")}, {to: "b", data: []byte("m")}}
	begin := time.Now()
	r := m.deliver(t.Context(), mails)
	if r[0].verdict != inDoubt || r[1].verdict != delivered || r[2].verdict != delivered {
		t.Errorf("got %v", r)
	}
	mails = slices.Repeat(mails[:1], 3*maxSendmails)
	r = m.deliver(t.Context(), mails)
	if r[maxSendmails-1].verdict != inDoubt || r[maxSendmails].verdict != postponed || r[len(r)-1].verdict != postponed {
		t.Errorf("got %v", r)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"rollcall/alert/outbox"
)

// sendmail hands messages to the local mail system's program. There is no shell: the arguments are a list, and the
// addresses were checked when the configuration was loaded.
type sendmail struct {
	path    string
	from    Address
	timeout time.Duration
}

// sendmailTimeout leaves a program that itself delivers by SMTP, e.g. msmtp, the time that SMTP may take.
const sendmailTimeout = 15 * time.Minute

// The exit codes of sysexits.h that judge the message or its recipient. All others speak of the mail system's state. A
// small program that delivers by itself also ends with exitNoHost when one look-up of a name fails, and with exitNoUser
// when its server refuses for reasons of its own, so that neither means that the recipient does not exist.
const (
	exitDataError = 65
	exitNoUser    = 67
	exitNoHost    = 68
)

func (s *sendmail) describe(to Address) string {
	return fmt.Sprintf("%s -i -f %s -- %s", s.path, s.from, to)
}

// deliver starts sendmail once: -i keeps a line with a lone dot from ending the message, -f is the envelope's sender, and
// nothing after -- is taken for an option.
func (s *sendmail) deliver(ctx context.Context, to Address, data []byte, _ io.Writer) outbox.Outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, "-i", "-f", string(s.from), "--", string(to))
	// The program's own line ends: it turns \n into CRLF where SMTP follows.
	cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
	said := &boundedBuffer{left: 4 << 10}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Second // a grandchild that keeps the pipes open does not keep us
	ownGroup(cmd)
	err := cmd.Run()
	exit, isExit := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // the latter: the program itself ended with 0
		return outbox.Outcome{Verdict: outbox.Delivered}
	case ctx.Err() != nil:
		return outbox.Outcome{Verdict: outbox.InDoubt, Err: fmt.Errorf("%s did not end in time and was killed: %w", s.path, context.Cause(ctx))}
	case isExit:
		outcome := outbox.Outcome{Err: fmt.Errorf("%s for %s: %w: %s", s.path, to, err, cleanText(strings.TrimSpace(string(said.kept))))}
		switch exit.ExitCode() {
		case exitDataError, exitNoUser, exitNoHost:
			outcome.Verdict = outbox.Refused
		}
		return outcome
	case errors.Is(err, fs.ErrNotExist):
		return outbox.Outcome{Err: fmt.Errorf("running sendmail: %w; install a mail system (postfix, or a smaller one, e.g. msmtp-mta), or name a mail server under alert.email.smtp", err)}
	default:
		return outbox.Outcome{Err: fmt.Errorf("running sendmail: %w", err)}
	}
}

// boundedBuffer keeps the beginning of what a program says.
type boundedBuffer struct {
	kept []byte
	left int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.kept = append(b.kept, p[:n]...)
	return len(p), nil
}

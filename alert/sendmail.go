package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// sendmail hands messages to the local mail system's program. There is no shell: the arguments are a list, and the
// addresses were checked when the configuration was loaded.
type sendmail struct {
	path    string
	from    Address
	timeout time.Duration
}

// The exit codes of sysexits.h that judge the message or its recipient. All others speak of the mail system's state
// and are worth another attempt.
const (
	exitDataError = 65
	exitNoUser    = 67
	exitNoHost    = 68
)

// maxSendmails is how many run at once: one that hangs over a recipient holds nobody else up, and a hundred recipients
// are not a hundred processes.
const maxSendmails = 8

func (s *sendmail) deliver(ctx context.Context, envelopes []envelope) []result {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	results := make([]result, len(envelopes))
	turns := make(chan struct{}, maxSendmails)
	var running sync.WaitGroup
	for i, e := range envelopes {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			results[i] = result{postponed, fmt.Errorf("%s for %s was not begun: %w", s.path, e.to, context.Cause(ctx))}
			continue
		}
		running.Go(func() {
			defer func() { <-turns }()
			results[i] = s.run(ctx, e)
		})
	}
	running.Wait()
	return results
}

// run starts sendmail once: -i keeps a line with a lone dot from ending the message, -f is the envelope's sender, and
// nothing after -- is taken for an option.
func (s *sendmail) run(ctx context.Context, e envelope) result {
	cmd := exec.CommandContext(ctx, s.path, "-i", "-f", string(s.from), "--", string(e.to))
	// The program's own line ends: it turns \n into CRLF where SMTP follows.
	cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(e.data, []byte("\r\n"), []byte("\n")))
	said := &boundedBuffer{left: 4 << 10}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Second // a grandchild that keeps the pipes open does not keep us
	ownGroup(cmd)
	err := cmd.Run()
	switch exit := (*exec.ExitError)(nil); {
	case err == nil:
		return result{verdict: delivered}
	case errors.Is(err, exec.ErrWaitDelay):
		return result{verdict: delivered} // the program itself ended with 0
	case ctx.Err() != nil:
		return result{inDoubt, fmt.Errorf("%s did not end in time and was killed: %w", s.path, context.Cause(ctx))}
	case errors.As(err, &exit):
		r := result{postponed, fmt.Errorf("%s for %s: %w: %s", s.path, e.to, err, clean(strings.TrimSpace(string(said.kept)), maxDetail))}
		switch exit.ExitCode() {
		case exitDataError, exitNoUser, exitNoHost:
			r.verdict = refused
		}
		return r
	case errors.Is(err, fs.ErrNotExist):
		return result{postponed, fmt.Errorf("running sendmail: %w; install a mail system (postfix, or a smaller one as msmtp-mta), or name a mail server under alert.email.smtp", err)}
	default:
		return result{postponed, fmt.Errorf("running sendmail: %w", err)}
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

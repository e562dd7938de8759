package alert

import (
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"

	"github.com/wneessen/go-mail/log"

	"rollcall/redact"
)

// transcript shows an SMTP dialogue line by line to a person. A nil one shows nothing.
type transcript struct {
	w       io.Writer
	secrets []string // that the server may repeat
}

func (t *transcript) note(format string, args ...any) {
	if t != nil {
		fmt.Fprintf(t.w, "   (%s)\n", fmt.Sprintf(format, args...))
	}
}

// refusal shows the reply that became err, which go-mail leaves out.
func (t *transcript) refusal(err error) {
	if reply := (*textproto.Error)(nil); t != nil && errors.As(err, &reply) {
		fmt.Fprintf(t.w, "S: %d %s\n", reply.Code, clean(redact.Text(reply.Msg, t.secrets...), maxDetail))
	}
}

// Debugf implements go-mail's log.Logger.
func (t *transcript) Debugf(l log.Log) {
	who := "S: "
	if l.Direction == log.DirClientToServer {
		who = "C: "
	}
	for line := range strings.Lines(fmt.Sprintf(l.Format, l.Messages...)) {
		fmt.Fprintf(t.w, "%s%s\n", who, clean(redact.Text(strings.TrimRight(line, "\r\n"), t.secrets...), 200))
	}
}

// Infof implements log.Logger.
func (t *transcript) Infof(l log.Log) { t.Debugf(l) }

// Warnf implements log.Logger.
func (t *transcript) Warnf(l log.Log) { t.Debugf(l) }

// Errorf implements log.Logger.
func (t *transcript) Errorf(l log.Log) { t.Debugf(l) }

package mail

import (
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"

	"github.com/wneessen/go-mail/log"

	"rollcall/alert/incident"
	"rollcall/redact"
)

// transcript is an SMTP dialogue, but for what belongs to AUTH, which go-mail tells it as to a log.Logger. It is shown line
// by line to a person. What the server offers with EHLO is kept: go-mail keeps that, too, but does not find a keyword that
// is not in capitals (RFC 5321, 2.4, says that case does not matter).
type transcript struct {
	w       io.Writer
	secrets []string          // that the server may repeat
	hello   bool              // the last command was EHLO
	offered map[string]string // keyword in capitals → its parameters
}

func (t *transcript) note(format string, args ...any) {
	fmt.Fprintf(t.w, "   (%s)\n", fmt.Sprintf(format, args...))
}

// refusal shows the reply that became err, which go-mail leaves out.
func (t *transcript) refusal(err error) {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		fmt.Fprintf(t.w, "S: %d %s\n", reply.Code, cleanText(redact.Text(reply.Msg, t.secrets...)))
	}
}

// Debugf implements log.Logger.
func (t *transcript) Debugf(l log.Log) {
	who, text := "S: ", fmt.Sprintf(l.Format, l.Messages...)
	if l.Direction == log.DirClientToServer {
		who, t.hello = "C: ", strings.HasPrefix(l.Format, "EHLO")
	} else if t.hello {
		t.offered = make(map[string]string)
		_, lines, _ := strings.Cut(text, "\n")
		for line := range strings.Lines(lines) {
			keyword, parameters, _ := strings.Cut(strings.TrimSpace(line), " ")
			t.offered[strings.ToUpper(keyword)] = parameters
		}
	}
	for line := range strings.Lines(text) {
		fmt.Fprintf(t.w, "%s%s\n", who, incident.Clean(redact.Text(strings.TrimRight(line, "\r\n"), t.secrets...), 200))
	}
}

// Infof implements log.Logger.
func (t *transcript) Infof(l log.Log) { t.Debugf(l) }

// Warnf implements log.Logger.
func (t *transcript) Warnf(l log.Log) { t.Debugf(l) }

// Errorf implements log.Logger.
func (t *transcript) Errorf(l log.Log) { t.Debugf(l) }

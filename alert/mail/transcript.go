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
		fmt.Fprintf(t.w, "S: %d %s\n", reply.Code, cleanText(redact.Text(reply.Msg, t.secrets...)))
	}
}

func (t *transcript) show(l log.Log) {
	who := "S: "
	if l.Direction == log.DirClientToServer {
		who = "C: "
	}
	for line := range strings.Lines(fmt.Sprintf(l.Format, l.Messages...)) {
		fmt.Fprintf(t.w, "%s%s\n", who, incident.Clean(redact.Text(strings.TrimRight(line, "\r\n"), t.secrets...), 200))
	}
}

// listener is a go-mail log.Logger that hears the whole dialogue but for what belongs to AUTH. It shows it, and keeps what
// the server offers with EHLO: go-mail keeps that, too, but does not find a keyword that is not in capitals (RFC 5321,
// 2.4, says that case does not matter).
type listener struct {
	trace   *transcript
	hello   bool              // the last command was EHLO
	offered map[string]string // keyword in capitals → its parameters
}

// Debugf implements log.Logger.
func (t *listener) Debugf(l log.Log) {
	if t.trace != nil {
		t.trace.show(l)
	}
	if l.Direction == log.DirClientToServer {
		t.hello = strings.HasPrefix(l.Format, "EHLO")
	} else if t.hello {
		t.offered = make(map[string]string)
		_, lines, _ := strings.Cut(fmt.Sprintf(l.Format, l.Messages...), "\n")
		for line := range strings.Lines(lines) {
			keyword, parameters, _ := strings.Cut(strings.TrimSpace(line), " ")
			t.offered[strings.ToUpper(keyword)] = parameters
		}
	}
}

// Infof implements log.Logger.
func (t *listener) Infof(l log.Log) { t.Debugf(l) }

// Warnf implements log.Logger.
func (t *listener) Warnf(l log.Log) { t.Debugf(l) }

// Errorf implements log.Logger.
func (t *listener) Errorf(l log.Log) { t.Debugf(l) }

package zoo

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Mailbox is a mail server without TLS that accepts every mail and keeps it.
type Mailbox struct {
	Addr string

	mu    sync.Mutex
	mails []string
}

// NewMailbox starts one.
func NewMailbox(t testing.TB) *Mailbox {
	m := &Mailbox{}
	m.Addr = TCP(t, m.serve)
	return m
}

// Mails returns the accepted mails, headers and body.
func (m *Mailbox) Mails() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.mails...)
}

func (m *Mailbox) serve(c net.Conn) {
	io.WriteString(c, "220 mail.zoo.test ESMTP\r\n")
	for lines := bufio.NewScanner(c); lines.Scan(); {
		verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " ")
		switch verb {
		case "DATA":
			io.WriteString(c, "354 go on\r\n")
			var mail strings.Builder
			for lines.Scan() && lines.Text() != "." {
				mail.WriteString(lines.Text() + "\n")
			}
			m.mu.Lock()
			m.mails = append(m.mails, mail.String())
			m.mu.Unlock()
			io.WriteString(c, "250 taken\r\n")
		case "QUIT":
			io.WriteString(c, "221 bye\r\n")
			return
		default:
			io.WriteString(c, "250 fine\r\n")
		}
	}
}

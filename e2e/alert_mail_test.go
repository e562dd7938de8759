//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"

	"rollcall/e2e/zoo"
)

// postbox is an SMTP server that keeps what it accepts.
type postbox struct {
	address string
	// mood says how the server treats the next session: one of the moods below. nil: it is kind.
	mood func() mood

	mu       sync.Mutex
	letters  []letter // in the order in which they came, repetitions included
	sessions int
}

type mood int

const (
	kind        mood = iota
	absent           // hangs up at once
	silent           // never greets
	full             // has no room for any mail now
	forgetful        // accepts the message and hangs up without a word
	slowToAdmit      // accepts the message, and answers late
)

// letter is a mail as a strict reader sees it.
type letter struct {
	to        string
	messageID string
	inReplyTo string
	subject   string
	body      string
	raw       []byte
}

func newPostbox(t *testing.T, mood func() mood) *postbox {
	t.Helper()
	p := &postbox{mood: mood}
	p.address = zoo.TCP(t, func(conn net.Conn) { p.serve(t, conn) })
	return p
}

func (p *postbox) serve(t *testing.T, conn net.Conn) {
	m := kind
	if p.mood != nil {
		m = p.mood()
	}
	p.mu.Lock()
	p.sessions++
	p.mu.Unlock()
	r := textproto.NewReader(bufio.NewReader(conn))
	switch m {
	case absent:
		return
	case silent:
		_, _ = r.ReadLine() // until the client goes away
		return
	}
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	say("220 postbox")
	var to string
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-postbox\r\n250 8BITMIME")
		case "RCPT":
			if to = strings.Trim(strings.TrimPrefix(rest, "TO:"), "<>"); m == full {
				say("452 no room")
			} else {
				say("250 ok")
			}
		case "DATA":
			say("354 go ahead")
			data, err := r.ReadDotBytes()
			if err != nil {
				return
			}
			got, err := readLetter(to, data)
			if err != nil {
				t.Errorf("a strict reader refuses the mail: %v\n%s", err, data)
				return
			}
			p.mu.Lock()
			p.letters = append(p.letters, got)
			p.mu.Unlock()
			if m == forgetful {
				return
			}
			if m == slowToAdmit {
				_, _ = io.CopyN(io.Discard, conn, 1) // until the client goes away or its patience ends
				return
			}
			say("250 kept")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// kept returns the letters so far.
func (p *postbox) kept() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.letters)
}

// readText is a mail's text, also where it is the one part of several, as Alertmanager sends it.
func readText(m *mail.Message) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(kind, "multipart/") {
		part, err := multipart.NewReader(m.Body, params["boundary"]).NextPart() // it decodes quoted-printable
		if err != nil {
			return nil, err
		}
		return io.ReadAll(part)
	}
	if strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		return io.ReadAll(quotedprintable.NewReader(m.Body))
	}
	return io.ReadAll(m.Body)
}

func readLetter(to string, data []byte) (letter, error) {
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return letter{}, err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return letter{}, err
	}
	text, err := readText(m)
	if err != nil {
		return letter{}, err
	}
	return letter{
		to: to, messageID: m.Header.Get("Message-Id"), inReplyTo: m.Header.Get("In-Reply-To"), subject: subject,
		body: strings.ReplaceAll(string(text), "\r\n", "\n"), raw: data,
	}, nil
}

// incidentLink is the path of the page that a mail names as its evidence.
func incidentLink(t *testing.T, l letter) string {
	t.Helper()
	_, path, ok := strings.Cut(l.body, "/incident/")
	if !ok {
		t.Fatalf("the mail has no link:\n%s", l.body)
	}
	id, _, _ := strings.Cut(path, "\n")
	return "/incident/" + id
}

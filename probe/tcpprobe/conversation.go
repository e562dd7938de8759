package tcpprobe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/redact"
)

const (
	// maxLine bounds, in bytes, a line that an expect may meet.
	maxLine = 128 << 10
	// maxConversation bounds, in bytes, what the peer of a conversation may send altogether.
	maxConversation = 1 << 20
	// firstBuffer is what a conversation starts to read with; a banner fits.
	firstBuffer = 1 << 10
	// freeBuffer is the largest buffer within what every probe is expected to need.
	freeBuffer = 16 << 10
)

// conversation is a query_response with valid names of labels. It needs nothing but a stream: tcp's is one of several.
type conversation []QueryResponse

// compileConversation checks what cannot work and makes label names valid. secured means that the stream is
// encrypted before the first turn. The errors are joined *option.Errors below path.
func compileConversation(path string, entries []QueryResponse, secured bool) (conversation, error) {
	var errs option.Collector
	turns := slices.Clone(entries)
	for i := range turns {
		t, at := &turns[i], option.Index(path, i)
		if t.StartTLS && secured {
			errs.Unusablef(at+".starttls", "the connection is encrypted already at this point; accepted: either tls: true, or one starttls: true")
		}
		secured = secured || t.StartTLS
		if t.Labels != nil {
			t.Labels = compileLabels(&errs, at+".labels", t.Labels)
		}
	}
	return turns, errs.Err()
}

func compileLabels(errs *option.Collector, path string, labels []ExpectLabel) []ExpectLabel {
	valid := make([]ExpectLabel, 0, len(labels))
	for i, label := range labels {
		at := option.Index(path, i) + ".name"
		name := model.EscapeName(label.Name, model.UnderscoreEscaping)
		switch {
		case name == "":
			errs.Unusablef(at, "%w", option.ErrRequired)
		case strings.HasPrefix(name, "__"):
			errs.Unusablef(at, "%q is reserved: Prometheus keeps names that begin with __ to itself", label.Name)
		case slices.ContainsFunc(valid, func(l ExpectLabel) bool { return l.Name == name }):
			errs.Unusablef(at, "%q is there twice (as %s)", label.Name, name)
		}
		valid = append(valid, ExpectLabel{Name: name, Value: label.Value})
	}
	return valid
}

// reads reports whether the conversation ever waits for the peer.
func (c conversation) reads() bool {
	return slices.ContainsFunc(c, func(t QueryResponse) bool { return t.Expect.Regexp != nil || t.ExpectBytes != "" })
}

// sends reports whether a turn says anything.
func (c conversation) sends() bool {
	return slices.ContainsFunc(c, func(t QueryResponse) bool { return t.Send != "" || t.SendBytes != "" })
}

// run holds the conversation on conn, which ends with ctx. startTLS returns the stream that is a secure one after so many
// turns. What was found is in facts also when there is an error; the errors are classify's.
func (c conversation) run(ctx context.Context, conn net.Conn, facts *probe.TCPFacts, trace *probe.Trace, startTLS func(after int) (net.Conn, error)) error {
	s, m := &stream{conn: conn, limit: probe.LimitOf(ctx)}, option.Matcher{Ctx: ctx}
	for i := range c {
		t := &c[i]
		if err := t.run(s, &m, facts, trace); err != nil {
			return probe.Redact(network.Classify(ctx, probe.StageConversation, err), s.secrets(probe.SentSecrets)...)
		}
		if !t.StartTLS {
			continue
		}
		if s.buffered() > 0 {
			// An attacker on the way may have put commands behind the plaintext reply, to be taken for encrypted ones
			// (CVE-2011-0411). An honest peer waits for the handshake.
			return probe.Failf(probe.StageConversation, probe.ReasonEarlyData, "starting TLS: the peer sent %d more bytes in plaintext", s.buffered())
		}
		secure, err := startTLS(i + 1)
		if err != nil {
			return err
		}
		s.conn = secure
	}
	return nil
}

// run takes a turn but for its startTLS.
func (t *QueryResponse) run(s *stream, m *option.Matcher, facts *probe.TCPFacts, trace *probe.Trace) error {
	send := t.Send
	if t.Expect.Regexp != nil {
		line, match, err := t.await(s, m, trace)
		if err != nil {
			facts.FailedRegexp = probe.HasReason(err, probe.ReasonNoMatch)
			return err
		}
		if t.Labels != nil {
			addLabels(facts, t.expand(line, match, s.secrets(probe.Credentials)))
		}
		if send != "" {
			send = string(t.Expect.Expand(nil, []byte(send), line, match))
		}
	}
	if t.ExpectBytes != "" {
		if err := t.awaitBytes(s); err != nil {
			facts.FailedBytes = probe.HasReason(err, probe.ReasonBytesMismatch)
			return err
		}
		trace.Step("the expected bytes arrived")
	}
	end := "\n"
	if send == "" {
		send, end = t.SendBytes, ""
	}
	if send == "" {
		return nil
	}
	trace.Sending(send)
	s.sent = append(s.sent, send)
	_, err := io.WriteString(s.conn, send+end)
	return err
}

// await reads lines until one matches. The line is valid until the next read. An error says what came instead.
func (t *QueryResponse) await(s *stream, m *option.Matcher, trace *probe.Trace) (line []byte, match []int, err error) {
	var others otherLines
	for {
		line, err := s.line()
		if err == io.EOF {
			return nil, nil, probe.Failf(probe.StageConversation, probe.ReasonNoMatch, "waiting for a line that matches %q: got %s, then the peer ended the stream", t.Expect, &others)
		}
		if err != nil {
			prompt := ""
			if s.buffered() > 0 {
				prompt = fmt.Sprintf(", and %s without a newline, which is no line; accepted: expect_bytes", probe.Quoted(s.take(s.buffered())))
			}
			return nil, nil, fmt.Errorf("waiting for a line that matches %q: got %s%s: %w", t.Expect, &others, prompt, err)
		}
		match, err := m.Find(t.Expect, line)
		if err != nil {
			return nil, nil, err
		}
		if trace != nil {
			trace.Step("received %s, which matches: %t", probe.Quoted(line), match != nil)
		}
		if match != nil {
			return line, match, nil
		}
		others.add(line)
	}
}

// otherLines are the lines that came and did not match: the first and the last of them, and how many there were.
type otherLines struct {
	count       int
	first, last []byte // their beginnings
}

func (l *otherLines) add(line []byte) {
	line = line[:min(len(line), 256)] // more than Quoted shows
	if l.count++; l.count == 1 {
		l.first = bytes.Clone(line)
	} else {
		l.last = append(l.last[:0], line...)
	}
}

// String shows them for a message.
func (l *otherLines) String() string {
	switch l.count {
	case 0:
		return "no line"
	case 1:
		return probe.Quoted(l.first)
	default:
		return fmt.Sprintf("%d lines, from %s to %s", l.count, probe.Quoted(l.first), probe.Quoted(l.last))
	}
}

// awaitBytes reads as many bytes as are expected, however many pieces they come in, and no byte more.
func (t *QueryResponse) awaitBytes(s *stream) error {
	for want := t.ExpectBytes; len(want) > 0; {
		if err := s.fill(); err != nil {
			return fmt.Errorf("waiting for the bytes %s: got %d of %d: %w", probe.Quoted(t.ExpectBytes), len(t.ExpectBytes)-len(want), len(t.ExpectBytes), err)
		}
		n := min(len(want), s.buffered())
		got := s.take(n)
		if string(got) != want[:n] {
			return probe.Failf(probe.StageConversation, probe.ReasonBytesMismatch, "waiting for the bytes %s: got %s", probe.Quoted(want), probe.Quoted(got))
		}
		want = want[n:]
	}
	return nil
}

// expand makes the labels that a matching line yields, without the credentials that it may repeat.
func (t *QueryResponse) expand(line []byte, match []int, credentials []string) probe.ExpectLabels {
	labels := make(probe.ExpectLabels, 0, len(t.Labels))
	for _, l := range t.Labels {
		value := t.Expect.Expand(nil, []byte(l.Value), line, match)
		labels = append(labels, probe.Label{Name: l.Name, Value: probe.LabelValue(redact.Text(string(value), credentials...))})
	}
	return labels
}

// addLabels adds labels to f once: a series may stand only once in an exposition.
func addLabels(f *probe.TCPFacts, labels probe.ExpectLabels) {
	if !slices.ContainsFunc(f.Expects, func(have probe.ExpectLabels) bool { return slices.Equal(have, labels) }) {
		f.Expects = append(f.Expects, labels)
	}
}

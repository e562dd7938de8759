package tcpprobe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"unicode/utf8"

	"rollcall/probe"
)

// scripted is a peer whose bytes are known beforehand: each Read gives at most step of them. It takes all writes.
type scripted struct {
	net.Conn
	in   io.Reader
	step int
	sent bytes.Buffer
}

func (s *scripted) Read(b []byte) (int, error)  { return s.in.Read(b[:min(len(b), s.step)]) }
func (s *scripted) Write(b []byte) (int, error) { return s.sent.Write(b) }

func FuzzConversation(f *testing.F) {
	for _, seed := range []string{
		"", "SSH-2.0-x\r\n", "220 a\n\x00\x01rest", "PING \xff\xfe\nab", strings.Repeat("x", 3000), strings.Repeat("\n", 3000),
		"220-a\r\n220 b\r\nab250 go\r\ninjected", "\r\r\n\r", "220 ${1} $1\nab",
	} {
		f.Add([]byte(seed), uint8(1))
		f.Add([]byte(seed), uint8(200))
	}
	labelled := expect(`^220 ?(?P<rest>.*)$`)
	labelled.Labels = []ExpectLabel{{Name: "rest", Value: "<${rest}>"}}
	labelled.Send = "HELLO ${1}"
	turns, err := compileConversation("query_response", []QueryResponse{
		labelled, {ExpectBytes: "ab"}, {Expect: expect("go").Expect, StartTLS: true},
	}, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, input []byte, step uint8) {
		run := func(step int) (*scripted, probe.TCPFacts, error, bool) {
			var facts probe.TCPFacts
			secured := false
			peer := &scripted{in: bytes.NewReader(input), step: step}
			err := turns.run(context.Background(), peer, &facts, nil, func(int) (net.Conn, error) {
				secured = true
				return peer, nil
			})
			return peer, facts, err, secured
		}
		peer, facts, err, secured := run(int(step) + 1)
		var failure *probe.Failure
		switch {
		case err == nil && !secured:
			t.Error("the conversation ended well without its last turn")
		case err != nil && !errors.As(err, &failure):
			t.Fatalf("%T: %v", err, err)
		case err != nil && (facts.FailedRegexp != (failure.Reason == probe.ReasonNoMatch) || facts.FailedBytes != (failure.Reason == probe.ReasonBytesMismatch)):
			t.Errorf("facts %+v beside %s", facts, failure.Reason)
		case secured && !bytes.HasSuffix(input[:len(input)-peer.in.(*bytes.Reader).Len()], []byte("\n")) && peer.in.(*bytes.Reader).Len() > 0:
			t.Error("TLS started in the middle of a line")
		}
		for _, labels := range facts.Expects {
			for _, l := range labels {
				if !utf8.ValidString(l.Value) || len(l.Value) > probe.MaxLabelValue {
					t.Errorf("a label of %d bytes, %q", len(l.Value), l.Value)
				}
			}
		}
		if sent := peer.sent.Bytes(); len(sent) > 0 && (bytes.Count(sent, []byte("\n")) != 1 || sent[len(sent)-1] != '\n') {
			t.Errorf("sent %q, which is not one line", sent)
		}
		// How the network cuts the bytes into pieces decides nothing, but for what is read ahead of TLS.
		_, again, otherErr, _ := run(len(input) + 1)
		if len(again.Expects) != len(facts.Expects) || (otherErr == nil && err != nil) {
			t.Errorf("in pieces of %d: %v %+v; in one: %v %+v", step+1, err, facts, otherErr, again)
		}
	})
}

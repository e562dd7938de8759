package icmpprobe

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// replyTo is the message of the reply to e.
func replyTo(e *echo) []byte {
	message := make([]byte, e.size())
	e.write(message)
	_, message[0] = e.types()
	return message
}

func TestReplyRepeatsTheWholeRequest(t *testing.T) {
	for name, e := range map[string]echo{
		"IPv4": newEcho(false, defaultPayload), "IPv6": newEcho(true, defaultPayload),
		"a payload shorter than the nonce": newEcho(false, 3), "a large one": newEcho(true, maxPayload),
	} {
		e.chooseID()
		if !e.isAnsweredBy(replyTo(&e)) {
			t.Errorf("%s: the reply does not count", name)
		}
		for what, change := range map[string]func(m []byte) []byte{
			"a request":            func(m []byte) []byte { m[0], _ = e.types(); return m },
			"another type":         func(m []byte) []byte { m[0] = 3; return m },
			"another code":         func(m []byte) []byte { m[1] = 1; return m },
			"another identifier":   func(m []byte) []byte { m[5]++; return m },
			"another sequence":     func(m []byte) []byte { m[7]++; return m },
			"another nonce":        func(m []byte) []byte { m[echoHeader]++; return m },
			"another last byte":    func(m []byte) []byte { m[len(m)-1]++; return m },
			"a byte less":          func(m []byte) []byte { return m[:len(m)-1] },
			"a byte more":          func(m []byte) []byte { return append(m, 0) },
			"nothing but a header": func(m []byte) []byte { return m[:echoHeader] },
			"less than a header":   func(m []byte) []byte { return m[:echoHeader-1] },
			"nothing":              func([]byte) []byte { return nil },
			"the other family's":   func(m []byte) []byte { other := e; other.ip6 = !e.ip6; return replyTo(&other) },
			"the reply to another": func([]byte) []byte { other := newEcho(e.ip6, e.payload); return replyTo(&other) },
		} {
			if e.isAnsweredBy(change(replyTo(&e))) {
				t.Errorf("%s: %s counts as the reply", name, what)
			}
		}
	}
}

func TestQuoteMatchesTheRequest(t *testing.T) {
	source, dest := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	e := newEcho(false, defaultPayload)
	sent := make([]byte, e.size())
	e.id = 77
	e.write(sent)
	e.id = 0 // as with a ping socket, where the kernel sets it
	if !e.isQuotedBy(sent[:echoHeader], source, dest) || !e.isQuotedBy(append(sent[:echoHeader:echoHeader], make([]byte, 100)...), source, dest) {
		t.Error("a quote of the header does not count")
	}
	for what, change := range map[string]func(){
		"a reply":          func() { sent[0] = 0 },
		"another sequence": func() { sent[7]++ },
		"another nonce":    func() { sent[3]++ },
		"half a header":    func() { sent = sent[:7] },
	} {
		kept := slices.Clone(sent)
		change()
		if e.isQuotedBy(sent, source, dest) {
			t.Errorf("%s counts as a quote", what)
		}
		sent = kept
	}
}

// FuzzMessages holds that only the request with another type counts as the reply, whatever arrives.
func FuzzMessages(f *testing.F) {
	e := newEcho(false, 20)
	e.chooseID()
	f.Add(replyTo(&e), false, uint8(20))
	f.Add([]byte("\x45\x00\x00\x1c"), true, uint8(0))
	f.Add([]byte{0x4f}, false, uint8(255))
	f.Fuzz(func(t *testing.T, data []byte, ip6 bool, payload uint8) {
		e := newEcho(ip6, int(payload))
		if len(data) >= echoHeader { // let some come close
			e.id, e.seq = binary.BigEndian.Uint16(data[4:]), binary.BigEndian.Uint16(data[6:])
			copy(e.nonce[:], data[echoHeader:])
		}
		for _, message := range [][]byte{data, withoutIPHeader(data)} {
			if !e.isAnsweredBy(message) {
				continue
			}
			want := replyTo(&e)
			copy(want[2:], message[2:4]) // the checksum, which the kernel has checked
			if e.id == 0 {
				copy(want[4:], message[4:6])
			}
			if !slices.Equal(message, want) {
				t.Errorf("% x counts as the reply % x", message, want)
			}
		}
		source := netip.IPv6Unspecified()
		if e.isQuotedBy(data, source, source) && binary.BigEndian.Uint16(data[6:]) != e.seq {
			t.Errorf("% x counts as a quote of sequence %d", data, e.seq)
		}
		for code := range uint8(16) {
			if reason, name := (icmpError{ip6, payload, code}).reason(); (reason == "") != (name == "") {
				t.Errorf("type %d code %d: reason %q, name %q", payload, code, reason, name)
			}
		}
	})
}

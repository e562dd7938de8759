package zoo

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// NameServer is a target for dns probes on a loopback port, over UDP and TCP. The first label of the queried name selects its
// behaviour:
//
//	www           two addresses, an authority, an additional record
//	zone          (also prometheus) an SOA record, whose mailbox has a dot in a label
//	empty         no record
//	absent        NXDOMAIN, with the SOA record as authority
//	refused       REFUSED
//	truncated     one of two addresses, marked as truncated
//	large         600 bytes
//	late          first answers with other ids
//	stranger      an answer to another question
//	silent        nothing
//	nonsense      invalid bytes after the right id
//	claims        a header with 65,535 records, without any record
//	loop          a compressed name that points to itself
//	nodata        an address of no bytes
//	short         an address of three bytes
func NameServer(t testing.TB) string {
	t.Helper()
	udp, tcp, err := listenBoth("127.0.0.1:0")
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	answering(nameReplies).serveUDP(t, udp)
	Serve(t, tcp, answering(nameReplies).serveTCP)
	return udp.LocalAddr().String()
}

// NameServerTLS is the same over TLS.
func NameServerTLS(t testing.TB, c *tls.Config) string {
	return TLS(t, c, answering(nameReplies).serveTCP)
}

// nameReplies returns the messages that answer a query.
func nameReplies(query []byte) [][]byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	header.Response, header.Authoritative, header.RecursionAvailable = true, true, true
	behaviour, _, _ := strings.Cut(q.Name.String(), ".")
	build := func(records func(b *dnsmessage.Builder, h dnsmessage.ResourceHeader)) []byte {
		b := dnsmessage.NewBuilder(nil, header)
		b.EnableCompression()
		b.StartQuestions()
		b.Question(q)
		b.StartAnswers()
		records(&b, dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 300})
		msg, err := b.Finish()
		if err != nil {
			return nil
		}
		return msg
	}
	one := func(b *dnsmessage.Builder, h dnsmessage.ResourceHeader) {
		b.AResource(h, dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})
	}
	switch behaviour {
	case "www":
		return [][]byte{build(wwwRecords)}
	case "zone", "prometheus":
		return [][]byte{dotted(build(func(b *dnsmessage.Builder, h dnsmessage.ResourceHeader) { b.SOAResource(h, soa) }))}
	case "empty":
		return [][]byte{build(func(*dnsmessage.Builder, dnsmessage.ResourceHeader) {})}
	case "absent":
		header.RCode = dnsmessage.RCodeNameError
		return [][]byte{dotted(build(func(b *dnsmessage.Builder, h dnsmessage.ResourceHeader) {
			b.StartAuthorities()
			b.SOAResource(h, soa)
		}))}
	case "refused":
		header.RCode = dnsmessage.RCodeRefused
		return [][]byte{build(func(*dnsmessage.Builder, dnsmessage.ResourceHeader) {})}
	case "truncated":
		header.Truncated = true
		return [][]byte{claiming(build(one), 2)}
	case "large":
		return [][]byte{build(func(b *dnsmessage.Builder, h dnsmessage.ResourceHeader) {
			b.TXTResource(h, dnsmessage.TXTResource{TXT: []string{strings.Repeat("x", 200), strings.Repeat("y", 200), strings.Repeat("z", 200)}})
		})}
	case "late":
		other := build(one)
		other[0]++
		return [][]byte{other, build(wwwRecords)}
	case "stranger":
		other := build(one)
		other[13] = 'S'
		other[14] ^= 1
		return [][]byte{other}
	case "nonsense":
		return [][]byte{append(query[:2:2], "nonsense that is no message"...)}
	case "claims":
		return [][]byte{claiming(build(func(*dnsmessage.Builder, dnsmessage.ResourceHeader) {}), 65535)}
	case "loop":
		msg := build(one)
		at := len(query) // of the record's name, a pointer to that of the question
		binary.BigEndian.PutUint16(msg[at:], 0xc000|uint16(at))
		return [][]byte{msg}
	case "nodata":
		msg := build(one)
		msg[len(msg)-5] = 0
		return [][]byte{msg[:len(msg)-4]}
	case "short":
		msg := build(one)
		msg[len(msg)-5] = 3
		return [][]byte{msg[:len(msg)-1]}
	default: // silent
		return nil
	}
}

var soa = dnsmessage.SOAResource{
	NS: dnsmessage.MustNewName("ns.records.test."), MBox: dnsmessage.MustNewName("first-last.records.test."),
	Serial: 2026112201, Refresh: 7200, Retry: 3600, Expire: 1209600, MinTTL: 300,
}

// dotted builds the mailbox first.last, which dnsmessage cannot.
func dotted(msg []byte) []byte {
	return bytes.Replace(msg, []byte("first-last"), []byte("first.last"), 1)
}

func wwwRecords(b *dnsmessage.Builder, h dnsmessage.ResourceHeader) {
	for i := range byte(2) {
		b.AResource(h, dnsmessage.AResource{A: [4]byte{192, 0, 2, 1 + i}})
	}
	ns := dnsmessage.MustNewName("ns.records.test.")
	b.StartAuthorities()
	h.Name = dnsmessage.MustNewName("records.test.")
	b.NSResource(h, dnsmessage.NSResource{NS: ns})
	b.StartAdditionals()
	h.Name = ns
	b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: 0x53}})
}

// claiming sets the number of answers in the header of a message.
func claiming(msg []byte, answers uint16) []byte {
	binary.BigEndian.PutUint16(msg[6:], answers)
	return msg
}

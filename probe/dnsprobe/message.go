package dnsprobe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"

	"golang.org/x/net/idna"
)

// This file reads and writes messages as they are on the wire (RFC 1035, section 4). dnsmessage of golang.org/x/net
// would do, but it refuses a label with a dot in it, which the mailbox of an SOA record may have, and names of
// services; a server that is well would be down.

const (
	dnsHeader = 12 // bytes
	dnsQR     = 1 << 15
	dnsOpcode = 0xf << 11
	dnsTC     = 1 << 9
	dnsRD     = 1 << 8

	maxDNSName     = 255 // bytes of a name on the wire
	maxDNSPointers = 126 // as many as a name can have labels
)

// dnsQuery is a query that only lacks its id.
type dnsQuery []byte

// newDNSQuery makes the query for a name. Its error says what is wrong with the name.
func newDNSQuery(name string, qtype, class uint16, recursion bool) (dnsQuery, error) {
	q := make(dnsQuery, dnsHeader, dnsHeader+maxDNSName+4)
	if recursion {
		binary.BigEndian.PutUint16(q[2:], dnsRD)
	}
	q[5] = 1 // question
	q, err := appendDNSName(q, name)
	if err != nil {
		return nil, err
	}
	q = binary.BigEndian.AppendUint16(q, qtype)
	return binary.BigEndian.AppendUint16(q, class), nil
}

// appendDNSName appends a name as it is on the wire. The final dot may be missing; \. is a dot within a label, and
// \ddd a byte. A name in another script becomes what the registry has.
func appendDNSName(b []byte, name string) ([]byte, error) {
	if strings.ContainsFunc(name, func(r rune) bool { return r > 0x7f }) {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return nil, err
		}
		name = ascii
	}
	start, label := len(b), len(b)
	if name != "." {
		b = append(b, 0)
	}
	for i := 0; i < len(name) && name != "."; i++ {
		switch c := name[i]; {
		case c == '.' && len(b) == label+1:
			return nil, errors.New("has an empty label")
		case c == '.':
			label = len(b)
			b = append(b, 0)
			continue
		case c == '\\' && i+1 == len(name):
			return nil, errors.New(`ends in a single \`)
		case c == '\\' && isThreeDigits(name[i+1:]):
			b = append(b, threeDigits(name[i+1:]))
			i += 3
		case c == '\\':
			b = append(b, name[i+1])
			i++
		default:
			b = append(b, c)
		}
		n := len(b) - label - 1
		if n > 63 {
			return nil, errors.New("has a label of more than 63 bytes")
		}
		b[label] = byte(n)
	}
	if name == "." || b[label] != 0 {
		b = append(b, 0)
	}
	if len(b)-start > maxDNSName {
		return nil, errors.New("is longer than 255 bytes")
	}
	return b, nil
}

func isThreeDigits[T string | []byte](s T) bool {
	return len(s) >= 3 && isDigit(s[0]) && isDigit(s[1]) && isDigit(s[2])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func threeDigits[T string | []byte](s T) byte {
	return (s[0]-'0')*100 + (s[1]-'0')*10 + s[2] - '0'
}

// kinship is what a message has to do with a query.
type kinship int

const (
	notOurs kinship = iota // another's, or nobody's
	oddOne                 // it has our id, and is no answer to our question
	ourAnswer
)

// kin tells an answer to q from what else may arrive: late answers to others, forgeries. Beyond its question an
// answer may be malformed.
func (q dnsQuery) kin(msg []byte) kinship {
	if len(msg) < 2 || msg[0] != q[0] || msg[1] != q[1] {
		return notOurs
	}
	if len(msg) < dnsHeader {
		return oddOne
	}
	flags := binary.BigEndian.Uint16(msg[2:])
	if flags&dnsQR == 0 || flags&dnsOpcode != 0 {
		return oddOne
	}
	questions := binary.BigEndian.Uint16(msg[4:])
	if bare := questions == 0 || len(msg) == dnsHeader; bare && flags&0xf != 0 {
		return ourAnswer // servers refuse also without repeating the question
	}
	if questions != 1 || len(msg) < len(q) || !sameQuestion(q[dnsHeader:], msg[dnsHeader:len(q)]) {
		return oddOne
	}
	return ourAnswer
}

// sameQuestion compares the names in any case, which a server may change.
func sameQuestion(a, b []byte) bool {
	name := len(a) - 4
	if !bytes.Equal(a[name:], b[name:]) {
		return false
	}
	for i := range name {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// lower leaves the lengths of labels alone: they are below the letters.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// dnsReader goes through the records of an answer.
type dnsReader struct {
	msg     []byte
	at      int
	section int    // the current one, an index of dnsSections
	left    [3]int // records of each section by the header's word
}

// dnsSections are the sections behind the question.
var dnsSections = [3]string{"answer", "authority", "additional"}

// errMalformed is an answer that cannot be read.
var errMalformed = errors.New("the answer is malformed")

// records begins with the first record of an answer to q.
func (q dnsQuery) records(msg []byte) dnsReader {
	r := dnsReader{msg: msg, at: dnsHeader}
	if len(msg) > dnsHeader && binary.BigEndian.Uint16(msg[4:]) == 1 {
		r.at = len(q)
	}
	for i := range r.left {
		r.left[i] = int(binary.BigEndian.Uint16(msg[6+2*i:]))
	}
	return r
}

// dnsRecord is one record of a message.
type dnsRecord struct {
	msg   []byte // the message up to the record's end: names point back into it
	name  int    // where the record's own name is
	data  int    // where its data is
	rtype uint16
	class uint16
	ttl   uint32
}

// next is the next record and its section. After the last it says false; so it does when a truncated message, or
// one that is only a header, ends sooner than it says.
func (r *dnsReader) next() (rec dnsRecord, more bool, err error) {
	for r.section < len(r.left) && r.left[r.section] == 0 {
		r.section++
	}
	if r.section == len(r.left) {
		return rec, false, nil
	}
	if r.at == len(r.msg) && (r.truncated() || r.at == dnsHeader) {
		return rec, false, nil
	}
	rec.name = r.at
	at := skipDNSName(r.msg, r.at)
	if at < 0 || at+10 > len(r.msg) {
		return rec, false, errMalformed
	}
	rec.rtype = binary.BigEndian.Uint16(r.msg[at:])
	rec.class = binary.BigEndian.Uint16(r.msg[at+2:])
	rec.ttl = binary.BigEndian.Uint32(r.msg[at+4:])
	rec.data = at + 10
	end := rec.data + int(binary.BigEndian.Uint16(r.msg[at+8:]))
	if end > len(r.msg) {
		return rec, false, errMalformed
	}
	rec.msg, r.at = r.msg[:end], end
	r.left[r.section]--
	return rec, true, nil
}

func (r *dnsReader) truncated() bool { return binary.BigEndian.Uint16(r.msg[2:])&dnsTC != 0 }

// skipDNSName returns where a name ends, -1 when it does not.
func skipDNSName(msg []byte, at int) int {
	for at < len(msg) {
		n := int(msg[at])
		switch {
		case n == 0:
			return at + 1
		case n >= 0xc0 && at+2 <= len(msg):
			return at + 2
		case n > 63:
			return -1
		}
		at += 1 + n
	}
	return -1
}

// serial is the serial number in the data of an SOA record that has been found sound.
func (rec dnsRecord) serial() uint32 {
	return binary.BigEndian.Uint32(rec.msg[len(rec.msg)-20:])
}

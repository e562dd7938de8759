package dnsprobe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"rollcall/probe/network"
	"rollcall/probe/option"
)

const headerSize = 12 // bytes before the question (RFC 1035, 4.1.1)

// query is what a module asks. It is the same at each probe but for its ID.
type query struct {
	name   string // as the library writes it
	packed []byte
}

// compileQuery makes the query of a module; its errors are option.Errors.
func compileQuery(o *Options) (query, error) {
	var errs option.Collector
	class, err := number(dns.StringToClass, o.QueryClass, dns.ClassINET)
	errs.Add("query_class", err)
	qtype, err := number(dns.StringToType, o.QueryType, dns.TypeANY)
	errs.Add("query_type", err)
	if o.QueryName == "" {
		errs.Add("query_name", option.ErrRequired)
		return query{}, errs.Err()
	}
	q, err := newQuery(o.QueryName, qtype, class, o.RecursionDesired)
	if err != nil {
		errs.Unusablef("query_name", "%q %w", o.QueryName, err)
	}
	return q, errs.Err()
}

// number finds a number by its name; an empty name stands for otherwise.
func number(all map[string]uint16, name string, otherwise uint16) (uint16, error) {
	if name == "" {
		return otherwise, nil
	}
	if n, known := all[name]; known {
		return n, nil
	}
	return 0, fmt.Errorf("%q is unknown; accepted: %s", name, namesOf(all))
}

// namesOf lists the names for an error.
func namesOf[T any](all map[string]T) string {
	return strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}

// newQuery packs the query for name, whose final dot may be missing. A name in another script is asked for in ASCII (RFC
// 5891). Unlike host names, it may have underscores, and escapes as in a zone file.
func newQuery(name string, qtype, class uint16, recursion bool) (query, error) {
	name, err := network.ASCIIName(name)
	if err != nil {
		return query{}, fmt.Errorf("cannot be written in ASCII: %w", err)
	}
	if _, ok := dns.IsDomainName(name); !ok {
		return query{}, errors.New("is not a domain name; accepted: labels of 1 to 63 bytes with dots between, 255 bytes in all")
	}
	m := dns.Msg{
		MsgHdr:   dns.MsgHdr{RecursionDesired: recursion},
		Question: []dns.Question{{Name: dns.Fqdn(name), Qtype: qtype, Qclass: class}},
	}
	packed, err := m.Pack()
	if err != nil {
		return query{}, fmt.Errorf("is not a domain name: %w", err)
	}
	q := query{packed: packed}
	q.name, _, err = dns.UnpackDomainName(packed, headerSize)
	return q, err
}

// errOtherID is about a message that answers another query, or was sent by an attacker who did not see ours.
var errOtherID = errors.New("it has another ID")

// checkHeader says what keeps a message from being an answer to the query with this ID, as far as the beginning of the
// message shows; nil: nothing does.
func checkHeader(id uint16, beginning []byte) error {
	if len(beginning) >= 2 && binary.BigEndian.Uint16(beginning) != id {
		return errOtherID
	}
	if len(beginning) < 4 {
		return nil
	}
	switch flags := binary.BigEndian.Uint16(beginning[2:]); {
	case flags>>15 == 0:
		return errors.New("it is a query")
	case flags>>11&0xf != dns.OpcodeQuery:
		return errors.New("it answers another kind of query")
	}
	return nil
}

// answer is a message that answers our query. Its records are not read yet: they may be malformed.
type answer struct {
	msg       []byte
	records   int // offset of the first record
	counts    [len(sections)]int
	rcode     int // without the bits that an OPT record adds
	truncated bool
}

// match reads msg as the answer to q with this ID. Names compare in any case, which a server may change.
func (q query) match(id uint16, msg []byte) (answer, error) {
	if err := checkHeader(id, msg); err != nil {
		return answer{}, err
	}
	if len(msg) < headerSize {
		return answer{}, errors.New("it is shorter than a header")
	}
	a := answer{msg: msg, records: headerSize, rcode: int(msg[3] & 0xf), truncated: msg[2]&2 != 0}
	for i := range a.counts {
		a.counts[i] = int(binary.BigEndian.Uint16(msg[6+2*i:]))
	}
	questions := binary.BigEndian.Uint16(msg[4:])
	if (questions == 0 || len(msg) == headerSize) && a.rcode != dns.RcodeSuccess {
		return a, nil // some servers refuse without repeating the question
	}
	if questions != 1 {
		return answer{}, fmt.Errorf("it has %d questions", questions)
	}
	name, end, err := dns.UnpackDomainName(msg, headerSize)
	if err != nil || !strings.EqualFold(name, q.name) || !bytes.HasPrefix(msg[end:], q.packed[len(q.packed)-4:]) {
		return answer{}, errors.New("it answers another question")
	}
	a.records = end + 4
	return a, nil
}

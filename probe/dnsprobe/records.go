package dnsprobe

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// sections are the sections behind the question.
var sections = [...]string{"answer", authority: "authority", additional: "additional"}

const authority, additional = 1, 2

// records reads the records of an answer one after the other. A message of 64 KiB can hold megabytes of text, because names
// are compressed: only one record is in memory at a time.
type records struct {
	msg     []byte
	off     int
	left    [len(sections)]int // records of each section, as the header says
	section int                // of the last record
	partial bool               // the message may end sooner than its header says
}

func (a *answer) reader() records {
	return records{msg: a.msg, off: a.records, left: a.counts, partial: a.truncated || len(a.msg) == headerSize}
}

// next returns the next record, nil after the last. The library accepts a message with fewer records than the header says;
// this does not, unless the message is truncated.
func (r *records) next() (dns.RR, error) {
	for r.left[r.section] == 0 {
		if r.section == len(sections)-1 {
			return nil, nil
		}
		r.section++
	}
	if r.off == len(r.msg) {
		if r.partial {
			return nil, nil
		}
		return nil, errors.New("it has fewer records than it says")
	}
	r.left[r.section]--
	return r.read()
}

func (r *records) read() (dns.RR, error) {
	name, off, err := dns.UnpackDomainName(r.msg, r.off)
	if err != nil {
		return nil, fmt.Errorf("a record's name: %w", err)
	}
	const fixed = 10 // bytes between a record's name and its data
	if len(r.msg)-off < fixed {
		return nil, errors.New("it ends within a record")
	}
	b := r.msg[off:]
	h := dns.RR_Header{
		Name: name, Rrtype: binary.BigEndian.Uint16(b), Class: binary.BigEndian.Uint16(b[2:]),
		Ttl: binary.BigEndian.Uint32(b[4:]), Rdlength: binary.BigEndian.Uint16(b[8:]),
	}
	start, end := off+fixed, off+fixed+int(h.Rdlength)
	switch size := int(h.Rdlength); {
	case end > len(r.msg):
		return nil, errors.New("it ends within a record")
	case size > maxData(h.Rrtype):
		return nil, fmt.Errorf("a record of type %s has %d bytes of data", dns.Type(h.Rrtype), size)
	case size == 0 && needsData(h.Rrtype):
		return nil, fmt.Errorf("a record of type %s has no data", dns.Type(h.Rrtype))
	}
	rr, _, err := dns.UnpackRRWithHeader(h, r.msg[:end], start)
	if err != nil {
		return nil, fmt.Errorf("a record of type %s: %w", dns.Type(h.Rrtype), err)
	}
	r.off = end
	return rr, nil
}

// maxData bounds the data of records that are lists. Compressed names and bits make the text of a list up to a thousand
// times as long as its data, and the library needs quadratic time to write it. Real ones have at most some hundred bytes.
func maxData(rrtype uint16) int {
	switch rrtype {
	case dns.TypeHIP, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNXT, dns.TypeCSYNC:
		return 1 << 10
	case dns.TypeOPT, dns.TypeSVCB, dns.TypeHTTPS:
		return 8 << 10
	default:
		return 64 << 10
	}
}

// needsData reports whether a record of this type must have data. The library takes any without, because dynamic updates
// (RFC 2136) have such records; answers have not.
func needsData(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeNULL, dns.TypeTXT, dns.TypeOPT, dns.TypeAPL:
		return false
	default:
		return dns.TypeToRR[rrtype] != nil
	}
}

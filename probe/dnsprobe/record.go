package dnsprobe

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxRecordText bounds the text of one record: 64 KiB of data with every byte as \ddd, and some names.
const maxRecordText = 1 << 18

// appendDNSRecord appends a record as text, byte by byte what github.com/miekg/dns writes: the regular expressions of
// modules were written for that. It reports false for one whose data is not what its type demands.
func appendDNSRecord(text []byte, rec dnsRecord) ([]byte, bool) {
	d := dnsData{msg: rec.msg, at: rec.name, text: text}
	t := dnsTypeOf(rec.rtype)
	switch {
	case t.layout == "":
		return d.unknown(rec)
	case t.layout == "E":
		d.at = rec.data
		d.edns(rec)
		return d.text, d.sound()
	case t.layout == "Z":
		d.str("\n;; TSIG PSEUDOSECTION:\n; ")
	case t.layout == "Y" || t.layout == "r":
		d.str(";")
	}
	d.name()
	d.tab(uint64(rec.ttl))
	d.text = append(appendClassName(append(d.text, '\t'), rec.class), '\t')
	d.str(t.name)
	d.str("\t")
	d.at = rec.data
	for i := range len(t.layout) {
		if code := t.layout[i]; i > 0 && code != 'm' && code != 'k' {
			d.str(" ")
		}
		d.field(t.layout[i])
	}
	return d.text, d.sound()
}

// dnsData reads a record's data and writes it as text. Once something was amiss it stays so, and what is written no
// longer counts.
type dnsData struct {
	msg   []byte
	at    int
	text  []byte
	amiss bool
}

// sound reports whether all was read and as it should be.
func (d *dnsData) sound() bool { return !d.amiss && d.at == len(d.msg) }

// unknown writes a record of an unknown type (RFC 3597, section 5).
func (d *dnsData) unknown(rec dnsRecord) ([]byte, bool) {
	d.name()
	d.tab(uint64(rec.ttl))
	d.str("\tCLASS")
	d.number(uint64(rec.class))
	d.str("\tTYPE")
	d.number(uint64(rec.rtype))
	d.str("\t\\# ")
	d.at = rec.data
	d.number(uint64(len(d.msg) - d.at))
	d.str(" ")
	d.text = hex.AppendEncode(d.text, d.rest())
	return d.text, d.sound()
}

// field reads and writes one field; see dnsType for the codes that many types have.
func (d *dnsData) field(code byte) {
	switch code {
	case '1', '2', '4':
		d.number(d.uint(int(code - '0')))
	case 'i':
		d.address(4)
	case 'I':
		d.address(16)
	case 'n':
		d.name()
	case 'q':
		d.quoted()
	case 'Q':
		d.optionalQuoted()
	case 'u':
		d.escaped(d.take(int(d.uint(1))))
	case 't':
		d.strings()
	case 'o':
		d.octets(d.rest())
	case 'x':
		d.text = hex.AppendEncode(d.text, d.rest())
	case 'X':
		d.upperHex(d.rest())
	case 'b':
		d.text = base64.StdEncoding.AppendEncode(d.text, d.rest())
	case 'T':
		d.text = appendTypeName(d.text, uint16(d.uint(2)))
	case 'd':
		d.date(int64(d.uint(4)))
	case 'm':
		d.bitmap()
	default:
		d.rareField(code)
	}
}

// take reads n bytes.
func (d *dnsData) take(n int) []byte {
	if n > len(d.msg)-d.at {
		d.amiss = true
		return nil
	}
	d.at += n
	return d.msg[d.at-n : d.at]
}

func (d *dnsData) rest() []byte { return d.take(len(d.msg) - d.at) }

// uint reads a number of n bytes.
func (d *dnsData) uint(n int) (v uint64) {
	for _, b := range d.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

// str is called in a hundred places, of which each would take as much of the program as this function does.
//
//go:noinline
func (d *dnsData) str(s string) { d.text = append(d.text, s...) }

func (d *dnsData) number(v uint64) { d.text = strconv.AppendUint(d.text, v, 10) }

// tab writes a tab and a number.
func (d *dnsData) tab(v uint64) { d.text = strconv.AppendUint(append(d.text, '\t'), v, 10) }

// spaced writes a space and a number.
func (d *dnsData) spaced(v uint64) { d.text = strconv.AppendUint(append(d.text, ' '), v, 10) }

// name reads a name, which may be compressed (RFC 1035, 4.1.4).
func (d *dnsData) name() {
	at, end := d.at, -1 // end: where reading goes on after the name
	length, pointers, start := 0, 0, len(d.text)
	for {
		if at >= len(d.msg) {
			d.amiss = true
			return
		}
		n := int(d.msg[at])
		at++
		switch {
		case n == 0:
			if len(d.text) == start {
				d.str(".")
			}
			if d.at = at; end >= 0 {
				d.at = end
			}
			return
		case n >= 0xc0 && at < len(d.msg) && pointers < maxDNSPointers:
			if pointers++; end < 0 {
				end = at + 1
			}
			at = int(binary.BigEndian.Uint16(d.msg[at-1:])) & 0x3fff
		case n <= 63 && at+n <= len(d.msg) && length+n+1 < maxDNSName:
			length += n + 1
			for _, c := range d.msg[at : at+n] {
				d.text = appendOfName(d.text, c)
			}
			d.text = append(d.text, '.')
			at += n
		default:
			d.amiss = true
			return
		}
	}
}

func appendOfName(b []byte, c byte) []byte {
	if strings.IndexByte(`. '@;()"\`, c) >= 0 {
		return append(b, '\\', c)
	}
	return appendPrintable(b, c)
}

func appendPrintable(b []byte, c byte) []byte {
	if c < ' ' || c > '~' {
		return append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
	}
	return append(b, c)
}

// escaped writes what stands between quotation marks.
func (d *dnsData) escaped(s []byte) {
	for _, c := range s {
		if c == '"' || c == '\\' {
			d.text = append(d.text, '\\')
		}
		d.text = appendPrintable(d.text, c)
	}
}

func (d *dnsData) quoted() {
	d.str(`"`)
	d.escaped(d.take(int(d.uint(1))))
	d.str(`"`)
}

func (d *dnsData) optionalQuoted() {
	if d.at == len(d.msg) {
		d.str(`""`)
		return
	}
	d.quoted()
}

// strings reads strings until the end. There should be one at least, but a record without data shows none.
func (d *dnsData) strings() {
	for first := true; d.at < len(d.msg) && !d.amiss; first = false {
		if !first {
			d.str(" ")
		}
		d.quoted()
	}
}

// octets writes a value that has no length of its own. The library reads a backslash in it as in a zone file.
func (d *dnsData) octets(s []byte) {
	d.str(`"`)
	for len(s) > 0 {
		n := 1
		switch {
		case s[0] != '\\':
			d.escaped(s[:1])
		case len(s) == 1: // a backslash at the end is left out
		case s[1] == '.':
			d.str(`\.`)
			n = 2
		case isThreeDigits(s[1:]):
			d.escaped([]byte{threeDigits(s[1:])})
			n = 4
		default:
			d.escaped(s[1:2])
			n = 2
		}
		s = s[n:]
	}
	d.str(`"`)
}

func (d *dnsData) address(size int) {
	if addr, ok := netip.AddrFromSlice(d.take(size)); ok {
		d.text = addr.AppendTo(d.text)
	}
}

const upperDigits = "0123456789ABCDEF"

func (d *dnsData) upperHex(s []byte) {
	for _, c := range s {
		d.text = append(d.text, upperDigits[c>>4], upperDigits[c&0xf])
	}
}

func (d *dnsData) date(seconds int64) {
	d.text = time.Unix(seconds, 0).UTC().AppendFormat(d.text, "20060102150405")
}

// salt reads the salt of NSEC3: a length and so many bytes.
func (d *dnsData) salt() {
	if salt := d.take(int(d.uint(1))); len(salt) > 0 {
		d.upperHex(salt)
	} else {
		d.str("-")
	}
}

// hash reads the next owner's hash of NSEC3.
func (d *dnsData) hash() {
	d.text = base32.HexEncoding.WithPadding(base32.NoPadding).AppendEncode(d.text, d.take(int(d.uint(1))))
}

// bitmap reads which types a name has (RFC 4034, 4.1.2) and writes a space before each.
func (d *dnsData) bitmap() {
	for last := -1; d.at < len(d.msg) && !d.amiss; {
		window, size := int(d.uint(1)), int(d.uint(1))
		if window <= last || size == 0 || size > 32 {
			d.amiss = true
			return
		}
		for i, bits := range d.take(size) {
			for bit := range 8 {
				if bits&(0x80>>bit) != 0 {
					d.text = appendTypeName(append(d.text, ' '), uint16(window<<8|i<<3|bit))
				}
			}
		}
		last = window
	}
}

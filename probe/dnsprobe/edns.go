package dnsprobe

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"unicode/utf8"
)

// ednsTitles are what stands before an option of OPT.
var ednsTitles = map[uint64]string{
	1: "LONG LIVED QUERIES", 2: "UPDATE LEASE", 3: "NSID", 4: "ESU", 5: "DNSSEC ALGORITHM UNDERSTOOD", 6: "DS HASH UNDERSTOOD",
	7: "NSEC3 HASH UNDERSTOOD", 8: "SUBNET", 9: "EXPIRE", 10: "COOKIE", 11: "KEEPALIVE", 12: "PADDING", 15: "EDE",
	18: "REPORT-CHANNEL", 19: "ZONEVERSION",
}

// extendedErrors are the errors of RFC 8914 by their number.
var extendedErrors = [...]string{
	"Other", "Unsupported DNSKEY Algorithm", "Unsupported DS Digest Type", "Stale Answer", "Forged Answer",
	"DNSSEC Indeterminate", "DNSSEC Bogus", "Signature Expired", "Signature Not Yet Valid", "DNSKEY Missing", "RRSIGs Missing",
	"No Zone Key Bit Set", "NSEC Missing", "Cached Error", "Not Ready", "Blocked", "Censored", "Filtered", "Prohibited",
	"Stale NXDOMAIN Answer", "Not Authoritative", "Not Supported", "No Reachable Authority", "Network Error", "Invalid Data",
	"Signature Expired Before Valid", "Too Early", "Unsupported NSEC3 Iterations Value", "Unable To Conform To Policy",
	"Synthesized", "Invalid Query Type",
}

var digestAlgorithms = map[uint64]string{1: "SHA1", 2: "SHA256", 3: "GOST94", 4: "SHA384", 5: "SHA512"}

// edns writes OPT (RFC 6891), which is no record but looks like one: its class and time to live have other meanings.
func (d *dnsData) edns(rec dnsRecord) {
	d.str("\n;; OPT PSEUDOSECTION:\n; EDNS: version ")
	d.number(uint64(rec.ttl >> 16 & 0xff))
	d.str("; flags:")
	if rec.ttl&0x8000 != 0 {
		d.str(" do")
	}
	if rec.ttl&0x4000 != 0 {
		d.str(" co")
	}
	d.str("; ")
	if z := rec.ttl & 0x3fff; z != 0 {
		d.str("MBZ: 0x")
		d.text = hex.AppendEncode(d.text, binary.BigEndian.AppendUint16(nil, uint16(z)))
		d.str(", ")
	}
	d.str("udp: ")
	d.number(uint64(rec.class))
	for d.at < len(d.msg) && !d.amiss {
		code := d.uint(2)
		option := dnsData{msg: d.take(int(d.uint(2))), text: d.text}
		option.ednsOption(code)
		d.text, d.amiss = option.text, d.amiss || option.amiss
	}
}

// ednsOption reads and writes one option of OPT; d is its data alone.
func (d *dnsData) ednsOption(code uint64) {
	title, known := ednsTitles[code]
	if !known {
		title = "LOCAL OPT"
	}
	d.str("\n; " + title + ": ")
	switch code {
	case 1:
		for i, size := range []int{2, 2, 2, 8, 4} {
			if i > 0 {
				d.str(" ")
			}
			d.number(d.uint(size))
		}
	case 2:
		d.updateLease()
	case 3:
		d.serverID()
	case 4:
		d.text = append(d.text, d.rest()...)
	case 5:
		d.algorithms(keyAlgorithms)
	case 6, 7:
		d.algorithms(digestAlgorithms)
	case 8:
		d.clientSubnet()
	case 9:
		if len(d.msg) > 0 {
			d.number(d.uint(4))
		}
	case 10:
		d.text = hex.AppendEncode(d.text, d.rest())
	case 11:
		d.keepAlive()
	case 12:
		d.upperHex(d.rest())
	case 15:
		d.extendedError()
	case 18:
		d.name()
	case 19:
		d.take(2)
		d.text = append(d.text, d.rest()...)
	default:
		d.number(code)
		d.str(":0x")
		d.text = hex.AppendEncode(d.text, d.rest())
	}
}

func (d *dnsData) updateLease() {
	lease, key := d.uint(4), uint64(0)
	if len(d.msg) > 4 {
		key = d.uint(4)
	}
	d.number(lease)
	d.spaced(key)
	d.amiss = !d.sound()
}

// serverID writes NSID twice: in hexadecimal, and as the characters that it may mean.
func (d *dnsData) serverID() {
	id := d.rest()
	d.text = hex.AppendEncode(d.text, id)
	d.str("  ")
	for _, c := range id {
		d.text = append(utf8.AppendRune(append(d.text, '('), rune(c)), ')')
	}
}

func (d *dnsData) algorithms(names map[uint64]string) {
	for d.at < len(d.msg) {
		d.str(" ")
		d.named(d.uint(1), names)
	}
}

// clientSubnet writes the network that an answer is for (RFC 7871).
func (d *dnsData) clientSubnet() {
	family, source, scope := d.uint(2), d.uint(1), d.uint(1)
	size, bits := 4, uint64(32)
	switch family {
	case 0:
		d.amiss = d.amiss || source != 0
		d.at, bits = len(d.msg), 255
	case 2:
		size, bits = 16, 128
	}
	if family > 2 || source > bits || scope > bits {
		d.amiss = true
		return
	}
	var whole [16]byte
	copy(whole[:size], d.rest())
	addr, _ := netip.AddrFromSlice(whole[:size])
	if addr = addr.Unmap(); addr.Is6() {
		d.str("[")
		d.text = append(addr.AppendTo(d.text), ']')
	} else {
		d.text = addr.AppendTo(d.text)
	}
	d.str("/")
	d.number(source)
	d.str("/")
	d.number(scope)
}

func (d *dnsData) keepAlive() {
	d.str("use tcp keep-alive, timeout ")
	timeout := uint16(0)
	if len(d.msg) > 0 {
		timeout = uint16(d.uint(2))
		d.amiss = !d.sound()
	}
	if timeout == 0 {
		d.str("omitted")
		return
	}
	d.number(uint64(timeout * 100)) // which wraps around, as in the library
	d.str("ms")
}

func (d *dnsData) extendedError() {
	code := d.uint(2)
	d.number(code)
	if code < uint64(len(extendedErrors)) {
		d.str(" (" + extendedErrors[code] + ")")
	}
	d.str(": (")
	d.text = append(d.text, d.rest()...)
	d.str(")")
}

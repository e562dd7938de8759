package dnsprobe

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/netip"
	"strconv"
)

// This file writes what only one or two types have.

// rareField reads and writes a field whose code only one or two types have.
func (d *dnsData) rareField(code byte) {
	switch code {
	case '-': // no data
	case 'r': // NULL: the bytes as they are
		d.text = append(d.text, d.rest()...)
	case 's':
		d.salt()
	case 'h':
		d.hash()
	case 'c':
		d.chunks(d.rest())
	case 'k':
		d.servicePairs()
	case 'g', 'G':
		d.locator(code == 'G')
	case '5':
		d.dashed(6)
	case '6':
		d.dashed(8)
	case 'C':
		d.named(d.uint(2), certificateTypes)
	case 'A':
		d.named(d.uint(1), keyAlgorithms)
	case 'L':
		d.location()
	case 'p':
		d.prefixes()
	case 'K':
		d.ipsecKey()
	case 'M':
		d.relay()
	case 'H':
		d.hostIdentity()
	case 'Y':
		d.transactionKey()
	case 'Z':
		d.transactionSignature()
	}
}

var certificateTypes = map[uint64]string{
	1: "PKIX", 2: "SPKI", 3: "PGP", 4: "IPIX", 5: "ISPKI", 6: "IPGP", 7: "ACPKIX", 8: "IACPKIX", 253: "URI", 254: "OID",
}

var keyAlgorithms = map[uint64]string{
	1: "RSAMD5", 2: "DH", 3: "DSA", 5: "RSASHA1", 6: "DSA-NSEC3-SHA1", 7: "RSASHA1-NSEC3-SHA1", 8: "RSASHA256",
	10: "RSASHA512", 12: "ECC-GOST", 13: "ECDSAP256SHA256", 14: "ECDSAP384SHA384", 15: "ED25519", 16: "ED448",
	252: "INDIRECT", 253: "PRIVATEDNS", 254: "PRIVATEOID",
}

// named writes the name of a number, or the number.
func (d *dnsData) named(v uint64, names map[uint64]string) {
	if name, ok := names[v]; ok {
		d.str(name)
		return
	}
	d.number(v)
}

// chunks writes the certificate of SMIMEA: a space after each 512 bytes.
func (d *dnsData) chunks(s []byte) {
	const size = 512
	for ; len(s) >= size; s = s[size:] {
		d.text = append(hex.AppendEncode(d.text, s[:size]), ' ')
	}
	d.text = hex.AppendEncode(d.text, s)
}

// locator writes 64 bits as four groups.
func (d *dnsData) locator(upper bool) {
	for i := range 4 {
		if i > 0 {
			d.str(":")
		}
		group := d.take(2)
		if upper {
			d.upperHex(group)
		} else {
			d.text = hex.AppendEncode(d.text, group)
		}
	}
}

func (d *dnsData) dashed(size int) {
	for i, c := range d.take(size) {
		if i > 0 {
			d.str("-")
		}
		d.text = hex.AppendEncode(d.text, []byte{c})
	}
}

// location writes LOC (RFC 1876).
func (d *dnsData) location() {
	d.uint(1) // version
	size, horizontal, vertical := d.uint(1), d.uint(1), d.uint(1)
	d.angle(d.uint(4), " N ", " S ")
	d.angle(d.uint(4), " E ", " W ")
	altitude := d.uint(4)
	decimals := 0
	if altitude%100 != 0 {
		decimals = 2
	}
	d.text = strconv.AppendFloat(d.text, float64(altitude)/100-100_000, 'f', decimals, 64)
	for _, precision := range []uint64{size, horizontal, vertical} {
		d.str("m ")
		d.metres(precision)
	}
	d.str("m")
}

func (d *dnsData) angle(v uint64, above, below string) {
	const zero, minute = 1 << 31, 60 * 1000 // in thousandths of a second
	hemisphere := above
	if v > zero {
		v -= zero
	} else {
		v = zero - v
		hemisphere = below
	}
	d.twoDigits(v / (60 * minute))
	d.str(" ")
	d.twoDigits(v / minute % 60)
	d.str(" ")
	d.text = strconv.AppendFloat(d.text, float64(v%minute)/1000, 'f', 3, 64)
	d.str(hemisphere)
}

func (d *dnsData) twoDigits(v uint64) {
	if v < 10 {
		d.str("0")
	}
	d.number(v)
}

// metres writes a precision: a digit and a power of ten, in centimetres.
func (d *dnsData) metres(v uint64) {
	digit, power := v>>4, v&0xf
	if power < 2 {
		d.str("0.")
		if power == 1 {
			digit *= 10
		}
		d.twoDigits(digit)
		return
	}
	d.number(digit)
	for range power - 2 {
		d.str("0")
	}
}

// prefixes writes APL (RFC 3123).
func (d *dnsData) prefixes() {
	for first := true; d.at < len(d.msg) && !d.amiss; first = false {
		family, prefix, length := d.uint(2), d.uint(1), d.uint(1)
		size := 4 * int(family*family) // 4 for the first family, 16 for the second
		part := d.take(int(length & 0x7f))
		if family < 1 || family > 2 || int(prefix) > 8*size || len(part) > size || len(part) > 0 && part[len(part)-1] == 0 {
			d.amiss = true
			return
		}
		if !first {
			d.str(" ")
		}
		if length&0x80 != 0 {
			d.str("!")
		}
		d.number(family)
		d.str(":")
		var whole [16]byte
		copy(whole[:], part)
		addr, _ := netip.AddrFromSlice(whole[:size])
		d.text = addr.AppendTo(d.text)
		d.str("/")
		d.number(prefix)
	}
}

// ipsecKey writes IPSECKEY (RFC 4025).
func (d *dnsData) ipsecKey() {
	precedence, gateway, algorithm := d.uint(1), d.uint(1), d.uint(1)
	d.number(precedence)
	d.spaced(gateway)
	d.spaced(algorithm)
	d.str(" ")
	d.gateway(gateway)
	d.str(" ")
	d.text = base64.StdEncoding.AppendEncode(d.text, d.rest())
}

// relay writes AMTRELAY (RFC 8777).
func (d *dnsData) relay() {
	precedence, gateway := d.uint(1), d.uint(1)
	d.number(precedence)
	d.spaced(gateway >> 7)
	d.spaced(gateway & 0x7f)
	d.str(" ")
	d.gateway(gateway & 0x7f)
}

func (d *dnsData) gateway(kind uint64) {
	switch kind {
	case 1:
		d.address(4)
	case 2:
		d.address(16)
	case 3:
		d.name()
	default:
		d.str(".")
	}
}

// hostIdentity writes HIP (RFC 8005).
func (d *dnsData) hostIdentity() {
	identity, algorithm, key := d.uint(1), d.uint(1), d.uint(2)
	d.number(algorithm)
	d.str(" ")
	d.text = hex.AppendEncode(d.text, d.take(int(identity)))
	d.str(" ")
	d.text = base64.StdEncoding.AppendEncode(d.text, d.take(int(key)))
	for d.at < len(d.msg) && !d.amiss {
		d.str(" ")
		if d.name(); len(d.text) > maxRecordText {
			d.amiss = true // thousands of pointers to a long name
		}
	}
}

// transactionKey writes TKEY, which has no presentation of its own.
func (d *dnsData) transactionKey() {
	d.str(" ")
	d.name()
	for range 2 {
		d.str(" ")
		d.date(int64(d.uint(4)))
	}
	d.spaced(d.uint(2))
	d.spaced(d.uint(2))
	d.counted(false)
	d.counted(false)
}

// transactionSignature writes TSIG, which has none either.
func (d *dnsData) transactionSignature() {
	d.str(" ")
	d.name()
	d.str(" ")
	d.date(int64(d.uint(6)))
	d.spaced(d.uint(2))
	d.counted(true)
	d.spaced(d.uint(2))
	d.spaced(d.uint(2))
	d.counted(false)
}

// counted writes a length of two bytes, and so many in hexadecimal.
func (d *dnsData) counted(upper bool) {
	n := d.uint(2)
	d.spaced(n)
	d.str(" ")
	if upper {
		d.upperHex(d.take(int(n)))
	} else {
		d.text = hex.AppendEncode(d.text, d.take(int(n)))
	}
}

var serviceKeys = map[uint64]string{
	0: "mandatory", 1: "alpn", 2: "no-default-alpn", 3: "port", 4: "ipv4hint", 5: "ech", 6: "ipv6hint", 7: "dohpath", 8: "ohttp",
}

func (d *dnsData) serviceKey(key uint64) {
	if key == math.MaxUint16 {
		return // reserved: it has no name
	}
	if _, known := serviceKeys[key]; !known {
		d.str("key")
	}
	d.named(key, serviceKeys)
}

// servicePairs writes the parameters of SVCB and HTTPS (RFC 9460), with a space before each.
func (d *dnsData) servicePairs() {
	for last := -1; d.at < len(d.msg) && !d.amiss; {
		key := d.uint(2)
		value := dnsData{msg: d.take(int(d.uint(2)))}
		if int(key) <= last || key == math.MaxUint16 {
			d.amiss = true
			return
		}
		last = int(key)
		d.str(" ")
		d.serviceKey(key)
		d.str(`="`)
		value.text = d.text
		value.serviceValue(key)
		d.text, d.amiss = value.text, d.amiss || !value.sound()
		d.str(`"`)
	}
}

func (d *dnsData) serviceValue(key uint64) {
	switch key {
	case 0:
		d.listed(func() { d.serviceKey(d.uint(2)) })
	case 1:
		d.listed(d.protocol)
	case 2, 8: // no value
	case 3:
		d.number(d.uint(2))
	case 4:
		d.amiss = len(d.msg) == 0
		d.listed(func() { d.address(4) })
	case 5:
		d.text = base64.StdEncoding.AppendEncode(d.text, d.rest())
	case 6:
		d.amiss = len(d.msg) == 0
		d.listed(d.plainIPv6)
	default:
		for _, c := range d.rest() {
			if c == '"' || c == ';' || c == ' ' || c == '\\' {
				d.text = append(d.text, '\\')
			}
			d.text = appendPrintable(d.text, c)
		}
	}
}

// listed writes items until the end, with commas between.
func (d *dnsData) listed(item func()) {
	for first := true; d.at < len(d.msg) && !d.amiss; first = false {
		if !first {
			d.str(",")
		}
		item()
	}
}

// protocol writes one of alpn. A comma and a backslash are escaped twice, for the list and for the string.
func (d *dnsData) protocol() {
	for _, c := range d.take(int(d.uint(1))) {
		switch c {
		case '"', ';', ' ':
			d.text = append(d.text, '\\', c)
		case ',':
			d.str(`\\\044`)
		case '\\':
			d.str(`\\\092`)
		default:
			d.text = appendPrintable(d.text, c)
		}
	}
}

// plainIPv6 reads an address that is not IPv4's in IPv6's clothes.
func (d *dnsData) plainIPv6() {
	if d.address(16); !d.amiss {
		addr, _ := netip.AddrFromSlice(d.msg[d.at-16 : d.at])
		d.amiss = addr.Is4In6()
	}
}

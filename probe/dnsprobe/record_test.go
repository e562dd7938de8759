package dnsprobe

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// textsOf is every record of a message as text, by our reading. It reports false for a malformed message.
func textsOf(msg []byte) (texts []string, sound bool) {
	q := dnsQuery(make([]byte, dnsHeader))
	if binary.BigEndian.Uint16(msg[4:]) == 1 {
		d := dnsData{msg: msg, at: dnsHeader}
		if d.name(); d.amiss || d.at+4 > len(msg) {
			return nil, false
		}
		q = make([]byte, d.at+4)
	}
	records := q.records(msg)
	for {
		rec, more, err := records.next()
		if err != nil || !more {
			return texts, err == nil
		}
		text, sound := appendDNSRecord(nil, rec)
		if !sound {
			return nil, false
		}
		texts = append(texts, string(text))
	}
}

// theirTexts is the same by the library's reading.
func theirTexts(msg []byte) (texts []string, sound bool) {
	var m dns.Msg
	if m.Unpack(msg) != nil {
		return nil, false
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		texts = append(texts, rr.String())
	}
	return texts, true
}

// zoneRecords are records of every type that has a presentation, as they stand in a zone file.
var zoneRecords = []string{
	`a.test. 300 IN A 192.0.2.1`,
	`A.Test. 0 CH A 255.255.255.255`,
	`a.test. 4294967295 IN AAAA 2001:db8::1`,
	`a.test. 1 IN AAAA ::ffff:192.0.2.1`,
	`a.test. 1 IN AAAA ::`,
	`a.test. 1 IN AAAA ::192.0.2.1`,
	`a.test. 1 HS NS ns.a.test.`,
	`. 1 IN NS .`,
	`b\.c\\d\"e\032f\000g\255\@\;\(\)\'.test. 1 IN CNAME x\.y.test.`,
	`a.test. 1 IN SOA ns.test. first\.last.test. 4294967295 7200 3600 1209600 300`,
	`1.2.0.192.in-addr.arpa. 1 IN PTR a.test.`,
	`a.test. 1 IN MX 10 mail.test.`,
	`a.test. 1 IN TXT "v=spf1 -all" "" "a\"b\\c\000\127\200 d"`,
	`a.test. 1 IN SPF "v=spf1 -all"`,
	`a.test. 1 IN AVC "x"`,
	`a.test. 1 IN NINFO "x"`,
	`a.test. 1 IN RESINFO "qnamemin" "exterr=15"`,
	`_ldap._tcp.test. 1 IN SRV 0 5 389 ldap.test.`,
	`a.test. 1 IN CAA 0 issue "ca.test; account=1"`,
	`a.test. 1 IN CAA 128 iodef "mailto:x\"y\\z@a.test"`,
	`a.test. 1 IN DS 12345 8 2 49FD46E6C4B45C55D4AC69CBD3CD34AC1AFE51DE`,
	`a.test. 1 IN CDS 0 0 0 00`,
	`a.test. 1 IN DLV 12345 8 2 49FD`,
	`a.test. 1 IN TA 12345 8 2 49fd`,
	`a.test. 1 IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==`,
	`a.test. 1 IN CDNSKEY 257 3 13 mdss`,
	`a.test. 1 IN KEY 256 3 5 AQPS`,
	`a.test. 1 IN RKEY 0 1 3 AQPS`,
	`_443._tcp.a.test. 1 IN TLSA 3 1 1 0BD9C3A1B2`,
	`_443._tcp.a.test. 1 IN SMIMEA 3 1 1 0bd9`,
	`_443._tcp.a.test. 1 IN SMIMEA 3 1 1 ` + strings.Repeat("0b", 512),
	`_443._tcp.a.test. 1 IN SMIMEA 3 1 1 ` + strings.Repeat("0b", 1300),
	`a.test. 1 IN NAPTR 100 50 "s" "http+I2L\"" "!^.*$!x\\1!" _http._tcp.test.`,
	`a.test. 1 IN NAPTR 100 50 "" "" "" .`,
	`a.test. 1 IN SSHFP 4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789`,
	`a.test. 1 IN RRSIG A 13 2 300 20300101000000 20260101000000 12345 test. bWRzc3c=`,
	`a.test. 1 IN RRSIG TYPE1234 13 2 300 21060207062815 19700101000000 12345 test. bWRzc3c=`,
	`a.test. 1 IN SIG SOA 13 2 300 20300101000000 20260101000000 12345 test. bWRzc3c=`,
	`a.test. 1 IN NSEC b.test. A NS MX RRSIG NSEC CAA TYPE1234 DLV`,
	`a.test. 1 IN NXT b.test. A`,
	`a.test. 1 IN NSEC3 1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG`,
	`a.test. 1 IN NSEC3 1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR`,
	`a.test. 1 IN NSEC3PARAM 1 0 12 aabb`,
	`a.test. 1 IN NSEC3PARAM 1 0 0 -`,
	`a.test. 1 IN CSYNC 66 3 A NS AAAA`,
	`a.test. 1 IN ZONEMD 2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE7EB1A7B641A47BA7`,
	`a.test. 1 IN HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ech=AEP+DQ== ipv6hint=2001:db8::1 dohpath=/dns-query{?dns} ohttp`,
	`a.test. 1 IN SVCB 0 x\.y.test.`,
	`a.test. 1 IN SVCB 16 x.test. mandatory=alpn,ipv4hint alpn="f\\\\oo\\,bar,h2" no-default-alpn ipv4hint=192.0.2.1 key667="he\"llo;\210 \\ z"`,
	`a.test. 1 IN DNAME b.test.`,
	`a.test. 1 IN HINFO "AMD \"64\"" Linux`,
	`a.test. 1 IN MINFO a.test. b.test.`,
	`a.test. 1 IN RP a.test. b.test.`,
	`a.test. 1 IN AFSDB 1 b.test.`,
	`a.test. 1 IN RT 1 b.test.`,
	`a.test. 1 IN KX 1 b.test.`,
	`a.test. 1 IN LP 1 b.test.`,
	`a.test. 1 IN PX 1 b.test. c.test.`,
	`a.test. 1 IN MB b.test.`, `a.test. 1 IN MG b.test.`, `a.test. 1 IN MR b.test.`, `a.test. 1 IN MD b.test.`, `a.test. 1 IN MF b.test.`,
	`a.test. 1 IN NSAP-PTR b.test.`,
	`a.test. 1 IN TALINK b.test. c.test.`,
	`a.test. 1 IN X25 311061700956`,
	`a.test. 1 IN ISDN "150862028003217" "004"`,
	`a.test. 1 IN GPOS -32.6882 116.8652 10.0`,
	`a.test. 1 IN LOC 42 21 54.123 N 71 6 18 W -24.5m 30m 10000m 0.10m`,
	`a.test. 1 IN LOC 0 0 0 S 9 59 59.999 E 10m`,
	`a.test. 1 IN EID 12AB`,
	`a.test. 1 IN NIMLOC 12ab`,
	`a.test. 1 IN CERT PKIX 1 RSASHA256 bWRzc3c=`,
	`a.test. 1 IN CERT 300 1 99 bWRzc3c=`,
	`a.test. 1 IN APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32 2:::/0`,
	`a.test. 1 IN IPSECKEY 10 0 2 . AQNR`,
	`a.test. 1 IN IPSECKEY 10 1 2 192.0.2.38 AQNR`,
	`a.test. 1 IN IPSECKEY 10 2 2 2001:db8::1 AQNR`,
	`a.test. 1 IN IPSECKEY 10 3 2 gateway.test. AQNR`,
	`a.test. 1 IN AMTRELAY 10 0 0 .`,
	`a.test. 1 IN AMTRELAY 10 0 1 203.0.113.15`,
	`a.test. 1 IN AMTRELAY 10 0 2 2001:db8::15`,
	`a.test. 1 IN AMTRELAY 10 0 3 relay.test.`,
	`a.test. 1 IN DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=`,
	`a.test. 1 IN OPENPGPKEY AQNR`,
	`a.test. 1 IN HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdx rvs1.test. rvs2.test.`,
	`a.test. 1 IN UID 4294967295`, `a.test. 1 IN GID 0`, `a.test. 1 IN UINFO "x"`,
	`a.test. 1 IN NID 10 0014:4fff:ff20:ee64`,
	`a.test. 1 IN L32 10 10.1.2.0`,
	`a.test. 1 IN L64 10 2001:0DB8:1140:1000`,
	`a.test. 1 IN EUI48 00-00-5e-00-53-2a`,
	`a.test. 1 IN EUI64 00-00-5e-ef-10-00-00-2a`,
	`a.test. 1 IN URI 10 1 "https://a.test/\"x"`,
	`a.test. 1 CLASS255 A 192.0.2.1`,
	`a.test. 1 CLASS77 TYPE4711 \# 4 0a000001`,
	`a.test. 1 IN TYPE4711 \# 0`,
}

// unwritten are records that no zone file has: made by hand.
func unwritten() []dns.RR {
	head := func(t uint16) dns.RR_Header { return dns.RR_Header{Name: "a.test.", Rrtype: t, Class: 1, Ttl: 1} }
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: 1232, Ttl: 0x0100c123}}
	opt.Option = []dns.EDNS0{
		&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "6e73e9"},
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, SourceScope: 16, Address: net.IPv4(192, 0, 2, 0)},
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: 56, SourceScope: 0, Address: net.ParseIP("2001:db8::")},
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 0},
		&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"},
		&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Expire: 7}, &dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true},
		&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: 300}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE},
		&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: 60000},
		&dns.EDNS0_PADDING{Padding: []byte{0, 0xab}}, &dns.EDNS0_PADDING{},
		&dns.EDNS0_EDE{InfoCode: 15, ExtraText: "by \"policy\"\n"}, &dns.EDNS0_EDE{InfoCode: 31}, &dns.EDNS0_EDE{InfoCode: 30},
		&dns.EDNS0_LLQ{Code: dns.EDNS0LLQ, Version: 1, Opcode: 2, Error: 3, Id: 1 << 63, LeaseLife: 5},
		&dns.EDNS0_UL{Code: dns.EDNS0UL, Lease: 7}, &dns.EDNS0_UL{Code: dns.EDNS0UL, Lease: 7, KeyLease: 8},
		&dns.EDNS0_DAU{Code: dns.EDNS0DAU, AlgCode: []uint8{8, 99}}, &dns.EDNS0_DHU{Code: dns.EDNS0DHU, AlgCode: []uint8{1, 99}},
		&dns.EDNS0_N3U{Code: dns.EDNS0N3U, AlgCode: []uint8{5}},
		&dns.EDNS0_LOCAL{Code: 65001, Data: []byte("ab")},
		&dns.EDNS0_ESU{Code: dns.EDNS0ESU, Uri: "sip:x"},
		&dns.EDNS0_REPORTING{Code: dns.EDNS0REPORTING, AgentDomain: "agent.test."},
		&dns.EDNS0_ZONEVERSION{Code: dns.EDNS0ZONEVERSION, LabelCount: 2, Version: "\x00\x00\x00\x07"},
	}
	return []dns.RR{
		opt,
		&dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: 512}},
		&dns.ANY{Hdr: head(dns.TypeANY)},
		&dns.NXNAME{Hdr: head(dns.TypeNXNAME)},
		&dns.NULL{Hdr: head(dns.TypeNULL), Data: "any\x00\xff\n"},
		&dns.TKEY{Hdr: head(dns.TypeTKEY), Algorithm: "alg\\.x.test.", Inception: 1, Expiration: 4294967295, Mode: 3, Error: 16, KeySize: 2, Key: "abcd", OtherLen: 1, OtherData: "ef"},
		&dns.TSIG{Hdr: head(dns.TypeTSIG), Algorithm: "hmac-sha256.", TimeSigned: 1700000000, Fudge: 300, MACSize: 2, MAC: "abcd", OrigId: 7, Error: 16, OtherLen: 2, OtherData: "abcd"},
	}
}

// message packs an answer that holds a record after a question and an A record, whose names it may share.
func messageWith(t testing.TB, rr dns.RR) []byte {
	t.Helper()
	var m dns.Msg
	m.SetQuestion("a.test.", dns.TypeANY)
	m.Response, m.Compress = true, true
	first, err := dns.NewRR("a.test. 1 IN A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	m.Answer, m.Extra = []dns.RR{first}, []dns.RR{rr}
	packed, err := m.Pack()
	if err != nil {
		t.Fatalf("%s: %v", rr, err)
	}
	return packed
}

func everyRecord(t testing.TB) (all []dns.RR) {
	for _, text := range zoneRecords {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, rr)
	}
	return append(all, unwritten()...)
}

func TestRecordsAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	seen := map[uint16]bool{}
	for _, rr := range everyRecord(t) {
		seen[rr.Header().Rrtype] = true
		msg := messageWith(t, rr)
		theirs, sound := theirTexts(msg)
		if !sound {
			t.Fatalf("the library cannot read its own %s", rr)
		}
		if ours, sound := textsOf(msg); !sound || !slices.Equal(ours, theirs) {
			t.Errorf("sound: %t\n got %q\nwant %q", sound, ours, theirs)
		}
	}
	for number := range dns.TypeToRR {
		if !seen[number] {
			t.Errorf("no record of type %s is tried", dns.Type(number))
		}
	}
}

func TestTypesClassesAndCodesHaveTheLibrarysNames(t *testing.T) {
	for number, name := range dns.TypeToString {
		if got := dnsTypeOf(number); got.name != name || (got.layout != "") != (dns.TypeToRR[number] != nil) {
			t.Errorf("type %d is %q with the layout %q, want %q", number, got.name, got.layout, name)
		}
	}
	for name, number := range dns.StringToClass {
		if got, ok := numberOf(dnsClasses, name); !ok || got != number {
			t.Errorf("class %s is %d, want %d", name, got, number)
		}
	}
	for name, number := range dns.StringToRcode {
		if got, ok := numberOf(dnsCodes, name); !ok || int(got) != number {
			t.Errorf("code %s is %d, want %d", name, got, number)
		}
	}
	if len(dnsTypes) != len(dns.TypeToString) || len(dnsClasses) != len(dns.ClassToString) {
		t.Error("there are names that the library does not know")
	}
	if !slices.IsSortedFunc(dnsTypes[:], func(a, b dnsType) int { return int(a.number) - int(b.number) }) {
		t.Error("the types are not sorted by number")
	}
}

package dnsprobe

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// dnsType is a type of records. How its data is written stands in layout, a letter for each field:
//
//	1 2 4   a number of so many bytes        i I     an IPv4, an IPv6 address
//	n       a name                           t       all that is left, as quoted strings
//	q u     a string, with and without quotes
//	Q       the same as q, or nothing        o       all that is left, as one quoted string
//	x X     all that is left in hexadecimal  b       all that is left in base64
//	T       a type                           d       seconds since 1970, as a date
//	m       a bitmap of types
//
// The rest is for single types and stands beside its code in dnsData. Without a layout the data is written as that of
// an unknown type (RFC 3597).
type dnsType struct {
	number uint16
	name   string
	layout string
}

// dnsTypes are the types that have a name, by number.
var dnsTypes = [...]dnsType{
	{0, "None", ""}, {1, "A", "i"}, {2, "NS", "n"}, {3, "MD", "n"}, {4, "MF", "n"}, {5, "CNAME", "n"}, {6, "SOA", "nn44444"},
	{7, "MB", "n"}, {8, "MG", "n"}, {9, "MR", "n"}, {10, "NULL", "r"}, {12, "PTR", "n"}, {13, "HINFO", "qq"}, {14, "MINFO", "nn"},
	{15, "MX", "2n"}, {16, "TXT", "t"}, {17, "RP", "nn"}, {18, "AFSDB", "2n"}, {19, "X25", "u"}, {20, "ISDN", "qQ"},
	{21, "RT", "2n"}, {23, "NSAP-PTR", "n"}, {24, "SIG", "T114dd2nb"}, {25, "KEY", "211b"}, {26, "PX", "2nn"},
	{27, "GPOS", "uuu"}, {28, "AAAA", "I"}, {29, "LOC", "L"}, {30, "NXT", "nm"}, {31, "EID", "X"}, {32, "NIMLOC", "X"},
	{33, "SRV", "222n"}, {34, "ATMA", ""}, {35, "NAPTR", "22qqqn"}, {36, "KX", "2n"}, {37, "CERT", "C2Ab"}, {39, "DNAME", "n"},
	{dnsTypeOPT, "OPT", "E"}, {42, "APL", "p"}, {43, "DS", "211X"}, {44, "SSHFP", "11X"}, {45, "IPSECKEY", "K"},
	{46, "RRSIG", "T114dd2nb"}, {47, "NSEC", "nm"}, {48, "DNSKEY", "211b"}, {49, "DHCID", "b"}, {50, "NSEC3", "112shm"},
	{51, "NSEC3PARAM", "112s"}, {52, "TLSA", "111x"}, {53, "SMIMEA", "111c"}, {55, "HIP", "H"}, {56, "NINFO", "t"},
	{57, "RKEY", "211b"}, {58, "TALINK", "nn"}, {59, "CDS", "211X"}, {60, "CDNSKEY", "211b"}, {61, "OPENPGPKEY", "b"},
	{62, "CSYNC", "42m"}, {63, "ZONEMD", "411x"}, {64, "SVCB", "2nk"}, {65, "HTTPS", "2nk"}, {99, "SPF", "t"}, {100, "UINFO", "q"},
	{101, "UID", "4"}, {102, "GID", "4"}, {103, "UNSPEC", ""}, {104, "NID", "2g"}, {105, "L32", "2i"}, {106, "L64", "2G"},
	{107, "LP", "2n"}, {108, "EUI48", "5"}, {109, "EUI64", "6"}, {128, "NXNAME", "-"}, {249, "TKEY", "Y"}, {250, "TSIG", "Z"},
	{251, "IXFR", ""}, {252, "AXFR", ""}, {253, "MAILB", ""}, {254, "MAILA", ""}, {dnsTypeANY, "ANY", "-"}, {256, "URI", "22o"},
	{257, "CAA", "1uo"}, {258, "AVC", "t"}, {260, "AMTRELAY", "M"}, {261, "RESINFO", "t"}, {32768, "TA", "211X"},
	{32769, "DLV", "211X"}, {65535, "Reserved", ""},
}

// The types that are more to a probe than text.
const (
	dnsTypeSOA = 6
	dnsTypeOPT = 41
	dnsTypeANY = 255
)

// dnsTypeOf finds a type by its number; an unknown one has no name.
func dnsTypeOf(number uint16) dnsType {
	i, found := slices.BinarySearchFunc(dnsTypes[:], number, func(t dnsType, n uint16) int { return cmp.Compare(t.number, n) })
	if !found {
		return dnsType{number: number}
	}
	return dnsTypes[i]
}

// appendTypeName appends the name of a type, for an unknown one TYPE and its number.
func appendTypeName(b []byte, number uint16) []byte {
	if t := dnsTypeOf(number); t.name != "" {
		return append(b, t.name...)
	}
	return strconv.AppendUint(append(b, "TYPE"...), uint64(number), 10)
}

// dnsClasses are the classes by their names.
var dnsClasses = []dnsName{{"IN", 1}, {"CS", 2}, {"CH", 3}, {"HS", 4}, {"NONE", 254}, {"ANY", dnsClassANY}}

// dnsCodes are the response codes by their names; 4 and 16 have two.
var dnsCodes = []dnsName{
	{"NOERROR", 0}, {"FORMERR", 1}, {"SERVFAIL", 2}, {"NXDOMAIN", 3}, {"NOTIMP", 4}, {"REFUSED", 5}, {"YXDOMAIN", 6},
	{"YXRRSET", 7}, {"NXRRSET", 8}, {"NOTAUTH", 9}, {"NOTZONE", 10}, {"DSOTYPENI", 11}, {"BADSIG", 16}, {"BADKEY", 17},
	{"BADTIME", 18}, {"BADMODE", 19}, {"BADNAME", 20}, {"BADALG", 21}, {"BADTRUNC", 22}, {"BADCOOKIE", 23}, {"NOTIMPL", 4}, {"BADVERS", 16},
}

// dnsName is a number that has a name.
type dnsName struct {
	name   string
	number uint16
}

// dnsClassANY has a name that is a type's as well, so records show its number.
const dnsClassANY = 255

// appendClassName appends the name of a class, for an unknown one CLASS and its number.
func appendClassName(b []byte, number uint16) []byte {
	for _, c := range dnsClasses {
		if c.number == number && number != dnsClassANY {
			return append(b, c.name...)
		}
	}
	return strconv.AppendUint(append(b, "CLASS"...), uint64(number), 10)
}

// codeName is the name of a response code, for an unknown one its number.
func codeName(number uint16) string {
	for _, c := range dnsCodes {
		if c.number == number {
			return c.name
		}
	}
	return strconv.Itoa(int(number))
}

// numberOf finds a number by its name, which is in capitals.
func numberOf(all []dnsName, name string) (uint16, bool) {
	i := slices.IndexFunc(all, func(n dnsName) bool { return n.name == name })
	if i < 0 {
		return 0, false
	}
	return all[i].number, true
}

// namesOf lists the names, for an error.
func namesOf(all []dnsName) string {
	var names []string
	for _, n := range all {
		names = append(names, n.name)
	}
	return strings.Join(names, ", ")
}

// dnsTypeNames are the types that can be asked for.
func dnsTypeNames() []dnsName {
	names := make([]dnsName, 0, len(dnsTypes))
	for _, t := range dnsTypes {
		names = append(names, dnsName{t.name, t.number})
	}
	slices.SortFunc(names, func(a, b dnsName) int { return cmp.Compare(a.name, b.name) })
	return names
}

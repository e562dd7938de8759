package probe

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestDNSAsksWhatTheModuleSays(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*DNSOptions)
		want    string // the question
		decline bool   // recursion
	}{
		"any type by default":    {change: func(o *DNSOptions) { o.QueryType = "" }, want: ";a.test.\tIN\t ANY"},
		"a type":                 {change: func(o *DNSOptions) { o.QueryType = "HTTPS" }, want: ";a.test.\tIN\t HTTPS"},
		"a class":                {change: func(o *DNSOptions) { o.QueryClass, o.QueryType = "CH", "TXT" }, want: ";a.test.\tCH\t TXT"},
		"no recursion":           {change: func(o *DNSOptions) { o.RecursionDesired = false }, want: ";a.test.\tIN\t A", decline: true},
		"the root":               {change: func(o *DNSOptions) { o.QueryName = "." }, want: ";.\tIN\t A"},
		"a name with its dot":    {change: func(o *DNSOptions) { o.QueryName = "A.b.Test." }, want: ";A.b.Test.\tIN\t A"},
		"a dot within a label":   {change: func(o *DNSOptions) { o.QueryName = `My\.Printer\032x\\._ipp.test` }, want: `;My\.Printer\ x\\._ipp.test.` + "\tIN\t A"},
		"a name in another tung": {change: func(o *DNSOptions) { o.QueryName = "bücher.test" }, want: ";xn--bcher-kva.test.\tIN\t A"},
		"a label of 63 bytes":    {change: func(o *DNSOptions) { o.QueryName = strings.Repeat("x", 63) }, want: ";" + strings.Repeat("x", 63) + ".\tIN\t A"},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan []byte, 1)
			answer := replying(t, [3][]string{})
			addr := datagrams(t, func(q []byte) [][]byte {
				heard <- append([]byte(nil), q...)
				return [][]byte{answer(q)}
			})
			wantUp(t, probeDNS(t, dnsOptions(c.change), addr.String(), enough))
			var m dns.Msg
			if err := m.Unpack(<-heard); err != nil {
				t.Fatal(err)
			}
			if len(m.Question) != 1 || m.Question[0].String() != c.want || m.RecursionDesired == c.decline || m.Response || len(m.Extra) != 0 {
				t.Errorf("the server was asked\n%s", m.String())
			}
		})
	}
}

func TestDNSTargets(t *testing.T) {
	for target, want := range map[string]string{
		"192.0.2.1":           "192.0.2.1 53",
		"192.0.2.1:5353":      "192.0.2.1 5353",
		"dns.test":            "dns.test 53",
		"dns.test:5353":       "dns.test 5353",
		"2001:db8::1":         "2001:db8::1 53",
		"[2001:db8::1]":       "2001:db8::1 53",
		"[2001:db8::1]:5353":  "2001:db8::1 5353",
		"fe80::1%lo":          "fe80::1%lo 53",
		"":                    "",
		":53":                 "",
		"dns.test:":           "",
		"dns.test:0":          "",
		"dns.test:65536":      "",
		"dns.test:domain":     "",
		"dns://dns.test":      "",
		"tcp://dns.test:53":   "",
		"dns.test/path":       "",
		"user@dns.test":       "",
		"a b":                 "",
		"1:2:3":               "",
		"[192.0.2.1]":         "",
		"[dns.test":           "",
		"[2001:db8::1]:53:53": "",
	} {
		host, port, err := parseDNSTarget(target, 53)
		if want == "" {
			if !is[*TargetError](err) {
				t.Errorf("%q: got %q, %d, %v, want a TargetError", target, host, port, err)
			}
		} else if wantHost, wantPort, _ := strings.Cut(want, " "); err != nil || host != wantHost || wantPort != portOf(netip.AddrPortFrom(netip.IPv4Unspecified(), port)) {
			t.Errorf("%q: got %q, %d, %v, want %s", target, host, port, err, want)
		}
	}
	secured := dnsOptions(overTCP, func(o *DNSOptions) { o.DNSOverTLS = true })
	if subject, err := compiledDNS(t, secured).subject("dns.test"); err != nil || subject.port != 853 {
		t.Errorf("over TLS the port is %d (%v), want 853", subject.port, err)
	}
}

func TestDNSOptionsAreCheckedAtLoad(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*DNSOptions)
		want   []string // what each fault begins with
	}{
		"no name":                       {func(o *DNSOptions) { o.QueryName = "" }, []string{"query_name: is required"}},
		"an empty label":                {func(o *DNSOptions) { o.QueryName = "a..test" }, []string{`query_name: "a..test" has an empty label`}},
		"a dot before all":              {func(o *DNSOptions) { o.QueryName = ".test" }, []string{`query_name: ".test" has an empty label`}},
		"two dots":                      {func(o *DNSOptions) { o.QueryName = ".." }, []string{`query_name: ".." has an empty label`}},
		"a long label":                  {func(o *DNSOptions) { o.QueryName = strings.Repeat("x", 64) }, []string{`query_name: "xxxx`}},
		"a long name":                   {func(o *DNSOptions) { o.QueryName = strings.Repeat("x.", 128) }, []string{`query_name: "x.x.`}},
		"a backslash at the end":        {func(o *DNSOptions) { o.QueryName = `a\` }, []string{`query_name: "a\\" ends in`}},
		"a name that no registry takes": {func(o *DNSOptions) { o.QueryName = "b\u2028.test" }, []string{`query_name: "b\u2028.test" idna: `}},
		"a type in small letters":       {func(o *DNSOptions) { o.QueryType = "a" }, []string{`query_type: "a" is unknown; accepted: A, AAAA, AFSDB, `}},
		"an unknown class":              {func(o *DNSOptions) { o.QueryClass = "X" }, []string{`query_class: "X" is unknown; accepted: IN, CS, CH, HS, NONE, ANY`}},
		"an unknown transport":          {func(o *DNSOptions) { o.TransportProtocol = "quic" }, []string{`transport_protocol: "quic" is unknown; accepted: udp, tcp`}},
		"TLS over UDP":                  {func(o *DNSOptions) { o.DNSOverTLS = true }, []string{"dns_over_tls: needs transport_protocol: tcp"}},
		"an unknown code":               {func(o *DNSOptions) { o.ValidRcodes = []string{"NOERROR", "OK"} }, []string{`valid_rcodes[1]: "OK" is unknown; accepted: NOERROR, FORMERR, `}},
		"no code at all":                {func(o *DNSOptions) { o.ValidRcodes = []string{} }, []string{"valid_rcodes: is empty"}},
		"a source that is no address":   {func(o *DNSOptions) { o.SourceIPAddress = "eth0" }, []string{`source_ip_address: "eth0" is not an IP address`}},
		"several faults at once": {func(o *DNSOptions) {
			o.TransportProtocol, o.DNSOverTLS = "tcp", true
			o.TLSConfig.CAFile, o.QueryType, o.QueryName = "/does/not/exist", "X", ""
		}, []string{
			"tls_config.ca_file: cannot be read", `query_type: "X"`, "query_name: is required",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dnsOptions(c.change).Compile()
			if err == nil {
				t.Fatal("it was accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("got\n%v\nwant %d faults", err, len(c.want))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("fault %d: got %q, want %q…", i, lines[i], want)
				}
			}
		})
	}
}

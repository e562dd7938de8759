package dnsprobe

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func TestQueryFollowsOptions(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Options)
		want    string // the question
		decline bool   // recursion
	}{
		"any type by default":  {change: func(o *Options) { o.QueryType = "" }, want: ";a.test.\tIN\t ANY"},
		"a type":               {change: func(o *Options) { o.QueryType = "HTTPS" }, want: ";a.test.\tIN\t HTTPS"},
		"a class":              {change: func(o *Options) { o.QueryClass, o.QueryType = "CH", "TXT" }, want: ";a.test.\tCH\t TXT"},
		"no recursion":         {change: func(o *Options) { o.RecursionDesired = false }, want: ";a.test.\tIN\t A", decline: true},
		"the root":             {change: func(o *Options) { o.QueryName = "." }, want: ";.\tIN\t A"},
		"a name with its dot":  {change: func(o *Options) { o.QueryName = "A.b.Test." }, want: ";A.b.Test.\tIN\t A"},
		"a dot within a label": {change: func(o *Options) { o.QueryName = `My\.Printer\032x\\._ipp.test` }, want: `;My\.Printer\ x\\._ipp.test.` + "\tIN\t A"},
		"a name in Unicode":    {change: func(o *Options) { o.QueryName = "bücher.test" }, want: ";xn--bcher-kva.test.\tIN\t A"},
		"a service in Unicode": {change: func(o *Options) { o.QueryName = "_dmarc.bücher.test" }, want: ";_dmarc.xn--bcher-kva.test.\tIN\t A"},
		"a label of 63 bytes":  {change: func(o *Options) { o.QueryName = strings.Repeat("x", 63) }, want: ";" + strings.Repeat("x", 63) + ".\tIN\t A"},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan []byte, 1)
			answer := replying(t, [3][]string{})
			addr := datagrams(t, func(q []byte) [][]byte {
				heard <- append([]byte(nil), q...)
				return [][]byte{answer(q)}
			})
			probetest.WantUp(t, ask(t, newOptions(c.change), addr.String(), probetest.Enough))
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

func TestTargets(t *testing.T) {
	for target, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1 53",
		"192.0.2.1:5353":       "192.0.2.1 5353",
		"dns.test":             "dns.test 53",
		"dns.test:5353":        "dns.test 5353",
		"2001:db8::1":          "2001:db8::1 53",
		"[2001:db8::1]":        "2001:db8::1 53",
		"[2001:db8::1]:5353":   "2001:db8::1 5353",
		"fe80::1%lo":           "fe80::1%lo 53",
		"":                     "",
		":53":                  "",
		"dns.test:":            "",
		"dns.test:0":           "",
		"dns.test:65536":       "",
		"dns.test:domain":      "dns.test 53",
		"[2001:db8::1]:domain": "2001:db8::1 53",
		"bücher.test:5353":     "xn--bcher-kva.test 5353",
		"127.1":                "127.0.0.1 53",
		"dns.test:no-service":  "",
		"\u00ad":               "",
		"icmp://dns.test":      "",
		"dns://dns.test":       "",
		"tcp://dns.test:53":    "",
		"dns.test/path":        "",
		"user@dns.test":        "",
		"a b":                  "",
		"1:2:3":                "",
		"[192.0.2.1]":          "",
		"[dns.test":            "",
		"[2001:db8::1]:53:53":  "",
	} {
		d, err := compile(t, newOptions()).Locate(target)
		if want == "" {
			if !probe.Is[*probe.TargetError](err) || !strings.HasSuffix(err.Error(), "; a dns module takes host or host:port of a name server") {
				t.Errorf("%q: got %+v, %v, want a TargetError that says what is accepted", target, d, err)
			}
		} else if got := fmt.Sprint(d.Host, " ", d.Port); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", target, got, err, want)
		}
	}
	if _, err := compile(t, newOptions()).Locate("icmp://dns.test"); !strings.Contains(fmt.Sprint(err), "module of the prober icmp") {
		t.Errorf("the error does not name the module for icmp:// targets: %v", err)
	}
	secured := newOptions(overTCP, func(o *Options) { o.DNSOverTLS = true })
	if d, err := compile(t, secured).Locate("dns.test"); err != nil || d.Port != 853 {
		t.Errorf("over TLS the port is %d (%v), want 853", d.Port, err)
	}
}

func TestOptionsAreCheckedAtLoad(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   []string // what each error begins with
	}{
		"no name":                       {func(o *Options) { o.QueryName = "" }, []string{"query_name: is required"}},
		"an empty label":                {func(o *Options) { o.QueryName = "a..test" }, []string{`query_name: "a..test" is not a domain name; accepted: labels of 1 to 63 bytes`}},
		"a dot before all":              {func(o *Options) { o.QueryName = ".test" }, []string{`query_name: ".test" is not a domain name; accepted: labels of 1 to 63 bytes`}},
		"two dots":                      {func(o *Options) { o.QueryName = ".." }, []string{`query_name: ".." is not a domain name; accepted: labels of 1 to 63 bytes`}},
		"a long label":                  {func(o *Options) { o.QueryName = strings.Repeat("x", 64) }, []string{`query_name: "xxxx`}},
		"a long name":                   {func(o *Options) { o.QueryName = strings.Repeat("x.", 128) }, []string{`query_name: "x.x.`}},
		"a backslash at the end":        {func(o *Options) { o.QueryName = `a\` }, []string{`query_name: "a\\" is not a domain name`}},
		"a name that no registry takes": {func(o *Options) { o.QueryName = "b\u2028.test" }, []string{`query_name: "b\u2028.test" cannot be written in ASCII: idna: `}},
		"a type in small letters":       {func(o *Options) { o.QueryType = "a" }, []string{`query_type: "a" is unknown; accepted: A, AAAA, AFSDB, `}},
		"an unknown class":              {func(o *Options) { o.QueryClass = "X" }, []string{`query_class: "X" is unknown; accepted: ANY, CH, CS, HS, IN, NONE`}},
		"an unknown transport":          {func(o *Options) { o.TransportProtocol = "quic" }, []string{`transport_protocol: "quic" is unknown; accepted: udp, tcp`}},
		"TLS over UDP":                  {func(o *Options) { o.DNSOverTLS = true }, []string{"dns_over_tls: needs transport_protocol: tcp"}},
		"an unknown code":               {func(o *Options) { o.ValidRcodes = []string{"NOERROR", "OK"} }, []string{`valid_rcodes[1]: "OK" is unknown; accepted: BADALG, BADCOOKIE, BADKEY, `}},
		"a source that is not ours":     {func(o *Options) { o.SourceIPAddress = "192.0.2.1" }, []string{"source_ip_address: 192.0.2.1 is no address of this machine"}},
		"no code at all":                {func(o *Options) { o.ValidRcodes = []string{} }, []string{"valid_rcodes: is empty"}},
		"a source that is no address":   {func(o *Options) { o.SourceIPAddress = "eth0" }, []string{`source_ip_address: "eth0" is not an IP address`}},
		"several errors at once": {func(o *Options) {
			overTCP(o)
			o.DNSOverTLS = true
			o.TLSConfig.CAFile, o.QueryType, o.QueryName = "/does/not/exist", "X", ""
		}, []string{
			"tls_config.ca_file: cannot be read", `query_type: "X"`, "query_name: is required",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newOptions(c.change).Compile()
			if err == nil {
				t.Fatal("it was accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("got\n%v\nwant %d errors", err, len(c.want))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("error %d: got %q, want %q…", i, lines[i], want)
				}
			}
		})
	}
}

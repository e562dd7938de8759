package dnsprobe

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

// datagrams is a UDP server on a loopback port, until the test ends. It sends what answer makes of a query.
func datagrams(t testing.TB, answer func(query []byte) [][]byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 1024)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			for _, msg := range answer(b[:n]) {
				c.WriteTo(msg, from)
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		serving.Wait()
	})
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// framed answers queries over a stream. It sends what answer makes of one as it is, without a length.
func framed(answer func(query []byte) []byte) func(net.Conn) {
	return func(c net.Conn) {
		for {
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, query); err != nil {
				return
			}
			if _, err := c.Write(answer(query)); err != nil {
				return
			}
		}
	}
}

// withLength puts a message's length before it.
func withLength(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

// replying makes an answer: to the question, with the records that stand in the three sections, after change.
func replying(t testing.TB, records [3][]string, change ...func(*dns.Msg)) func(query []byte) []byte {
	var sections [3][]dns.RR
	for i, texts := range records {
		for _, text := range texts {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			sections[i] = append(sections[i], rr)
		}
	}
	return func(query []byte) []byte {
		var asked, m dns.Msg
		if err := asked.Unpack(query); err != nil {
			t.Errorf("the query cannot be read: %v", err)
			return nil
		}
		m.SetReply(&asked)
		m.Compress = true
		m.Answer, m.Ns, m.Extra = sections[0], sections[1], sections[2]
		for _, f := range change {
			f(&m)
		}
		packed, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return packed
	}
}

func coded(code int) func(*dns.Msg) { return func(m *dns.Msg) { m.Rcode = code } }

// once sends one answer.
func once(answer func([]byte) []byte) func([]byte) [][]byte {
	return func(query []byte) [][]byte { return [][]byte{answer(query)} }
}

// newOptions is a section with its defaults, after change.
func newOptions(change ...func(*Options)) *Options {
	o := new(Options)
	o.SetDefaults()
	o.IPProtocol, o.QueryName, o.QueryType = "ip4", "a.test", "A"
	for _, f := range change {
		f(o)
	}
	return o
}

func overTCP(o *Options) { o.TransportProtocol = "tcp" }

func compile(t testing.TB, o *Options) *prober {
	t.Helper()
	p, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p.(*prober)
}

// ask probes target for at most limit; the error must be nil.
func ask(t testing.TB, o *Options, target string, limit time.Duration) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := compile(t, o).Probe(ctx, probe.Request{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// threeSections is an answer with two records, one authority and three additional ones.
var threeSections = [3][]string{
	{"a.test. 300 IN A 192.0.2.1", "a.test. 300 IN A 192.0.2.2"},
	{"test. 300 IN NS ns.test."},
	{"ns.test. 300 IN A 192.0.2.53", "ns.test. 300 IN AAAA 2001:db8::53", "ns.test. 300 IN TXT \"x\""},
}

func TestProbeCountsRecordsOverEachTransport(t *testing.T) {
	answer := replying(t, threeSections)
	ca := probetest.NewAuthority(t)
	secured := &tls.Config{Certificates: []tls.Certificate{ca.Issue()}}
	stream := framed(func(q []byte) []byte { return withLength(answer(q)) })
	want := &probe.DNSFacts{Succeeded: true, Answers: 2, Authorities: 1, Additionals: 3}
	for name, c := range map[string]struct {
		addr   netip.AddrPort
		change func(*Options)
	}{
		"over UDP": {datagrams(t, once(answer)), func(*Options) {}},
		"over TCP": {probetest.Listen(t, stream), overTCP},
		"over TLS": {probetest.Listen(t, probetest.TLSServer(secured, stream)), func(o *Options) {
			overTCP(o)
			o.DNSOverTLS, o.TLSConfig.CA = true, ca.PEM
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(t, newOptions(c.change), c.addr.String(), probetest.Enough)
			probetest.WantUp(t, r)
			if diff := cmp.Diff(want, r.DNS); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if r.Resolve == nil || r.Resolve.Addr != c.addr.Addr() || (r.TLS != nil) != (name == "over TLS") || r.TCP != nil || r.HTTP != nil {
				t.Errorf("got %+v", r)
			}
			if p := r.Phases; p.Connect <= 0 || p.Processing <= 0 || (p.TLS > 0) != (name == "over TLS") || p.Transfer != 0 {
				t.Errorf("phases %+v", p)
			}
		})
	}
}

func TestAnswerIsCheckedAgainstOptions(t *testing.T) {
	re := func(patterns ...string) (all []option.LateRegexp) {
		for _, p := range patterns {
			all = append(all, option.LateRegexp{Regexp: probetest.MustRegexp(p)})
		}
		return all
	}
	soa := [3][]string{{"test. 300 IN SOA ns.test. first\\.last.test. 2024010199 7200 3600 1209600 300"}}
	for name, c := range map[string]struct {
		records [3][]string
		code    int
		change  func(*Options)
		reason  probe.Reason // empty: up
	}{
		"an answer without records":       {},
		"a name that does not exist":      {code: dns.RcodeNameError, reason: probe.ReasonResponseCode},
		"a code that is valid":            {code: dns.RcodeNameError, change: func(o *Options) { o.ValidRcodes = []string{"NOERROR", "NXDOMAIN"} }},
		"NOERROR where it is not":         {change: func(o *Options) { o.ValidRcodes = []string{"NXDOMAIN"} }, reason: probe.ReasonResponseCode},
		"REFUSED":                         {code: dns.RcodeRefused, reason: probe.ReasonResponseCode},
		"a record that must not be":       {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfMatchesRegexp = re(`\.2$`) }, probe.ReasonRecordRegexp},
		"no record that must not be":      {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfMatchesRegexp = re(`\.3$`, "x") }, ""},
		"no records, and none may be":     {change: func(o *Options) { o.ValidateAnswer.FailIfMatchesRegexp = re(`.`) }},
		"one record that must match":      {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfNotMatchesRegexp = re(`\.1$`) }, probe.ReasonRecordRegexp},
		"all records that must match":     {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfNotMatchesRegexp = re("^a\\.test\\.\t300\tIN\tA\t192") }, ""},
		"no records, and they must match": {change: func(o *Options) { o.ValidateAnswer.FailIfNotMatchesRegexp = re(`.`) }, reason: probe.ReasonRecordRegexp},
		"one of the records matches":      {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfNoneMatchesRegexp = re(`nothing`, `\.2$`) }, ""},
		"none of the records matches":     {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfNoneMatchesRegexp = re(`nothing`) }, probe.ReasonRecordRegexp},
		"no records, and one must match":  {change: func(o *Options) { o.ValidateAnswer.FailIfNoneMatchesRegexp = re(`.`) }, reason: probe.ReasonRecordRegexp},
		// The name says the opposite of what blackbox_exporter does.
		"all match fail_if_all_match":         {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfAllMatchRegexp = re(`192`) }, ""},
		"not all match fail_if_all_match":     {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfAllMatchRegexp = re(`192`, `\.1$`) }, probe.ReasonRecordRegexp},
		"no records beside fail_if_all_match": {change: func(o *Options) { o.ValidateAnswer.FailIfAllMatchRegexp = re(`192`) }},
		"an authority that must not be":       {threeSections, 0, func(o *Options) { o.ValidateAuthority.FailIfMatchesRegexp = re("NS\tns.test.$") }, probe.ReasonRecordRegexp},
		"an authority that must be":           {threeSections, 0, func(o *Options) { o.ValidateAuthority.FailIfNotMatchesRegexp = re("NS\tns.test.$") }, ""},
		"an additional one that must not be":  {threeSections, 0, func(o *Options) { o.ValidateAdditional.FailIfMatchesRegexp = re(`"x"`) }, probe.ReasonRecordRegexp},
		"one section's rule for another":      {threeSections, 0, func(o *Options) { o.ValidateAnswer.FailIfMatchesRegexp = re(`NS`, `"x"`) }, ""},
		"a dot in a mailbox":                  {soa, 0, func(o *Options) { o.ValidateAnswer.FailIfNotMatchesRegexp = re(`first\\\.last\.test\.`) }, ""},
		"a code before the records":           {threeSections, dns.RcodeRefused, func(o *Options) { o.ValidateAnswer.FailIfMatchesRegexp = re(`.`) }, probe.ReasonResponseCode},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOptions()
			if c.change != nil {
				c.change(o)
			}
			r := ask(t, o, datagrams(t, once(replying(t, c.records, coded(c.code)))).String(), probetest.Enough)
			if c.reason == "" {
				probetest.WantUp(t, r)
			} else {
				probetest.WantDown(t, r, probe.StageCheck, c.reason)
			}
			if !r.DNS.Succeeded || r.DNS.Answers != len(c.records[0]) {
				t.Errorf("facts %+v", r.DNS)
			}
		})
	}
}

func TestSerialOfSOARecord(t *testing.T) {
	soa := func(serial string) string {
		return "test. 300 IN SOA ns.test. host.test. " + serial + " 7200 3600 1209600 300"
	}
	asked := func(o *Options) { o.QueryType = "SOA" }
	for name, c := range map[string]struct {
		records [3][]string
		change  func(*Options)
		want    probe.DNSFacts
	}{
		"of the zone":              {[3][]string{{soa("4294967295")}}, asked, probe.DNSFacts{Succeeded: true, Answers: 1, HasSerial: true, Serial: 4294967295}},
		"0 is one":                 {[3][]string{{soa("0")}}, asked, probe.DNSFacts{Succeeded: true, Answers: 1, HasSerial: true}},
		"the last of several":      {[3][]string{{soa("1"), soa("2")}}, asked, probe.DNSFacts{Succeeded: true, Answers: 2, HasSerial: true, Serial: 2}},
		"none without the record":  {[3][]string{{"test. 1 IN A 192.0.2.1"}}, asked, probe.DNSFacts{Succeeded: true, Answers: 1}},
		"none of the authority":    {[3][]string{{}, {soa("1")}}, asked, probe.DNSFacts{Succeeded: true, Authorities: 1}},
		"none that was not wanted": {[3][]string{{soa("1")}}, func(*Options) {}, probe.DNSFacts{Succeeded: true, Answers: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(t, newOptions(c.change), datagrams(t, once(replying(t, c.records))).String(), probetest.Enough)
			probetest.WantUp(t, r)
			if diff := cmp.Diff(&c.want, r.DNS); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExtendedResponseCode(t *testing.T) {
	badVersion := func(m *dns.Msg) {
		m.SetEdns0(1232, false)
		m.Rcode = dns.RcodeBadVers
	}
	addr := datagrams(t, once(replying(t, [3][]string{}, badVersion))).String()
	probetest.WantDown(t, ask(t, newOptions(), addr, probetest.Enough), probe.StageCheck, probe.ReasonResponseCode)
	r := ask(t, newOptions(func(o *Options) { o.ValidRcodes = []string{"BADVERS"} }), addr, probetest.Enough)
	probetest.WantUp(t, r)
	if r.DNS.Additionals != 1 {
		t.Errorf("OPT counts as a record; got %+v", r.DNS)
	}
}

func TestClosedPortIsConnectionRefused(t *testing.T) {
	for name, change := range map[string]func(*Options){"over UDP": func(*Options) {}, "over TCP": overTCP} {
		r := ask(t, newOptions(change), probetest.ClosedPort(t).String(), probetest.Enough)
		probetest.WantDown(t, r, probe.StageConnect, probe.ReasonConnectionRefused)
		if r.DNS == nil || r.DNS.Succeeded || r.Resolve == nil {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestGuardJudgesTheDialledAddress(t *testing.T) {
	addr := datagrams(t, once(replying(t, [3][]string{})))
	g, err := guard.Options{Deny: []string{"127.0.0.0/8"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*Options){func(*Options) {}, overTCP} {
		for _, target := range []string{addr.String(), "[::ffff:127.0.0.1]:" + probetest.PortOf(addr), "localhost:" + probetest.PortOf(addr), "0.0.0.0:" + probetest.PortOf(addr)} {
			if _, err := compile(t, newOptions(change)).Probe(t.Context(), probe.Request{Target: target, Guard: g}); !probe.Is[*probe.DeniedError](err) {
				t.Errorf("%s: got %v, want a DeniedError", target, err)
			}
		}
	}
}

func TestSourceAddress(t *testing.T) {
	answer := replying(t, [3][]string{})
	seen := make(chan string, 2)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		b := make([]byte, 512)
		n, from, err := c.ReadFrom(b)
		if err == nil {
			seen <- from.String()
			c.WriteTo(answer(b[:n]), from)
		}
	}()
	from := func(o *Options) { o.SourceIPAddress = "127.0.0.9" }
	probetest.WantUp(t, ask(t, newOptions(from), c.LocalAddr().String(), probetest.Enough))
	stream := probetest.Listen(t, func(c net.Conn) {
		seen <- c.RemoteAddr().String()
		framed(func(q []byte) []byte { return withLength(answer(q)) })(c)
	})
	probetest.WantUp(t, ask(t, newOptions(overTCP, from), stream.String(), probetest.Enough))
	for range 2 {
		if got := <-seen; !strings.HasPrefix(got, "127.0.0.9:") {
			t.Errorf("the server saw %s", got)
		}
	}
	p := compile(t, newOptions(from))
	p.source = netip.MustParseAddr("192.0.2.1") // as if the machine had lost the address since it loaded the module
	_, err = p.Probe(t.Context(), probe.Request{Target: c.LocalAddr().String()})
	probetest.WantExporterError(t, err, probe.FaultSourceAddress)
}

func TestProbeEndsWhenTheCallerCancels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := datagrams(t, func([]byte) [][]byte { cancel(); return nil })
	r, err := compile(t, newOptions()).Probe(ctx, probe.Request{Target: addr.String()})
	if !errors.Is(err, context.Canceled) || r.Failure != nil {
		t.Errorf("got %+v and %v, want context.Canceled", r, err)
	}
}

func TestTraceShowsRecords(t *testing.T) {
	trace := new(probe.Trace)
	addr := datagrams(t, once(replying(t, threeSections)))
	if _, err := compile(t, newOptions()).Probe(t.Context(), probe.Request{Target: addr.String(), Trace: trace}); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, s := range trace.Steps() {
		text.WriteString(s.Text + "\n")
	}
	for _, want := range []string{"asking " + addr.String() + " over UDP", `answer: "a.test.\t300\tIN\tA\t192.0.2.2"`, "additional: ", "the response code is NOERROR"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the trace does not show %q:\n%s", want, text.String())
		}
	}
}

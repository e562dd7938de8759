package tcpprobe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// expect is an entry that waits for a line.
func expect(pattern string) QueryResponse {
	return QueryResponse{Expect: probetest.MustRegexp(pattern)}
}

// tcpOptions is a section with its defaults and a conversation.
func tcpOptions(entries ...QueryResponse) *Options {
	o := new(Options)
	o.SetDefaults()
	o.QueryResponse = entries
	return o
}

func compiled(t testing.TB, o *Options) *prober {
	t.Helper()
	p, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p.(*prober)
}

// probeTCP probes target for at most limit; the error must be nil.
func probeTCP(t testing.TB, o *Options, target string, limit time.Duration) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := compiled(t, o).Probe(ctx, probe.Request{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTCPConnects(t *testing.T) {
	addr := probetest.Listen(t, probetest.Says(""))
	r := probeTCP(t, tcpOptions(), addr.String(), probetest.Enough)
	probetest.WantUp(t, r)
	if r.Resolve == nil || r.Resolve.Addr != addr.Addr() || r.TCP == nil || r.TLS != nil || r.HTTP != nil {
		t.Errorf("got %+v", r)
	}
	if r.Phases.Connect <= 0 || r.Phases.Transfer != 0 {
		t.Errorf("phases %+v: connecting takes time, a conversation there was none", r.Phases)
	}
	probetest.WantUp(t, probeTCP(t, tcpOptions(), "TCP://"+addr.String(), probetest.Enough))
}

func TestTCPReportsWhoDoesNotListen(t *testing.T) {
	r := probeTCP(t, tcpOptions(), probetest.ClosedPort(t).String(), probetest.Enough)
	probetest.WantDown(t, r, probe.StageConnect, probe.ReasonConnectionRefused)
	if r.TCP != nil || r.Resolve == nil {
		t.Errorf("got %+v, want an address and no facts of a connection", r)
	}
}

func TestTCPAsksTheGuardAboutTheAddressThatIsDialled(t *testing.T) {
	addr := probetest.Listen(t, probetest.Says(""))
	g, err := guard.Options{Deny: []string{"127.0.0.0/8"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{addr.String(), "[::ffff:127.0.0.1]:" + probetest.PortOf(addr), "localhost:" + probetest.PortOf(addr), "0.0.0.0:" + probetest.PortOf(addr)} {
		_, err := compiled(t, tcpOptions()).Probe(t.Context(), probe.Request{Target: target, Guard: g})
		var denied *probe.DeniedError
		if !errors.As(err, &denied) {
			t.Errorf("%s: got %v, want a DeniedError", target, err)
		}
	}
}

func TestTCPConversations(t *testing.T) {
	labels := func(pattern string, labels ...ExpectLabel) QueryResponse {
		q := expect(pattern)
		q.Labels = labels
		if labels == nil {
			q.Labels = []ExpectLabel{}
		}
		return q
	}
	for name, c := range map[string]struct {
		server  string
		entries []QueryResponse
		facts   probe.TCPFacts
		stage   probe.Stage
		reason  probe.Reason
	}{
		"a line that matches": {server: "SSH-2.0-x\r\n", entries: []QueryResponse{expect("^SSH-2.0-x$")}},
		"lines that do not match are skipped": {
			server: "one\ntwo\nthree\n", entries: []QueryResponse{expect("^three")},
		},
		"the last line needs no end": {server: "ready", entries: []QueryResponse{expect("^ready$")}},
		"a stream that ends before a match": {
			server: "one\ntwo\n", entries: []QueryResponse{expect("^three")},
			facts: probe.TCPFacts{FailedRegexp: true}, stage: probe.StageConversation, reason: probe.ReasonNoMatch,
		},
		"bytes": {server: "\x00\x01\x02", entries: []QueryResponse{{ExpectBytes: "\x00\x01\x02"}}},
		"other bytes": {
			server: "\x00\x07\x02", entries: []QueryResponse{{ExpectBytes: "\x00\x01\x02"}},
			facts: probe.TCPFacts{FailedBytes: true}, stage: probe.StageConversation, reason: probe.ReasonBytesMismatch,
		},
		"too few bytes": {
			server: "\x00\x01", entries: []QueryResponse{{ExpectBytes: "\x00\x01\x02"}},
			stage: probe.StageConversation, reason: probe.ReasonConnectionClosed,
		},
		"bytes after a line that came with them": {
			server: "hello\nworld!\nbye\n", entries: []QueryResponse{expect("^hello$"), {ExpectBytes: "world"}, expect("^!$"), expect("^bye$")},
		},
		"a line and bytes in one entry": {
			server: "hello\nworld", entries: []QueryResponse{{Expect: expect("^hello$").Expect, ExpectBytes: "world"}},
		},
		"labels with captures": {
			server: "SSH-2.0-OpenSSH_9.2 Debian\n",
			entries: []QueryResponse{labels(`^SSH-2.0-(\S+)( (?P<comment>.*))?$`, ExpectLabel{"ssh_version", "${1}"},
				ExpectLabel{Name: "ssh-comment", Value: "${comment}"}, ExpectLabel{Name: "fixed", Value: "x"}, ExpectLabel{Name: "missing", Value: "${7}"})},
			facts: probe.TCPFacts{Expects: []probe.ExpectLabels{{{Name: "ssh_version", Value: "OpenSSH_9.2"}, {Name: "ssh_comment", Value: "Debian"}, {Name: "fixed", Value: "x"}, {Name: "missing", Value: ""}}}},
		},
		"an empty list of labels counts": {
			server: "x\n", entries: []QueryResponse{labels("x")}, facts: probe.TCPFacts{Expects: []probe.ExpectLabels{{}}},
		},
		"labels that come twice are one series": {
			server: "x\nx\ny\n", entries: []QueryResponse{labels("x", ExpectLabel{Name: "a", Value: "1"}), labels("x", ExpectLabel{Name: "a", Value: "1"}), labels("y", ExpectLabel{Name: "a", Value: "2"})},
			facts: probe.TCPFacts{Expects: []probe.ExpectLabels{{{Name: "a", Value: "1"}}, {{Name: "a", Value: "2"}}}},
		},
		"captured bytes that are not UTF-8": {
			server: "a\xff\xfeb\n", entries: []QueryResponse{labels(`(?s)^(a.*)$`, ExpectLabel{Name: "v", Value: "${1}"})},
			facts: probe.TCPFacts{Expects: []probe.ExpectLabels{{{Name: "v", Value: "a\uFFFDb"}}}},
		},
		"a long capture is cut": {
			server: strings.Repeat("x", 9000) + "\n", entries: []QueryResponse{labels("^(.*)$", ExpectLabel{Name: "v", Value: "${1}"})},
			facts: probe.TCPFacts{Expects: []probe.ExpectLabels{{{Name: "v", Value: strings.Repeat("x", probe.MaxLabelValue)}}}},
		},
		"labels of a match stay when a later turn fails": {
			server: "x\n", entries: []QueryResponse{labels("x", ExpectLabel{Name: "a", Value: "1"}), expect("y")},
			facts: probe.TCPFacts{FailedRegexp: true, Expects: []probe.ExpectLabels{{{Name: "a", Value: "1"}}}}, stage: probe.StageConversation, reason: probe.ReasonNoMatch,
		},
		"a line as long as may be": {server: strings.Repeat("x", maxLine-1) + "\nend\n", entries: []QueryResponse{expect("end")}},
		"a line that is too long": {
			server: strings.Repeat("x", maxLine+1), entries: []QueryResponse{expect("end")},
			stage: probe.StageConversation, reason: probe.ReasonLineTooLong,
		},
		"too many lines": {
			server: strings.Repeat(strings.Repeat("x", 99)+"\n", maxConversation/100+1), entries: []QueryResponse{expect("end")},
			stage: probe.StageConversation, reason: probe.ReasonConversationTooLong,
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := probetest.Listen(t, probetest.Says(c.server))
			r := probeTCP(t, tcpOptions(c.entries...), addr.String(), probetest.Enough)
			if c.reason == "" {
				probetest.WantUp(t, r)
			} else {
				probetest.WantDown(t, r, c.stage, c.reason)
			}
			if diff := cmp.Diff(&c.facts, r.TCP); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if r.Phases.Transfer <= 0 {
				t.Errorf("phases %+v: a conversation takes time", r.Phases)
			}
		})
	}
}

func TestTCPSends(t *testing.T) {
	type exchange struct{ say, want string }
	for name, c := range map[string]struct {
		script  []exchange
		entries []QueryResponse
	}{
		"a line with a newline behind it": {
			script: []exchange{{"", "QUIT\n"}}, entries: []QueryResponse{{Send: "QUIT"}, expect("done")},
		},
		"what expect captured": {
			script:  []exchange{{"PING 42\r\n", "PONG 42 $\n"}},
			entries: []QueryResponse{{Expect: expect(`^PING (\d+)$`).Expect, Send: "PONG ${1} $$"}, expect("done")},
		},
		"dollars as they stand where nothing was expected": {
			script: []exchange{{"", "NICK ${1} $$\n"}}, entries: []QueryResponse{{Send: "NICK ${1} $$"}, expect("done")},
		},
		"in turn": {
			script:  []exchange{{"220 hello\n", "EHLO x\n"}, {"250-a\n250 b\n", "QUIT\n"}},
			entries: []QueryResponse{expect("^220 "), {Send: "EHLO x"}, {Expect: expect("^250 b").Expect, Send: "QUIT"}, expect("done")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan string, len(c.script))
			addr := probetest.Listen(t, func(conn net.Conn) {
				in := bufio.NewReader(conn)
				for _, e := range c.script {
					io.WriteString(conn, e.say)
					line, _ := in.ReadString('\n')
					heard <- line
				}
				io.WriteString(conn, "done\n")
			})
			probetest.WantUp(t, probeTCP(t, tcpOptions(c.entries...), addr.String(), probetest.Enough))
			for _, e := range c.script {
				if got := <-heard; got != e.want {
					t.Errorf("the server heard %q, want %q", got, e.want)
				}
			}
		})
	}
}

func TestTCPEndures(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	flood := func(text string) func(net.Conn) {
		chunk := bytes.Repeat([]byte(text), 32<<10/len(text))
		return func(c net.Conn) {
			for {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
		}
	}
	drip := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			for i := range len(text) {
				c.(*net.TCPConn).SetNoDelay(true)
				if _, err := io.WriteString(c, text[i:i+1]); err != nil {
					return
				}
				<-time.After(time.Millisecond)
			}
			<-hold
		}
	}
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		entries []QueryResponse
		limit   time.Duration
		stage   probe.Stage
		reason  probe.Reason // empty: up
	}{
		"silence, when only the connection counts":       {serve: func(net.Conn) { <-hold }, limit: probetest.Enough},
		"silence, when a line is expected":               {func(net.Conn) { <-hold }, []QueryResponse{expect("x")}, probetest.Soon, probe.StageConversation, probe.ReasonTimeout},
		"silence, when bytes are expected":               {func(net.Conn) { <-hold }, []QueryResponse{{ExpectBytes: "x"}}, probetest.Soon, probe.StageConversation, probe.ReasonTimeout},
		"a line that never ends, though it would match":  {func(c net.Conn) { io.WriteString(c, "login: "); <-hold }, []QueryResponse{expect("login")}, probetest.Soon, probe.StageConversation, probe.ReasonTimeout},
		"a reset after accepting, when only that counts": {serve: probetest.Reset, limit: probetest.Enough},
		"a reset when a line is expected":                {probetest.Reset, []QueryResponse{expect("x")}, probetest.Enough, probe.StageConversation, probe.ReasonConnectionReset},
		"a banner byte by byte":                          {drip("220 hello\r\n"), []QueryResponse{expect("^220 hello$")}, probetest.Enough, "", ""},
		"expected bytes one by one":                      {drip("\x00abcdef"), []QueryResponse{{ExpectBytes: "\x00abcdef"}}, probetest.Enough, "", ""},
		"an endless line":                                {flood("x"), []QueryResponse{expect("y")}, time.Minute, probe.StageConversation, probe.ReasonLineTooLong},
		"endless lines":                                  {flood(strings.Repeat("x", 99) + "\n"), []QueryResponse{expect("y")}, time.Minute, probe.StageConversation, probe.ReasonConversationTooLong},
		"a peer that never reads":                        {func(net.Conn) { <-hold }, []QueryResponse{{Send: strings.Repeat("x", 16<<20)}}, 2 * probetest.Soon, probe.StageConversation, probe.ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			addr := probetest.Listen(t, c.serve)
			start := time.Now()
			r := probeTCP(t, tcpOptions(c.entries...), addr.String(), c.limit)
			if c.reason == "" {
				probetest.WantUp(t, r)
			} else {
				probetest.WantDown(t, r, c.stage, c.reason)
			}
			if took := time.Since(start); took > c.limit+10*time.Second {
				t.Errorf("it took %s, the limit was %s", took, c.limit)
			}
			if r.TCP == nil || r.TCP.FailedRegexp || r.TCP.FailedBytes {
				t.Errorf("facts %+v: no expression and no bytes decided", r.TCP)
			}
		})
	}
}

func TestTCPProbeEndsWhenTheCallerGoesAway(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	accepted := make(chan struct{})
	addr := probetest.Listen(t, func(net.Conn) { close(accepted); <-hold })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		cancel()
	}()
	r, err := compiled(t, tcpOptions(expect("x"))).Probe(ctx, probe.Request{Target: addr.String()})
	if !errors.Is(err, context.Canceled) || r.Failure != nil {
		t.Errorf("got %+v and %v, want context.Canceled", r, err)
	}
}

// TestTraceShowsNoCredentialThatIsSentOrRepeated has a mail server that repeats what it does not take.
func TestTraceShowsNoCredentialThatIsSentOrRepeated(t *testing.T) {
	const credential = "AGFsaWNlAGNhbmFyeS1wYXNzd29yZA=="
	addr := probetest.Listen(t, func(c net.Conn) {
		io.WriteString(c, "220 mail\r\n")
		bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "535 no such credential: "+credential+"\r\n")
	})
	for _, shown := range []bool{false, true} {
		trace := &probe.Trace{ShowSent: shown}
		login := expect("^220")
		login.Send = "AUTH PLAIN " + credential
		if r, err := compiled(t, tcpOptions(login, expect("^535"))).Probe(t.Context(), probe.Request{Target: addr.String(), Trace: trace}); err != nil || !r.Up() {
			t.Fatalf("%+v %v", r.Failure, err)
		}
		if text := fmt.Sprint(trace.Steps()); strings.Contains(text, credential) != shown || !strings.Contains(text, "no such credential") {
			t.Errorf("shown %t: %s", shown, text)
		}
	}
}

func TestTCPTraceTellsTheStepsBriefly(t *testing.T) {
	addr := probetest.Listen(t, probetest.Says("220 "+strings.Repeat("x", 5000)+"\n"))
	trace := new(probe.Trace)
	o := tcpOptions(QueryResponse{Expect: expect("^220").Expect, Send: "QUIT"})
	if _, err := compiled(t, o).Probe(t.Context(), probe.Request{Target: addr.String(), Trace: trace}); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, s := range trace.Steps() {
		text.WriteString(s.Text + "\n")
	}
	for _, want := range []string{"connecting to " + addr.String(), `received "220 xxx`, "matches: true", `sending "QUIT"`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the trace does not tell %q:\n%s", want, text.String())
		}
	}
	if text.Len() > 1000 {
		t.Errorf("the trace has %d bytes", text.Len())
	}
}

func TestTCPOptionsAreCheckedAtLoad(t *testing.T) {
	withLabels := func(labels ...ExpectLabel) *Options {
		q := expect("x")
		q.Labels = labels
		return tcpOptions(q)
	}
	for name, c := range map[string]struct {
		change func(*Options)
		base   *Options
		want   []string // what each fault begins with
	}{
		"a source that is no address":        {change: func(o *Options) { o.SourceIPAddress = "eth0" }, want: []string{`source_ip_address: "eth0" is not an IP address`}},
		"a source of the unreachable family": {change: func(o *Options) { o.SourceIPAddress, o.IPProtocol, o.IPProtocolFallback = "127.0.0.1", "ip6", false }, want: []string{"source_ip_address: 127.0.0.1 reaches no ip6"}},
		"starttls over tls":                  {change: func(o *Options) { o.TLS = true }, base: tcpOptions(QueryResponse{StartTLS: true}), want: []string{"query_response[0].starttls: the connection is encrypted already"}},
		"starttls twice":                     {base: tcpOptions(QueryResponse{StartTLS: true}, QueryResponse{Send: "x"}, QueryResponse{StartTLS: true}), want: []string{"query_response[2].starttls: the connection is encrypted already"}},
		"the same label twice":               {base: withLabels(ExpectLabel{Name: "a-b"}, ExpectLabel{Name: "a_b"}), want: []string{`query_response[0].labels[1].name: "a_b" is there twice`}},
		"reserved and empty labels":          {base: withLabels(ExpectLabel{Name: "__name__"}, ExpectLabel{}), want: []string{`query_response[0].labels[0].name: "__name__" is reserved`, "query_response[0].labels[1].name: is required"}},
		"several errors at once":             {change: func(o *Options) { o.TLS, o.SourceIPAddress, o.TLSConfig.CAFile = true, "x", "/does/not/exist" }, want: []string{"source_ip_address: ", "tls_config.ca_file: cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.base
			if o == nil {
				o = tcpOptions()
			}
			if c.change != nil {
				c.change(o)
			}
			_, err := o.Compile()
			faults := probetest.OptionErrorTexts(err)
			if len(faults) != len(c.want) {
				t.Fatalf("got %q, want %q", faults, c.want)
			}
			for i := range faults {
				if !strings.HasPrefix(faults[i], c.want[i]) {
					t.Errorf("got %q, want %q", faults[i], c.want[i])
				}
			}
		})
	}
}

func TestTCPSourceAddressChoosesTheFamily(t *testing.T) {
	seen := make(chan string, 1)
	addr := probetest.Listen(t, func(c net.Conn) { seen <- c.RemoteAddr().String() })
	o := tcpOptions()
	o.SourceIPAddress = "127.0.0.9"
	probetest.WantUp(t, probeTCP(t, o, addr.String(), probetest.Enough))
	if got := <-seen; !strings.HasPrefix(got, "127.0.0.9:") {
		t.Errorf("the server saw %s", got)
	}
	probetest.WantDown(t, probeTCP(t, o, "[::1]:80", probetest.Enough), probe.StageResolve, probe.ReasonNoIPProtocol)
}

func TestLabelsWithoutAnExpectAreWarnedOf(t *testing.T) {
	for q, want := range map[*QueryResponse]bool{
		{Labels: []ExpectLabel{{Name: "a"}}}:                                    true,
		{Expect: probetest.MustRegexp("x"), Labels: []ExpectLabel{{Name: "a"}}}: false,
		{Send: "x"}: false,
	} {
		err := q.Validate()
		var warning *option.Warning
		if errors.As(err, &warning) != want {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// expect is an entry that waits for a line.
func expect(pattern string) QueryResponse {
	return QueryResponse{Expect: mustRegexp(pattern)}
}

// tcpOptions is a section with its defaults and a conversation.
func tcpOptions(entries ...QueryResponse) *TCPOptions {
	o := new(TCPOptions)
	o.SetDefaults()
	o.QueryResponse = entries
	return o
}

func compiled(t testing.TB, o *TCPOptions) *tcpProber {
	t.Helper()
	p, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p.(*tcpProber)
}

// probeTCP probes target for at most limit; the error must be nil.
func probeTCP(t testing.TB, o *TCPOptions, target string, limit time.Duration) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := compiled(t, o).Probe(ctx, Request{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	enough = 5 * time.Second        // for what must not time out
	soon   = 100 * time.Millisecond // for what must
)

// says is a server that writes text and then closes its side when it has read all.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	}
}

func TestTCPConnects(t *testing.T) {
	addr := listen(t, says(""))
	r := probeTCP(t, tcpOptions(), addr.String(), enough)
	wantUp(t, r)
	if r.Resolve == nil || r.Resolve.Addr != addr.Addr() || r.TCP == nil || r.TLS != nil || r.HTTP != nil {
		t.Errorf("got %+v", r)
	}
	if r.Phases.Connect <= 0 || r.Phases.Transfer != 0 {
		t.Errorf("phases %+v: connecting takes time, a conversation there was none", r.Phases)
	}
	wantUp(t, probeTCP(t, tcpOptions(), "TCP://"+addr.String(), enough))
}

func TestTCPReportsWhoDoesNotListen(t *testing.T) {
	r := probeTCP(t, tcpOptions(), closedPort(t).String(), enough)
	wantDown(t, r, StageConnect, ReasonConnectionRefused)
	if r.TCP != nil || r.Resolve == nil {
		t.Errorf("got %+v, want an address and no facts of a connection", r)
	}
}

func TestTCPAsksTheGuardAboutTheAddressThatIsDialled(t *testing.T) {
	addr := listen(t, says(""))
	g, err := GuardOptions{Deny: []string{"127.0.0.0/8"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{addr.String(), "[::ffff:127.0.0.1]:" + portOf(addr), "localhost:" + portOf(addr), "0.0.0.0:" + portOf(addr)} {
		_, err := compiled(t, tcpOptions()).Probe(t.Context(), Request{Target: target, guard: g})
		var denied *DeniedError
		if !errors.As(err, &denied) {
			t.Errorf("%s: got %v, want a DeniedError", target, err)
		}
	}
}

func portOf(addr netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(addr.String())
	return port
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
		facts   TCPFacts
		stage   Stage
		reason  Reason
	}{
		"a line that matches": {server: "SSH-2.0-x\r\n", entries: []QueryResponse{expect("^SSH-2.0-x$")}},
		"lines that do not match are skipped": {
			server: "one\ntwo\nthree\n", entries: []QueryResponse{expect("^three")},
		},
		"the last line needs no end": {server: "ready", entries: []QueryResponse{expect("^ready$")}},
		"a stream that ends before a match": {
			server: "one\ntwo\n", entries: []QueryResponse{expect("^three")},
			facts: TCPFacts{FailedRegexp: true}, stage: StageConversation, reason: ReasonNoMatch,
		},
		"bytes": {server: "\x00\x01\x02", entries: []QueryResponse{{ExpectBytes: "\x00\x01\x02"}}},
		"other bytes": {
			server: "\x00\x07\x02", entries: []QueryResponse{{ExpectBytes: "\x00\x01\x02"}},
			facts: TCPFacts{FailedBytes: true}, stage: StageConversation, reason: ReasonBytesMismatch,
		},
		"too few bytes": {
			server: "\x00\x01", entries: []QueryResponse{{ExpectBytes: "\x00\x01\x02"}},
			stage: StageConversation, reason: ReasonConnectionClosed,
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
				ExpectLabel{"ssh-comment", "${comment}"}, ExpectLabel{"fixed", "x"}, ExpectLabel{"missing", "${7}"})},
			facts: TCPFacts{Expects: []ExpectLabels{{{"ssh_version", "OpenSSH_9.2"}, {"ssh_comment", "Debian"}, {"fixed", "x"}, {"missing", ""}}}},
		},
		"an empty list of labels counts": {
			server: "x\n", entries: []QueryResponse{labels("x")}, facts: TCPFacts{Expects: []ExpectLabels{{}}},
		},
		"labels that come twice are one series": {
			server: "x\nx\ny\n", entries: []QueryResponse{labels("x", ExpectLabel{"a", "1"}), labels("x", ExpectLabel{"a", "1"}), labels("y", ExpectLabel{"a", "2"})},
			facts: TCPFacts{Expects: []ExpectLabels{{{"a", "1"}}, {{"a", "2"}}}},
		},
		"captured bytes that are not UTF-8": {
			server: "a\xff\xfeb\n", entries: []QueryResponse{labels(`(?s)^(a.*)$`, ExpectLabel{"v", "${1}"})},
			facts: TCPFacts{Expects: []ExpectLabels{{{"v", "a\uFFFDb"}}}},
		},
		"a long capture is cut": {
			server: strings.Repeat("x", 9000) + "\n", entries: []QueryResponse{labels("^(.*)$", ExpectLabel{"v", "${1}"})},
			facts: TCPFacts{Expects: []ExpectLabels{{{"v", strings.Repeat("x", maxLabelValue)}}}},
		},
		"labels of a match stay when a later turn fails": {
			server: "x\n", entries: []QueryResponse{labels("x", ExpectLabel{"a", "1"}), expect("y")},
			facts: TCPFacts{FailedRegexp: true, Expects: []ExpectLabels{{{"a", "1"}}}}, stage: StageConversation, reason: ReasonNoMatch,
		},
		"a line as long as may be": {server: strings.Repeat("x", maxLine-1) + "\nend\n", entries: []QueryResponse{expect("end")}},
		"a line that is too long": {
			server: strings.Repeat("x", maxLine+1), entries: []QueryResponse{expect("end")},
			stage: StageConversation, reason: ReasonLineTooLong,
		},
		"too many lines": {
			server: strings.Repeat(strings.Repeat("x", 99)+"\n", maxConversation/100+1), entries: []QueryResponse{expect("end")},
			stage: StageConversation, reason: ReasonConversationTooLong,
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, says(c.server))
			r := probeTCP(t, tcpOptions(c.entries...), addr.String(), enough)
			if c.reason == "" {
				wantUp(t, r)
			} else {
				wantDown(t, r, c.stage, c.reason)
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
			addr := listen(t, func(conn net.Conn) {
				in := bufio.NewReader(conn)
				for _, e := range c.script {
					io.WriteString(conn, e.say)
					line, _ := in.ReadString('\n')
					heard <- line
				}
				io.WriteString(conn, "done\n")
			})
			wantUp(t, probeTCP(t, tcpOptions(c.entries...), addr.String(), enough))
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
		stage   Stage
		reason  Reason // empty: up
	}{
		"silence, when only the connection counts":       {serve: func(net.Conn) { <-hold }, limit: enough},
		"silence, when a line is expected":               {func(net.Conn) { <-hold }, []QueryResponse{expect("x")}, soon, StageConversation, ReasonTimeout},
		"silence, when bytes are expected":               {func(net.Conn) { <-hold }, []QueryResponse{{ExpectBytes: "x"}}, soon, StageConversation, ReasonTimeout},
		"a line that never ends, though it would match":  {func(c net.Conn) { io.WriteString(c, "login: "); <-hold }, []QueryResponse{expect("login")}, soon, StageConversation, ReasonTimeout},
		"a reset after accepting, when only that counts": {serve: reset, limit: enough},
		"a reset when a line is expected":                {reset, []QueryResponse{expect("x")}, enough, StageConversation, ReasonConnectionReset},
		"a banner byte by byte":                          {drip("220 hello\r\n"), []QueryResponse{expect("^220 hello$")}, enough, "", ""},
		"expected bytes one by one":                      {drip("\x00abcdef"), []QueryResponse{{ExpectBytes: "\x00abcdef"}}, enough, "", ""},
		"an endless line":                                {flood("x"), []QueryResponse{expect("y")}, enough, StageConversation, ReasonLineTooLong},
		"endless lines":                                  {flood(strings.Repeat("x", 99) + "\n"), []QueryResponse{expect("y")}, enough, StageConversation, ReasonConversationTooLong},
		"a peer that never reads":                        {func(net.Conn) { <-hold }, []QueryResponse{{Send: strings.Repeat("x", 16<<20)}}, 2 * soon, StageConversation, ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, c.serve)
			start := time.Now()
			r := probeTCP(t, tcpOptions(c.entries...), addr.String(), c.limit)
			if c.reason == "" {
				wantUp(t, r)
			} else {
				wantDown(t, r, c.stage, c.reason)
			}
			if took := time.Since(start); took > c.limit+time.Second {
				t.Errorf("it took %s, the limit was %s", took, c.limit)
			}
			if r.TCP == nil || r.TCP.FailedRegexp || r.TCP.FailedBytes {
				t.Errorf("facts %+v: no expression and no bytes decided", r.TCP)
			}
		})
	}
}

// reset is a server that ends a connection by RST.
func reset(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

func TestTCPProbeEndsWhenTheAskerGoesAway(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	accepted := make(chan struct{})
	addr := listen(t, func(net.Conn) { close(accepted); <-hold })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		cancel()
	}()
	r, err := compiled(t, tcpOptions(expect("x"))).Probe(ctx, Request{Target: addr.String()})
	if !errors.Is(err, context.Canceled) || r.Failure != nil {
		t.Errorf("got %+v and %v, want context.Canceled", r, err)
	}
}

func TestTCPTraceTellsTheStepsBriefly(t *testing.T) {
	addr := listen(t, says("220 "+strings.Repeat("x", 5000)+"\n"))
	trace := new(Trace)
	o := tcpOptions(QueryResponse{Expect: expect("^220").Expect, Send: "QUIT"})
	if _, err := compiled(t, o).Probe(t.Context(), Request{Target: addr.String(), Trace: trace}); err != nil {
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
	withLabels := func(labels ...ExpectLabel) *TCPOptions {
		q := expect("x")
		q.Labels = labels
		return tcpOptions(q)
	}
	for name, c := range map[string]struct {
		change func(*TCPOptions)
		base   *TCPOptions
		want   []string // what each fault begins with
	}{
		"a source that is no address":        {change: func(o *TCPOptions) { o.SourceIPAddress = "eth0" }, want: []string{`source_ip_address: "eth0" is not an IP address`}},
		"a source of the unreachable family": {change: func(o *TCPOptions) { o.SourceIPAddress, o.IPProtocol, o.IPProtocolFallback = "127.0.0.1", "ip6", false }, want: []string{"source_ip_address: 127.0.0.1 reaches no ip6"}},
		"starttls over tls":                  {change: func(o *TCPOptions) { o.TLS = true }, base: tcpOptions(QueryResponse{StartTLS: true}), want: []string{"query_response[0].starttls: the connection is encrypted already"}},
		"starttls twice":                     {base: tcpOptions(QueryResponse{StartTLS: true}, QueryResponse{Send: "x"}, QueryResponse{StartTLS: true}), want: []string{"query_response[2].starttls: the connection is encrypted already"}},
		"the same label twice":               {base: withLabels(ExpectLabel{Name: "a-b"}, ExpectLabel{Name: "a_b"}), want: []string{`query_response[0].labels[1].name: "a_b" is there twice`}},
		"reserved and empty labels":          {base: withLabels(ExpectLabel{Name: "__name__"}, ExpectLabel{}), want: []string{`query_response[0].labels[0].name: "__name__" is reserved`, "query_response[0].labels[1].name: is required"}},
		"several faults at once":             {change: func(o *TCPOptions) { o.TLS, o.SourceIPAddress, o.TLSConfig.CAFile = true, "x", "/does/not/exist" }, want: []string{"source_ip_address: ", "tls_config.ca_file: cannot be read"}},
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
			faults := optionFaults(err)
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

// optionFaults lists the OptionErrors in err, each as its text.
func optionFaults(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, optionFaults(e)...)
		}
		return all
	}
	if option, ok := err.(*OptionError); ok {
		return []string{option.Error()}
	}
	return []string{"not an OptionError: " + err.Error()}
}

func TestTCPSourceAddressChoosesTheFamily(t *testing.T) {
	seen := make(chan string, 1)
	addr := listen(t, func(c net.Conn) { seen <- c.RemoteAddr().String() })
	o := tcpOptions()
	o.SourceIPAddress = "127.0.0.9"
	wantUp(t, probeTCP(t, o, addr.String(), enough))
	if got := <-seen; !strings.HasPrefix(got, "127.0.0.9:") {
		t.Errorf("the server saw %s", got)
	}
	wantDown(t, probeTCP(t, o, "[::1]:80", enough), StageResolve, ReasonNoIPProtocol)
}

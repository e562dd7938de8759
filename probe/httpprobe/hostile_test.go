package httpprobe

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/probetest"
)

// answers is a peer that reads a request's header and then says whatever it likes.
func answers(t testing.TB, say func(c net.Conn)) string {
	return rawServer(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		say(c)
	})
}

// answersWith is a peer with one fixed answer, after which it closes.
func answersWith(t testing.TB, text string) string {
	return answers(t, func(c net.Conn) { io.WriteString(c, text) })
}

// endless writes text until the other side has had enough.
func endless(text string) func(net.Conn) {
	return func(c net.Conn) {
		block := []byte(strings.Repeat(text, 64<<10/len(text)+1))
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}
}

func TestHostilePeersAreDownForOneReason(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	after := func(first string, then func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) { io.WriteString(c, first); then(c) }
	}
	bomb := encoded("gzip", make([]byte, 16<<20))
	for name, c := range map[string]struct {
		say     func(net.Conn)
		options string
		stage   probe.Stage
		reason  probe.Reason
	}{
		"silence":                       {func(c net.Conn) { io.Copy(io.Discard, c) }, "", probe.StageResponse, probe.ReasonTimeout},
		"closes at once":                {func(c net.Conn) {}, "", probe.StageResponse, probe.ReasonConnectionClosed},
		"resets":                        {probetest.Reset, "", probe.StageResponse, probe.ReasonConnectionReset},
		"closes in the header":          {after(ok+"Content-Le", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonConnectionClosed},
		"stalls in the header":          {after(ok+"Content-Le", func(c net.Conn) { io.Copy(io.Discard, c) }), "", probe.StageResponse, probe.ReasonTimeout},
		"another protocol":              {after("SSH-2.0-OpenSSH_9.2\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"HTTP/0.9":                      {after("<html>hello</html>\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"HTTP/2 in clear text":          {after("\x00\x00\x12\x04\x00\x00\x00\x00\x00\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"an unknown version":            {after("HTTP/9.9 200 OK\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"status 000":                    {after("HTTP/1.1 000 None\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"status 999":                    {after("HTTP/1.1 999 Much\r\nContent-Length: 0\r\n\r\n", func(net.Conn) {}), "", probe.StageCheck, probe.ReasonStatusCode},
		"status of two digits":          {after("HTTP/1.1 20 OK\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"status of letters":             {after("HTTP/1.1 abc\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"negative status":               {after("HTTP/1.1 -20 OK\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"header without a colon":        {after(ok+"nonsense\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"a flood of headers":            {after(ok, endless("X-Flood: 0123456789abcdef\r\n")), "", probe.StageResponse, probe.ReasonHeadersTooLarge},
		"a header line without end":     {after(ok+"X: ", endless("0123456789abcdef")), "", probe.StageResponse, probe.ReasonHeadersTooLarge},
		"a status line without end":     {endless("H"), "", probe.StageResponse, probe.ReasonHeadersTooLarge},
		"a flood of cookies":            {after(ok, endless("Set-Cookie: a=0123456789abcdef\r\n")), "", probe.StageResponse, probe.ReasonHeadersTooLarge},
		"endless interim responses":     {endless("HTTP/1.1 103 Early Hints\r\n\r\n"), "", probe.StageResponse, probe.ReasonTooManyInterim},
		"an interim response only":      {after("HTTP/1.1 100 Continue\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonConnectionClosed},
		"an endless body":               {after(ok+"\r\n", endless("body")), "", probe.StageBody, probe.ReasonBodyTooLarge},
		"an endless body looked at":     {after(ok+"\r\n", endless("body")), "fail_if_body_matches_regexp: [x]", probe.StageBody, probe.ReasonBodyTooLarge},
		"endless chunks":                {after(ok+"Transfer-Encoding: chunked\r\n\r\n", endless("4\r\nbody\r\n")), "body_size_limit: 100KB", probe.StageBody, probe.ReasonBodyTooLarge},
		"chunk extensions without end":  {after(ok+"Transfer-Encoding: chunked\r\n\r\n4;", endless("x=y;")), "", probe.StageBody, probe.ReasonProtocolError},
		"a chunk of no length":          {after(ok+"Transfer-Encoding: chunked\r\n\r\nzz\r\n", func(net.Conn) {}), "", probe.StageBody, probe.ReasonProtocolError},
		"a huge chunk":                  {after(ok+"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", func(net.Conn) {}), "", probe.StageBody, probe.ReasonProtocolError},
		"chunks that break off":         {after(ok+"Transfer-Encoding: chunked\r\n\r\n4\r\nbo", func(net.Conn) {}), "", probe.StageBody, probe.ReasonConnectionClosed},
		"chunks without the last":       {after(ok+"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", func(net.Conn) {}), "", probe.StageBody, probe.ReasonConnectionClosed},
		"a trailer without end":         {after(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", endless("X-Trailer: 0123456789\r\n")), "", probe.StageBody, probe.ReasonHeadersTooLarge},
		"a trailer of nonsense":         {after(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n", func(net.Conn) {}), "", probe.StageBody, probe.ReasonProtocolError},
		"a body dripped for ever":       {after(ok+"Content-Length: 1000\r\n\r\n", drip), "", probe.StageBody, probe.ReasonTimeout},
		"a header dripped for ever":     {after(ok+"X: ", drip), "", probe.StageResponse, probe.ReasonTimeout},
		"Content-Length too long":       {after(ok+"Content-Length: 10\r\n\r\nbody", func(net.Conn) {}), "", probe.StageBody, probe.ReasonProtocolError},
		"Content-Length with chunks":    {after(ok+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"two lengths":                   {after(ok+"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"a negative length":             {after(ok+"Content-Length: -4\r\n\r\nbody", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"a length too large for a file": {after(ok+"Content-Length: 99999999999999999999\r\n\r\nbody", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"a transfer coding of its own":  {after(ok+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", func(net.Conn) {}), "", probe.StageResponse, probe.ReasonProtocolError},
		"a reset in the body":           {after(ok+"Content-Length: 10\r\n\r\nbody", probetest.Reset), "", probe.StageBody, probe.ReasonConnectionReset},
		"a bomb": {after(ok+"\r\n", func(c net.Conn) {
			c.Write(bomb)
		}), "compression: gzip", probe.StageBody, probe.ReasonBodyTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := answers(t, c.say)
			limit := time.Minute
			if c.reason == probe.ReasonTimeout {
				limit = time.Second
			}
			r := probetest.Ask(t, httpModule(t, c.options), probe.Request{Target: target, Timeout: limit})
			probetest.WantDown(t, r, c.stage, c.reason)
			if r.Duration > limit+10*time.Second {
				t.Errorf("it took %v", r.Duration)
			}
			if r.HTTP.UncompressedBodyLength > int64(DefaultBodySizeLimit) {
				t.Errorf("%d bytes were counted", r.HTTP.UncompressedBodyLength)
			}
		})
	}
}

// drip sends a byte now and then, so that the connection is never idle for long.
func drip(c net.Conn) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
	}
}

func TestOddPeersAreUp(t *testing.T) {
	for name, text := range map[string]string{
		"no reason phrase":          "HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nbody",
		"bare line feeds":           "HTTP/1.1 200 OK\nContent-Length: 4\n\nbody",
		"HTTP/1.0 until the end":    "HTTP/1.0 200 OK\r\n\r\nbody",
		"HTTP/1.0 ignores chunking": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbody",
		"the same length twice":     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
		"a length too short":        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody and more",
		"a line break too many":     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody\r\n",
		"a few interim responses":   strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 5) + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
		"a trailer":                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
		"chunks of one byte":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nb\r\n1;x=y\r\no\r\n2\r\ndy\r\n0\r\n\r\n",
	} {
		r := probetest.Ask(t, httpModule(t, "fail_if_body_not_matches_regexp: ['^body$']"), probe.Request{Target: answersWith(t, text)})
		if !r.Up() {
			t.Errorf("%s: %v", name, r.Failure)
		}
	}
}

func TestSwitchingProtocolsIsAnAnswer(t *testing.T) {
	target := answers(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi")
		io.Copy(io.Discard, c)
	})
	m := httpModule(t, "valid_status_codes: [101]\nheaders: {Connection: Upgrade, Upgrade: websocket, Sec-WebSocket-Version: '13'}")
	r := probetest.Ask(t, m, probe.Request{Target: target, Timeout: 2 * probetest.Enough})
	probetest.WantUp(t, r)
	if r.Duration > probetest.Enough {
		t.Errorf("it took %v", r.Duration)
	}
}

func TestPeerThatAnswersBeforeItHasReadEverything(t *testing.T) {
	target := rawServer(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
		c.(*net.TCPConn).CloseWrite()
		io.CopyN(io.Discard, c, 64<<20)
	})
	m := httpModule(t, "method: POST\nvalid_status_codes: [413]\nbody: "+strings.Repeat("x", 1<<20))
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: target}))
}

// posting is a module that sends more than the buffers of a connection take.
func posting(t *testing.T, options string) *probe.Module {
	t.Helper()
	file := filepath.Join(t.TempDir(), "body")
	probetest.WriteFile(t, file, strings.Repeat("x", 15<<20))
	return httpModule(t, options+"\nmethod: POST\nbody_file: '"+file+"'")
}

// What a server has said counts, though it never reads what it was sent.
func TestPeerThatAnswersAndDoesNotRead(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	answer := func(text string) func(net.Conn) {
		return func(c net.Conn) { io.WriteString(c, text); <-done }
	}
	unauthorized := answer("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
	secured, options := rawTLS(t, "http/1.1", unauthorized)
	for name, c := range map[string]struct {
		target, options string
		stage           probe.Stage
		reasons         []probe.Reason
	}{
		"plain":    {rawServer(t, unauthorized), "", probe.StageCheck, []probe.Reason{probe.ReasonStatusCode}},
		"TLS":      {secured, options, probe.StageCheck, []probe.Reason{probe.ReasonStatusCode}},
		"nonsense": {rawServer(t, answer("SSH-2.0-OpenSSH_9.2\r\n")), "", probe.StageResponse, []probe.Reason{probe.ReasonProtocolError}},
		"closes":   {rawServer(t, func(net.Conn) {}), "", probe.StageRequest, []probe.Reason{probe.ReasonConnectionReset, probe.ReasonConnectionClosed}},
	} {
		r := probetest.Ask(t, posting(t, c.options), probe.Request{Target: c.target})
		if r.Up() || r.Failure.Stage != c.stage || !slices.Contains(c.reasons, r.Failure.Reason) {
			t.Errorf("%s: %v", name, r.Failure)
		}
		if r.Duration > probetest.Enough {
			t.Errorf("%s: it took %v", name, r.Duration)
		}
	}
}

func TestPeerThatNeverReadsEndsInTime(t *testing.T) {
	done := make(chan struct{})
	target := rawServer(t, func(c net.Conn) { <-done })
	defer close(done)
	r := probetest.Ask(t, posting(t, ""), probe.Request{Target: target, Timeout: 300 * time.Millisecond})
	probetest.WantDown(t, r, probe.StageRequest, probe.ReasonTimeout)
}

func TestWrongEndOfTLS(t *testing.T) {
	s, options := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) {})
	addr := s.Listener.Addr().String()
	// net/http's server answers plain HTTP on its TLS port with a status of 400.
	probetest.WantDown(t, probetest.Ask(t, httpModule(t, ""), probe.Request{Target: "http://" + addr}), probe.StageCheck, probe.ReasonStatusCode)
	probetest.WantDown(t, probetest.Ask(t, httpModule(t, options), probe.Request{Target: "https://" + rawServer(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		io.Copy(io.Discard, c)
	})}), probe.StageTLS, probe.ReasonNotTLS)
}

func TestChallengeGetsNoCredentials(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusProxyAuthRequired} {
		var seen recorder
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			seen.record(r)
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.Header().Set("Proxy-Authenticate", `Basic realm="x"`)
			w.WriteHeader(status)
		})
		r := probetest.Ask(t, httpModule(t, ""), probe.Request{Target: s.URL})
		probetest.WantDown(t, r, probe.StageCheck, probe.ReasonStatusCode)
		if len(seen.requests) != 1 {
			t.Errorf("%d: asked %d times", status, len(seen.requests))
		}
	}
}

func TestRedirectToADeniedAddress(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	})
	m := httpModule(t, "")
	var options guard.Options
	options.SetDefaults()
	denying, err := options.Compile()
	if err != nil {
		t.Fatal(err)
	}
	m.Guard = denying
	probetest.WantDown(t, probetest.Ask(t, m, probe.Request{Target: s.URL}), probe.StageRedirect, probe.ReasonDenied)
	_, err = new(probe.Runner).Do(t.Context(), m, probe.Request{Target: "http://169.254.169.254/"})
	if _, ok := err.(*probe.DeniedError); !ok {
		t.Errorf("the target itself: %v", err)
	}
}

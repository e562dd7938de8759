package tcpprobe

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"rollcall/probe/probetest"
)

// TestTCPSendsBytesAsTheyAre: nothing is added and nothing expanded, and the server sees no line.
func TestTCPSendsBytesAsTheyAre(t *testing.T) {
	heard := make(chan string, 1)
	addr := probetest.Listen(t, func(conn net.Conn) {
		io.WriteString(conn, "ready\n")
		got := make([]byte, 8)
		n, _ := io.ReadFull(conn, got)
		io.WriteString(conn, "S")
		rest, _ := io.ReadAll(conn)
		heard <- string(got[:n]) + string(rest)
	})
	const request = "\x00\x00\x00\x08\xd2$1\n"
	probetest.WantUp(t, probeTCP(t, tcpOptions(QueryResponse{Expect: expect("^(ready)$").Expect, SendBytes: request}, QueryResponse{ExpectBytes: "S"}), addr.String(), probetest.Enough))
	if got := <-heard; got != request {
		t.Errorf("the server heard %q, want %q", got, request)
	}
	both := QueryResponse{Send: "a", SendBytes: "b"}
	if err := both.Validate(); err == nil || !strings.Contains(err.Error(), "send_bytes: stands beside send") {
		t.Errorf("both: %v", err)
	}
}

// resetLater resets when the client has most likely noticed that it is connected.
func resetLater(c net.Conn) {
	time.Sleep(300 * time.Millisecond)
	probetest.Reset(c)
}

// TestTCPSaysWhatCameInstead: the cause of a failed expect names what the peer did send, cut and quoted.
func TestTCPSaysWhatCameInstead(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	stay := func(text string) func(net.Conn) {
		return func(c net.Conn) { io.WriteString(c, text); <-hold }
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		entry QueryResponse
		limit time.Duration
		want  []string
	}{
		"nothing, and the end": {probetest.Says(""), expect("^220"), probetest.Enough, []string{`matches "^220": got no line, then the peer ended the stream`}},
		"another line":         {probetest.Says("SSH-2.0-x\r\n"), expect("^220"), probetest.Enough, []string{`got "SSH-2.0-x", then the peer ended`}},
		"several lines":        {probetest.Says("554 no\n554 \x1b[31m\xff\nbye"), expect("^220"), probetest.Enough, []string{`got 3 lines, from "554 no" to "bye", then`}},
		"a line, then silence": {stay("554 \x1b[31m\xff\n"), expect("^220"), probetest.Soon, []string{`got "554 \x1b[31m\xff": `, "timeout"}},
		"a prompt":             {stay("login: "), expect("login"), probetest.Soon, []string{`got no line, and "login: " without a newline, which is no line; accepted: expect_bytes: `, "timeout"}},
		"a long line":          {probetest.Says(strings.Repeat("x", 5000) + "\n"), expect("^220"), probetest.Enough, []string{`"` + strings.Repeat("x", 200) + `"…, then`}},
		"a reset":              {resetLater, expect("^220"), probetest.Enough, []string{"got no line: "}},
		"too few bytes":        {probetest.Says("ab"), QueryResponse{ExpectBytes: "abc"}, probetest.Enough, []string{`waiting for the bytes "abc": got 2 of 3: EOF`}},
		"no bytes":             {stay(""), QueryResponse{ExpectBytes: "abc"}, probetest.Soon, []string{`got 0 of 3: `, "timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := probeTCP(t, tcpOptions(c.entry), probetest.Listen(t, c.serve).String(), c.limit)
			for _, want := range c.want {
				if r.Failure == nil || !strings.Contains(r.Failure.Error(), want) {
					t.Errorf("the cause is %v, want %s", r.Failure, want)
				}
			}
			if r.Failure != nil && len(r.Failure.Error()) > 700 {
				t.Errorf("the cause has %d bytes", len(r.Failure.Error()))
			}
		})
	}
}

// TestRepeatedCredentialsAreNotShown: neither in the cause nor in a label; with another word, a label has what the peer says.
func TestRepeatedCredentialsAreNotShown(t *testing.T) {
	repeats := func(c net.Conn) {
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil {
			fmt.Fprintf(c, "535 %q is no %s", strings.TrimSpace(line), line)
		}
	}
	wants := expect("^235")
	said := expect("^535 (.*)$")
	said.Labels = []ExpectLabel{{Name: "said", Value: "$1"}}
	for sent, secret := range map[string]string{
		"AUTH LOGIN hunter2/word": "hunter2/word", `{"user": "bob", "token": "hunter2\"word"}`: "hunter2", "user=bob&pw=hunter2%26word&x=y": "hunter2",
		"<password>hunter2</password>": "hunter2", "hunter2 alone": "hunter2",
	} {
		target := probetest.Listen(t, repeats).String()
		r := probeTCP(t, tcpOptions(QueryResponse{Send: sent}, wants), target, probetest.Enough)
		if r.Up() || strings.Contains(r.Failure.Error(), secret) || !strings.Contains(r.Failure.Error(), "535") {
			t.Errorf("%s: the cause is %v", sent, r.Failure)
		}
		r = probeTCP(t, tcpOptions(QueryResponse{Send: sent}, said), target, probetest.Enough)
		label := r.TCP.Expects[0][0].Value
		if announced := sent != "hunter2 alone"; strings.Contains(label, secret) == announced {
			t.Errorf("%s: the label is %s", sent, label)
		}
	}
}

package zoo

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"time"
)

// The handlers in this file are for TCP and Serve.

// Say sends text and then waits until the peer closes.
func Say(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		hold(c)
	}
}

// SayAndClose sends text and closes.
func SayAndClose(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

// Drip sends text byte by byte with a pause after each, and then waits until the peer closes.
func Drip(text string, pauseAfter time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil || !pause(c, pauseAfter) {
				return
			}
		}
		hold(c)
	}
}

// Dialogue sends a greeting and answers each line with one line, which it looks up by the first word.
func Dialogue(greeting string, answers map[string]string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, greeting)
		for lines := bufio.NewScanner(c); lines.Scan(); {
			word, _, _ := strings.Cut(lines.Text(), " ")
			answer, ok := answers[word]
			if !ok {
				answer = "what?\r\n"
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// Silent accepts and sends nothing.
func Silent(c net.Conn) { hold(c) }

// Close closes at once.
func Close(net.Conn) {}

// Reset closes with RST.
func Reset(c net.Conn) { reset(c) }

// ResetAfter reads once, answers with text, and then sends RST.
func ResetAfter(text string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, text)
		pause(c, 50*time.Millisecond) // RST discards what the peer has not yet read
		reset(c)
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// EndlessLine sends bytes without a newline until the peer closes.
func EndlessLine(c net.Conn) { flood(c, bytes.Repeat([]byte("a"), 64<<10)) }

// EndlessLines sends short lines until the peer closes.
func EndlessLines(c net.Conn) { flood(c, bytes.Repeat([]byte("no such line\r\n"), 4096)) }

// EndlessZeros sends NUL bytes until the peer closes.
func EndlessZeros(c net.Conn) { flood(c, make([]byte, 64<<10)) }

func flood(c net.Conn, chunk []byte) {
	for {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

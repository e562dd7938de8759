package zoo

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The handlers in this file are for TCP and Serve.

// Say sends text and then waits for the peer to go.
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

// Drip sends text byte by byte with a pause after each, and then waits for the peer to go.
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

// Dialogue answers one line for one line: after the greeting each line that arrives is looked up by its first word.
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

// Silent accepts and says nothing.
func Silent(c net.Conn) { hold(c) }

// Close closes at once.
func Close(net.Conn) {}

// Reset sends RST instead of an orderly end.
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

// EndlessLine sends bytes without a newline for as long as somebody takes them.
func EndlessLine(c net.Conn) { flood(c, bytes.Repeat([]byte("a"), 64<<10)) }

// EndlessLines sends short lines for as long as somebody takes them.
func EndlessLines(c net.Conn) { flood(c, bytes.Repeat([]byte("no such line\r\n"), 4096)) }

// EndlessZeros sends NUL bytes for as long as somebody takes them.
func EndlessZeros(c net.Conn) { flood(c, make([]byte, 64<<10)) }

func flood(c net.Conn, chunk []byte) {
	for {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

// Deaf greets, and never reads: with a small receive buffer, what is sent to it soon has nowhere to go. The handler
// ends when the test closes the connection or when stop is closed.
func Deaf(t testing.TB, greeting string) string {
	t.Helper()
	stop := make(chan struct{})
	l := Listen(t, "127.0.0.1")
	if raw, err := l.(*net.TCPListener).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}
	addr := Serve(t, l, func(c net.Conn) {
		io.WriteString(c, greeting)
		<-stop
	})
	t.Cleanup(sync.OnceFunc(func() { close(stop) })) // runs before Serve's own cleanup, which waits for the handlers
	return addr
}

// Blackhole is an address (of ip, "127.0.0.1" or "::1") whose handshake never completes: its accept queue is full.
func Blackhole(t testing.TB, ip string) string {
	t.Helper()
	addr := net.ParseIP(ip)
	family, sockaddr := syscall.AF_INET, syscall.Sockaddr(&syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if addr.To4() == nil {
		family, sockaddr = syscall.AF_INET6, &syscall.SockaddrInet6{Addr: [16]byte{15: 1}}
	} else {
		copy(sockaddr.(*syscall.SockaddrInet4).Addr[:], addr.To4())
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, sockaddr); err != nil {
		t.Fatalf("zoo: %v", err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatalf("zoo: %v", err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	target := net.TCPAddr{IP: addr}
	switch b := bound.(type) {
	case *syscall.SockaddrInet4:
		target.Port = b.Port
	case *syscall.SockaddrInet6:
		target.Port = b.Port
	}
	for range 16 {
		c, err := net.DialTimeout("tcp", target.String(), 100*time.Millisecond)
		if err != nil {
			return target.String() // the queue is full
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatalf("zoo: the accept queue of %s does not fill", target.String())
	return ""
}

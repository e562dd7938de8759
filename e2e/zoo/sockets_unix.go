//go:build unix

package zoo

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Deaf sends a greeting and never reads. Its receive buffer is small, so that writes to it soon block. The handler ends when
// the test closes the connection or when stop is closed.
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

// Unix starts a server on a Unix socket that hands every connection to handle and closes it afterwards. It returns the
// socket's path, which is short: a socket's address holds no long one.
func Unix(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zoo")
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	return Serve(t, l, handle)
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
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	syscall.CloseOnExec(fd)
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

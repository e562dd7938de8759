package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"rollcall/probe"
)

// TestDialEndsByTheDeadlineOfAnyContext dials an address that never answers: the accept queue of its listener is full.
func TestDialEndsByTheDeadlineOfAnyContext(t *testing.T) {
	addr := fullListener(t)
	cancellable, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, caller := range map[string]context.Context{
		"an caller who may leave":  cancellable,
		"an caller who never does": context.Background(),
	} {
		t.Run(name, func(t *testing.T) {
			l := probe.NewLimit(caller, 50*time.Millisecond)
			defer l.Release()
			conn, err := Dial(l, nil, "tcp", "full", addr, netip.Addr{})
			if err == nil {
				conn.Close()
				t.Fatal("the connection opened")
			}
			if !probe.HasReason(err, probe.ReasonTimeout) {
				t.Errorf("dial = %v, want the reason timeout", err)
			}
		})
	}
}

func TestDialEndsWhenTheCallerLeaves(t *testing.T) {
	addr := fullListener(t)
	caller, cancel := context.WithCancel(t.Context())
	l := probe.NewLimit(caller, time.Minute)
	defer l.Release()
	timer := time.AfterFunc(20*time.Millisecond, cancel)
	defer timer.Stop()
	conn, err := Dial(l, nil, "tcp", "full", addr, netip.Addr{})
	if err == nil {
		conn.Close()
		t.Fatal("the connection opened")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("dial = %v, want context.Canceled", err)
	}
}

// fullListener returns an address whose listener takes no further connection: Linux drops what comes.
func fullListener(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port))
	for range 16 {
		conn, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("a listener without a queue took 16 connections")
	return addr
}

package network

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"

	"rollcall/probe"
)

// Classify says what an error met at stage means. What it already knows (a *Failure, *ExporterError, *DeniedError or
// *TargetError) passes through; the caller's going away stays context.Canceled; a fault of this machine becomes an
// *ExporterError; the rest is about the target, a *Failure. nil stays nil.
func Classify(ctx context.Context, stage probe.Stage, err error) error {
	switch {
	case err == nil:
		return nil
	case probe.IsClassified(err):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err() // the caller went away, and that broke it
	}
	if fault := LocalFault(err); fault != nil {
		return fault
	}
	if alert, ok := RemoteAlert(err); ok {
		return probe.Fail(probe.StageTLS, AlertReason(alert), err) // TLS 1.3 servers refuse us only after the handshake
	}
	if brokenTLS(err) {
		return probe.Fail(stage, probe.ReasonProtocolError, err)
	}
	return probe.Fail(stage, Reason(ctx, err), err)
}

// reasons are what system calls say about the network or the peer.
var reasons = map[syscall.Errno]probe.Reason{
	syscall.ECONNREFUSED: probe.ReasonConnectionRefused,
	syscall.ECONNRESET:   probe.ReasonConnectionReset,
	syscall.ECONNABORTED: probe.ReasonConnectionReset,
	syscall.EPIPE:        probe.ReasonConnectionClosed,
	syscall.EHOSTUNREACH: probe.ReasonHostUnreachable,
	syscall.EHOSTDOWN:    probe.ReasonHostUnreachable,
	syscall.ENETUNREACH:  probe.ReasonNetworkUnreachable,
	syscall.ENETDOWN:     probe.ReasonNetworkUnreachable,
	syscall.EAFNOSUPPORT: probe.ReasonNetworkUnreachable, // a kernel without IPv6
	syscall.ETIMEDOUT:    probe.ReasonTimeout,
}

// Reason names what the network, or the peer's end of it, did.
func Reason(ctx context.Context, err error) probe.Reason {
	if errno, ok := errors.AsType[syscall.Errno](err); ok && reasons[errno] != "" {
		return reasons[errno]
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case ok && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return probe.ReasonTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return probe.ReasonConnectionClosed
	case ctx.Err() != nil:
		return probe.ReasonTimeout // something was closed because the time is up
	default:
		return probe.ReasonNetworkError
	}
}

// LocalFault returns what err says about this machine, nil when it is about something else. Which call failed
// matters: an address that cannot be bound is the configured source address, one that cannot be connected from
// means that no ephemeral port is left.
func LocalFault(err error) *probe.ExporterError {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return nil
	}
	call := ""
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		call = sys.Syscall
	}
	var fault probe.Fault
	switch {
	case errno == syscall.EMFILE, errno == syscall.ENFILE:
		fault = probe.FaultDescriptors
	case errno == syscall.ENOBUFS, errno == syscall.ENOMEM:
		fault = probe.FaultMemory
	case errno == syscall.EADDRNOTAVAIL && call == "bind":
		fault = probe.FaultSourceAddress
		err = fmt.Errorf("the source address of the module (source_ip_address) is no address of this machine now: %w", err)
	case errno == syscall.EADDRNOTAVAIL, errno == syscall.EADDRINUSE, errno == syscall.EAGAIN && call == "connect":
		fault = probe.FaultPorts
	case errno == syscall.EPERM, errno == syscall.EACCES:
		fault = probe.FaultPermission
	default:
		return nil
	}
	return &probe.ExporterError{Fault: fault, Err: err}
}

// brokenTLS reports whether err is what crypto/tls does not accept of a connection after its handshake: records that are
// no TLS, were changed, or come without end and hold nothing.
func brokenTLS(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "local error" || probe.Is[tls.RecordHeaderError](err) {
		return true
	}
	for next := err; next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return strings.HasPrefix(err.Error(), "tls: ") // the others have no type
}

// RemoteAlert returns the TLS alert that the peer sent. Outside QUIC crypto/tls keeps the alert's type to itself,
// inside a net.OpError; its kind is as much as can be asked for.
func RemoteAlert(err error) (tls.AlertError, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return tls.AlertError(v.Uint()), true
}

// AlertReason names what the peer's alert means (RFC 8446, section 6.2).
func AlertReason(alert tls.AlertError) probe.Reason {
	switch alert {
	case 70, 86: // protocol_version, inappropriate_fallback
		return probe.ReasonTLSVersion
	case 41, 42, 43, 44, 45, 46, 48, 116: // about our certificate: none, bad, unsupported … unknown CA, required
		return probe.ReasonClientCertificate
	default:
		return probe.ReasonTLSHandshake
	}
}

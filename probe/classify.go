package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"syscall"
)

// classify says what an error met at stage means. What it already knows (a *Failure, *ExporterError, *DeniedError or
// *TargetError) passes through; the asker's going away stays context.Canceled; a fault of this machine becomes an
// *ExporterError; the rest is about the target, a *Failure. nil stays nil.
func classify(ctx context.Context, stage Stage, err error) error {
	switch {
	case err == nil:
		return nil
	case isClassified(err):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err() // whatever broke, it broke because nobody waits any longer
	}
	if fault := LocalFault(err); fault != nil {
		return fault
	}
	if alert, ok := remoteAlert(err); ok {
		return fail(StageTLS, alertReason(alert), err) // TLS 1.3 servers refuse us only after the handshake
	}
	return fail(stage, networkReason(ctx, err), err)
}

// isClassified reports whether err is one of the four errors that a prober may return.
func isClassified(err error) bool {
	return is[*Failure](err) || is[*ExporterError](err) || is[*DeniedError](err) || is[*TargetError](err)
}

// is reports whether an E is in err's tree.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isFailure reports whether err is a *Failure with one of the reasons.
func isFailure(err error, reasons ...Reason) bool {
	failure, ok := errors.AsType[*Failure](err)
	return ok && slices.Contains(reasons, failure.Reason)
}

// networkReason names what the network, or the peer's end of it, did.
func networkReason(ctx context.Context, err error) Reason {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		switch errno {
		case syscall.ECONNREFUSED:
			return ReasonConnectionRefused
		case syscall.ECONNRESET, syscall.ECONNABORTED:
			return ReasonConnectionReset
		case syscall.EPIPE:
			return ReasonConnectionClosed
		case syscall.EHOSTUNREACH, syscall.EHOSTDOWN:
			return ReasonHostUnreachable
		case syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EAFNOSUPPORT:
			return ReasonNetworkUnreachable // EAFNOSUPPORT: a kernel without IPv6
		case syscall.ETIMEDOUT:
			return ReasonTimeout
		}
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case ok && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ReasonConnectionClosed
	case ctx.Err() != nil:
		return ReasonTimeout // something was closed because the time is up
	default:
		return ReasonNetworkError
	}
}

// LocalFault returns what err says about this machine, nil when it is about something else. Which call failed
// matters: an address that cannot be bound is the configured source address, one that cannot be connected from
// means that no ephemeral port is left.
func LocalFault(err error) *ExporterError {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return nil
	}
	call := ""
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		call = sys.Syscall
	}
	switch errno {
	case syscall.EMFILE, syscall.ENFILE:
		return &ExporterError{FaultDescriptors, err}
	case syscall.ENOBUFS, syscall.ENOMEM:
		return &ExporterError{FaultMemory, err}
	case syscall.EADDRNOTAVAIL:
		if call == "bind" {
			return &ExporterError{FaultSourceAddress, err}
		}
		return &ExporterError{FaultPorts, err}
	case syscall.EADDRINUSE:
		return &ExporterError{FaultPorts, err}
	case syscall.EAGAIN:
		if call == "connect" {
			return &ExporterError{FaultPorts, err}
		}
	case syscall.EPERM, syscall.EACCES:
		return &ExporterError{FaultPermission, err}
	}
	return nil
}

// remoteAlert returns the TLS alert that the peer sent. Outside QUIC crypto/tls keeps the alert's type to itself,
// inside a net.OpError; its kind is as much as can be asked for.
func remoteAlert(err error) (tls.AlertError, bool) {
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

// alertReason names what the peer's alert means (RFC 8446, section 6.2).
func alertReason(alert tls.AlertError) Reason {
	switch alert {
	case 70, 86: // protocol_version, inappropriate_fallback
		return ReasonTLSVersion
	case 41, 42, 43, 44, 45, 46, 48, 116: // about our certificate: none, bad, unsupported … unknown CA, required
		return ReasonClientCertificate
	default:
		return ReasonTLSHandshake
	}
}

// settle ends a probe with err: a failure of the target belongs to the Result, any other error beside it.
func (r *Result) settle(err error) (Result, error) {
	if err == nil {
		return *r, nil
	}
	if failure, ok := errors.AsType[*Failure](err); ok {
		r.Failure = failure
		return *r, nil
	}
	return Result{}, err
}

package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// operation is err as package net returns it from a system call.
func operation(call string, err error) error {
	return fmt.Errorf("doing: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, err)})
}

func TestClassifyTellsTheTargetsFailures(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		reason Reason
	}{
		"refused":               {operation("connect", syscall.ECONNREFUSED), ReasonConnectionRefused},
		"reset":                 {operation("read", syscall.ECONNRESET), ReasonConnectionReset},
		"aborted":               {operation("accept", syscall.ECONNABORTED), ReasonConnectionReset},
		"closed while writing":  {operation("write", syscall.EPIPE), ReasonConnectionClosed},
		"no route to the host":  {operation("connect", syscall.EHOSTUNREACH), ReasonHostUnreachable},
		"no route to the net":   {operation("connect", syscall.ENETUNREACH), ReasonNetworkUnreachable},
		"no IPv6 in the kernel": {operation("socket", syscall.EAFNOSUPPORT), ReasonNetworkUnreachable},
		"the kernel gave up":    {operation("connect", syscall.ETIMEDOUT), ReasonTimeout},
		"the deadline":          {os.ErrDeadlineExceeded, ReasonTimeout},
		"the context's":         {context.DeadlineExceeded, ReasonTimeout},
		"end of stream":         {io.EOF, ReasonConnectionClosed},
		"end within a record":   {io.ErrUnexpectedEOF, ReasonConnectionClosed},
		"something else":        {errors.New("something else"), ReasonNetworkError},
		"an unknown errno":      {operation("connect", syscall.EINVAL), ReasonNetworkError},
	} {
		t.Run(name, func(t *testing.T) {
			err := classify(t.Context(), StageConnect, c.err)
			wantFailure(t, err, StageConnect, c.reason)
			if !errors.Is(err, c.err) {
				t.Errorf("%v does not tell its cause", err)
			}
		})
	}
}

func TestClassifyTellsOurOwnFaults(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		fault Fault
	}{
		"EMFILE":                {operation("socket", syscall.EMFILE), FaultDescriptors},
		"ENFILE":                {operation("socket", syscall.ENFILE), FaultDescriptors},
		"ENOBUFS":               {operation("write", syscall.ENOBUFS), FaultMemory},
		"ENOMEM":                {operation("socket", syscall.ENOMEM), FaultMemory},
		"no port to connect by": {operation("connect", syscall.EADDRNOTAVAIL), FaultPorts},
		"no port of a source":   {operation("bind", syscall.EADDRINUSE), FaultPorts},
		"EAGAIN of connect":     {operation("connect", syscall.EAGAIN), FaultPorts},
		"not our source":        {operation("bind", syscall.EADDRNOTAVAIL), FaultSourceAddress},
		"EPERM":                 {operation("connect", syscall.EPERM), FaultPermission},
		"EACCES":                {operation("connect", syscall.EACCES), FaultPermission},
	} {
		t.Run(name, func(t *testing.T) { wantFault(t, classify(t.Context(), StageConnect, c.err), c.fault) })
	}
}

func TestClassifyLetsPassWhatIsKnown(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{
		nil,
		fail(StageBody, ReasonBodyTooLarge, io.EOF),
		&ExporterError{FaultFile, io.EOF},
		&DeniedError{io.EOF},
		&TargetError{io.EOF},
		fmt.Errorf("wrapped: %w", fail(StageTLS, ReasonTimeout, io.EOF)),
	} {
		if got := classify(canceled, StageConnect, err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := classify(canceled, StageConnect, operation("connect", syscall.EMFILE)); got != context.Canceled {
		t.Errorf("the asker went away: got %v", got)
	}
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	wantFailure(t, classify(over, StageBody, net.ErrClosed), StageBody, ReasonTimeout)
}

func TestClassifyTakesAlertsForTLSWhereverTheyCome(t *testing.T) {
	for alert, reason := range map[tls.AlertError]Reason{
		116: ReasonClientCertificate, 42: ReasonClientCertificate, 48: ReasonClientCertificate,
		70: ReasonTLSVersion, 40: ReasonTLSHandshake, 80: ReasonTLSHandshake,
	} {
		err := &net.OpError{Op: "remote error", Err: alert}
		wantFailure(t, classify(t.Context(), StageResponse, err), StageTLS, reason)
	}
}

func TestSettlePutsFailuresIntoTheResult(t *testing.T) {
	r := &Result{TCP: new(TCPFacts)}
	got, err := r.settle(fmt.Errorf("wrapped: %w", fail(StageTLS, ReasonTimeout, io.EOF)))
	if err != nil || got.Failure == nil || got.TCP == nil {
		t.Errorf("a failure: got %+v, %v", got, err)
	}
	got, err = new(Result).settle(&ExporterError{FaultMemory, io.EOF})
	if err == nil || got.Failure != nil {
		t.Errorf("a fault: got %+v, %v", got, err)
	}
}

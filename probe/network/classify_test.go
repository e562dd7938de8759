package network

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

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// operation is err as package net returns it from a system call.
func operation(call string, err error) error {
	return fmt.Errorf("doing: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, err)})
}

func TestClassifyTellsTheTargetsFailures(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		reason probe.Reason
	}{
		"refused":               {operation("connect", syscall.ECONNREFUSED), probe.ReasonConnectionRefused},
		"reset":                 {operation("read", syscall.ECONNRESET), probe.ReasonConnectionReset},
		"aborted":               {operation("accept", syscall.ECONNABORTED), probe.ReasonConnectionReset},
		"closed while writing":  {operation("write", syscall.EPIPE), probe.ReasonConnectionClosed},
		"no route to the host":  {operation("connect", syscall.EHOSTUNREACH), probe.ReasonHostUnreachable},
		"no route to the net":   {operation("connect", syscall.ENETUNREACH), probe.ReasonNetworkUnreachable},
		"no IPv6 in the kernel": {operation("socket", syscall.EAFNOSUPPORT), probe.ReasonNetworkUnreachable},
		"the kernel gave up":    {operation("connect", syscall.ETIMEDOUT), probe.ReasonTimeout},
		"the deadline":          {os.ErrDeadlineExceeded, probe.ReasonTimeout},
		"the context's":         {context.DeadlineExceeded, probe.ReasonTimeout},
		"end of stream":         {io.EOF, probe.ReasonConnectionClosed},
		"end within a record":   {io.ErrUnexpectedEOF, probe.ReasonConnectionClosed},
		"something else":        {errors.New("something else"), probe.ReasonNetworkError},
		"an unknown errno":      {operation("connect", syscall.EINVAL), probe.ReasonNetworkError},
	} {
		t.Run(name, func(t *testing.T) {
			err := Classify(t.Context(), probe.StageConnect, c.err)
			probetest.WantFailure(t, err, probe.StageConnect, c.reason)
			if !errors.Is(err, c.err) {
				t.Errorf("%v does not tell its cause", err)
			}
		})
	}
}

func TestClassifyTellsOurOwnFaults(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		fault probe.Fault
	}{
		"EMFILE":                {operation("socket", syscall.EMFILE), probe.FaultDescriptors},
		"ENFILE":                {operation("socket", syscall.ENFILE), probe.FaultDescriptors},
		"ENOBUFS":               {operation("write", syscall.ENOBUFS), probe.FaultMemory},
		"ENOMEM":                {operation("socket", syscall.ENOMEM), probe.FaultMemory},
		"no port to connect by": {operation("connect", syscall.EADDRNOTAVAIL), probe.FaultPorts},
		"no port of a source":   {operation("bind", syscall.EADDRINUSE), probe.FaultPorts},
		"EAGAIN of connect":     {operation("connect", syscall.EAGAIN), probe.FaultPorts},
		"not our source":        {operation("bind", syscall.EADDRNOTAVAIL), probe.FaultSourceAddress},
		"EPERM":                 {operation("connect", syscall.EPERM), probe.FaultPermission},
		"EACCES":                {operation("connect", syscall.EACCES), probe.FaultPermission},
	} {
		t.Run(name, func(t *testing.T) {
			probetest.WantExporterError(t, Classify(t.Context(), probe.StageConnect, c.err), c.fault)
		})
	}
}

func TestClassifyLetsPassWhatIsKnown(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{
		nil,
		probe.Fail(probe.StageBody, probe.ReasonBodyTooLarge, io.EOF),
		&probe.ExporterError{Fault: probe.FaultFile, Err: io.EOF},
		&probe.DeniedError{Err: io.EOF},
		&probe.TargetError{Err: io.EOF},
		fmt.Errorf("wrapped: %w", probe.Fail(probe.StageTLS, probe.ReasonTimeout, io.EOF)),
	} {
		if got := Classify(canceled, probe.StageConnect, err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := Classify(canceled, probe.StageConnect, operation("connect", syscall.EMFILE)); got != context.Canceled {
		t.Errorf("the caller went away: got %v", got)
	}
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	probetest.WantFailure(t, Classify(over, probe.StageBody, net.ErrClosed), probe.StageBody, probe.ReasonTimeout)
}

func TestClassifyTakesAlertsForTLSWhereverTheyCome(t *testing.T) {
	for alert, reason := range map[tls.AlertError]probe.Reason{
		116: probe.ReasonClientCertificate, 42: probe.ReasonClientCertificate, 48: probe.ReasonClientCertificate,
		70: probe.ReasonTLSVersion, 40: probe.ReasonTLSHandshake, 80: probe.ReasonTLSHandshake,
	} {
		err := &net.OpError{Op: "remote error", Err: alert}
		probetest.WantFailure(t, Classify(t.Context(), probe.StageResponse, err), probe.StageTLS, reason)
	}
}

func TestSettlePutsFailuresIntoTheResult(t *testing.T) {
	r := &probe.Result{TCP: new(probe.TCPFacts)}
	got, err := r.Settle(fmt.Errorf("wrapped: %w", probe.Fail(probe.StageTLS, probe.ReasonTimeout, io.EOF)))
	if err != nil || got.Failure == nil || got.TCP == nil {
		t.Errorf("a failure: got %+v, %v", got, err)
	}
	got, err = new(probe.Result).Settle(&probe.ExporterError{Fault: probe.FaultMemory, Err: io.EOF})
	if err == nil || got.Failure != nil {
		t.Errorf("a fault: got %+v, %v", got, err)
	}
}

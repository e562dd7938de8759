package network

import (
	"io"
	"net"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func TestHeldConnCountsWhatComesBeyondTheFreeBytes(t *testing.T) {
	memory := probe.NewMemory(1000, 1000)
	limit := probe.NewLimit(t.Context(), time.Minute)
	_ = limit.HoldFrom(memory, 0)
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		for range 4 {
			theirs.Write(make([]byte, 100))
		}
	}()
	c := &HeldConn{Conn: ours, Limit: limit, Free: 200, Cost: 10}
	b := make([]byte, 100)
	for range 3 { // the third takes all there is
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := memory.Take(1); err == nil {
		t.Error("the bytes are not counted")
	}
	_, err := c.Read(b)
	probetest.WantExporterError(t, err, probe.FaultMemory)
	limit.Release()
	if err := memory.Take(1000); err != nil {
		t.Errorf("after the probe: %v", err)
	}
}

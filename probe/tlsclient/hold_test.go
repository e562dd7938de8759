package tlsclient

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// TestStalledHandshakesShareTheMemory has peers that send most of a long message and stop.
func TestStalledHandshakesShareTheMemory(t *testing.T) {
	client, err := Compile("tls_config", &config.TLSConfig{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	const message = 48 << 10
	memory := probe.NewMemory(10*message, 10*message) // for two at a time
	stall := func() (limit *probe.Limit, result chan error) {
		limit = probe.NewLimit(t.Context(), time.Minute)
		_ = limit.HoldFrom(memory, 0)
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close() })
		sent, result := make(chan struct{}), make(chan error, 1)
		go io.Copy(io.Discard, theirs)
		go func() {
			defer close(sent)
			record := append([]byte{22, 3, 3, 0x40, 0}, make([]byte, 1<<14)...)
			copy(record[5:], []byte{2, 0, 0xff, 0xff}) // a ServerHello of 65,535 bytes, which is buffered whole
			for range message >> 14 {
				theirs.Write(record)
			}
		}()
		go func() {
			_, err := client.Secure(limit, ours, Hello{ServerName: "x"}, nil)
			result <- err
		}()
		<-sent
		return limit, result
	}
	first, _ := stall()
	second, _ := stall()
	third, result := stall()
	probetest.WantExporterError(t, <-result, probe.FaultMemory)
	for _, limit := range []*probe.Limit{first, second, third} {
		limit.Release()
	}
	if err := memory.Take(10 * message); err != nil {
		t.Errorf("after the probes: %v", err)
	}
}

//go:build unix

package dnsprobe

import (
	"testing"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func TestMissingDescriptorsAreAnExporterError(t *testing.T) {
	addr := probetest.ClosedPort(t)
	p := compile(t, newOptions())
	var err error
	probetest.WithoutDescriptors(t, func() { _, err = p.Probe(t.Context(), probe.Request{Target: addr.String()}) })
	probetest.WantExporterError(t, err, probe.FaultDescriptors)
}

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// TestSoakICMP is a short soak of pings, in a separate network namespace.
func TestSoakICMP(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	zoo.Network(t, answerPing)
	t.Setenv("GOMEMLIMIT", fmt.Sprint(soakMemory))
	all := slices.DeleteFunc(pingVisits(), func(v visit) bool {
		return v.name == "icmp_payload_as_large_as_can_be" // with dozens of pings at once one of 64 KiB is lost now and then
	})
	e := startExporter(t, rollcall, modulesFile(nil, all), []string{"--web.enable-pprof"})
	(&soak{e: e, wanted: goldenVerdicts(t, all), wrong: make(map[string]int)}).check(t, all, 5*time.Second)
}

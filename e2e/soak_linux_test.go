package e2e

import (
	"os"
	"slices"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// TestSoak runs for the time in soakEnv, in a separate network namespace, which has hosts to ping.
func TestSoak(t *testing.T) {
	text := os.Getenv(soakEnv)
	if text == "" {
		t.Skipf("%s does not say how long; row 50 of the hostile suite soaks for five seconds", soakEnv)
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", soakEnv, err)
	}
	if !zoo.Apart(t) {
		return
	}
	zoo.Network(t, answerPing)
	runSoak(t, length, slices.DeleteFunc(pingVisits(), func(v visit) bool {
		return v.name == "icmp_payload_as_large_as_can_be" // with dozens of pings at once one of 64 KiB is lost now and then
	}))
}

//go:build unix

package e2e

import (
	"regexp"
	"strings"
	"testing"
)

// TestSampleConfigurationLoads checks the sample as it is, and with its commented part enabled.
func TestSampleConfigurationLoads(t *testing.T) {
	sample := readFile(t, "../deploy/rollcall.yml")
	whole := regexp.MustCompile(`(?m)^# (targets:|alert:|  )`).ReplaceAllString(sample, "$1")
	whole = strings.Replace(whole, "/run/credentials/rollcall.service/smtp-password", writeFile(t, "smtp-password", "secret"), 1)
	if whole == sample || !strings.Contains(whole, "\nalert:\n  email:\n") {
		t.Fatal("the sample has no commented part")
	}
	for name, text := range map[string]string{"unchanged": sample, "with the commented part": whole} {
		if out := run(t, rollcall, "--config.check", "--config.file="+writeFile(t, "rollcall.yml", text)); out != "OK\n" {
			t.Errorf("%s: %s", name, out)
		}
	}
}

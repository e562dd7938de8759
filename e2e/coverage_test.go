//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unmade lists the pairs of stage and reason that loopback cannot produce, and why.
var unmade = map[string]string{
	"connect/host_unreachable":   "every loopback address answers; classify's own test has it",
	"tls/network_error":          "it is what has no name of its own; classify's own test has it",
	"body/network_error":         "as above",
	"conversation/network_error": "as above",
}

var (
	goldenFailure = regexp.MustCompile(`(?m)^probe_failure_info\{reason="(\w+)",stage="(\w+)"\}`)
	reasonRow     = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|.*\\| ([a-z, ]+) \\|$")
)

// TestEveryStageAndReasonIsShown compares the pairs in the reference with those in the golden files and those that cannot be
// produced here.
func TestEveryStageAndReasonIsShown(t *testing.T) {
	possible, takenOver := possiblePairs(t)
	shown := shownPairs(t)
	for pair := range possible {
		_, excused := unmade[pair]
		switch {
		case !shown[pair] && !excused:
			t.Errorf("no golden file has %s", pair)
		case shown[pair] && excused:
			t.Errorf("%s is in unmade, but a golden file has it", pair)
		}
	}
	for pair := range unmade {
		if !possible[pair] {
			t.Errorf("%s is in unmade, but not in the reference", pair)
		}
	}
	for pair := range shown {
		stage, reason, _ := strings.Cut(pair, "/")
		if !possible[pair] && !((stage == "proxy" || stage == "request") && takenOver[reason]) {
			t.Errorf("%s is in a golden file, but not in the reference", pair)
		}
	}
}

// possiblePairs reads the reference's table of reasons. takenOver are the reasons of resolve, connect and tls, which
// connections to a proxy or a token server have as well.
func possiblePairs(t *testing.T) (possible, takenOver map[string]bool) {
	t.Helper()
	text, err := os.ReadFile("../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, reasons, _ := strings.Cut(string(text), "\n## Reasons\n")
	reasons, _, _ = strings.Cut(reasons, "\n## ")
	possible, takenOver = make(map[string]bool), make(map[string]bool)
	for _, row := range reasonRow.FindAllStringSubmatch(reasons, -1) {
		for stage := range strings.SplitSeq(row[2], ", ") {
			possible[stage+"/"+row[1]] = true
			if slices.Contains([]string{"resolve", "connect", "tls"}, stage) {
				takenOver[row[1]] = true
			}
		}
	}
	if len(possible) < 40 {
		t.Fatalf("the reference has %d pairs of stage and reason: the format of its table has changed", len(possible))
	}
	return possible, takenOver
}

// shownPairs reads the golden files.
func shownPairs(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(goldenFile("*"))
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range goldenFailure.FindAllStringSubmatch(string(text), -1) {
			shown[m[2]+"/"+m[1]] = true
		}
	}
	return shown
}

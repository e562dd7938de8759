//go:build unix

package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestParity runs the same visits with Debian's blackbox_exporter and with rollcall and compares the replies: families,
// types, labels, presence, and every value that is not a measurement. Each difference must be listed in differences, and
// each listed one must occur.
func TestParity(t *testing.T) {
	p := newPark(t)
	all := slices.DeleteFunc(append(visits(), nameVisits()...), func(v visit) bool { return v.alone != "" })
	config, nameServer := modulesFile(p, all), withNameServer(t)
	theirs, ours := startExporter(t, peer(t), config, nil, nameServer...), startExporter(t, rollcall, config, nil, nameServer...)
	judge := newJudge()
	t.Run("probe", func(t *testing.T) {
		for _, v := range all {
			t.Run(v.name, func(t *testing.T) {
				t.Parallel()
				them, us := replies(t, theirs, ours, v.query(p))
				judge.check(t, v.name, compareProbes(t, them, us))
			})
		}
	})
	t.Run("http", func(t *testing.T) {
		for _, r := range apiRequests {
			t.Run(r.name, func(t *testing.T) {
				them, us := replies(t, theirs, ours, p.fill(r.path), append([]string{r.method}, r.header...)...)
				diffs := compareReplies(them, us)
				if r.path == "/metrics" {
					diffs = append(diffs, compareOwnMetrics(t, them, us)...)
				}
				judge.check(t, r.name, diffs)
			})
		}
	})
	t.Run("command line", func(t *testing.T) { compareCommandLines(t, p, judge) })
	judge.close(t)
}

// replies sends the request to both. more is a method and headers; the default is GET. A dropped connection is a reply with
// status 0.
func replies(t *testing.T, theirs, ours *exporter, path string, more ...string) (them, us answer) {
	t.Helper()
	method := "GET"
	if len(more) > 0 {
		method, more = cmp.Or(more[0], method), more[1:]
	}
	them, err := theirs.do(t.Context(), method, path, more...)
	if err != nil {
		t.Logf("blackbox_exporter: %v", err)
	}
	us, err = ours.do(t.Context(), method, path, more...)
	if err != nil {
		t.Errorf("rollcall: %v", err)
	}
	return them, us
}

// compareProbes returns the differences between two replies of /probe, one line each.
func compareProbes(t *testing.T, them, us answer) []string {
	t.Helper()
	diffs := compareReplies(them, us)
	if them.Status != us.Status {
		return diffs
	}
	theirs, err := parseExposition(them.Body)
	if err != nil {
		t.Fatalf("blackbox_exporter's reply: %v", err)
	}
	ours, err := parseExposition(us.Body)
	if err != nil {
		t.Fatalf("rollcall's reply: %v", err)
	}
	for _, name := range union(theirs, ours).names() {
		a, b := theirs[name], ours[name]
		switch {
		case b == nil:
			diffs = append(diffs, name+" only in blackbox_exporter")
		case a == nil:
			diffs = append(diffs, name+" only in rollcall")
		case a.GetType() != b.GetType():
			diffs = append(diffs, fmt.Sprintf("%s is a %s, rollcall: %s", name, a.GetType(), b.GetType()))
		default:
			if x, y := deterministic(name, series(a)), deterministic(name, series(b)); x != y {
				diffs = append(diffs, fmt.Sprintf("%s %s, rollcall: %s", name, x, y))
			}
		}
	}
	return diffs
}

func union(a, b exposition) exposition {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// compareOwnMetrics compares the names of the exporters' own metrics, without those of the client library.
func compareOwnMetrics(t *testing.T, them, us answer) []string {
	t.Helper()
	theirs, err := parseExposition(them.Body)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := parseExposition(us.Body)
	if err != nil {
		t.Fatal(err)
	}
	var diffs []string
	for _, name := range union(theirs, ours).names() {
		switch {
		case strings.HasPrefix(name, "go_"), strings.HasPrefix(name, "process_"), strings.HasPrefix(name, "promhttp_"), strings.HasPrefix(name, "net_conntrack_"):
		case ours[name] == nil:
			diffs = append(diffs, name+" only in blackbox_exporter")
		case theirs[name] == nil:
			diffs = append(diffs, name+" only in rollcall")
		}
	}
	return diffs
}

// compareReplies compares status, content type and encoding.
func compareReplies(them, us answer) []string {
	var diffs []string
	if them.Status != us.Status {
		diffs = append(diffs, fmt.Sprintf("status %d, rollcall: %d", them.Status, us.Status))
	}
	theirs, ours := them.Header.Get("Content-Type"), us.Header.Get("Content-Type")
	if them.Status == us.Status && theirs != ours {
		diffs = append(diffs, fmt.Sprintf("content type %q, rollcall: %q", theirs, ours))
	}
	if a, b := them.Header.Get("Content-Encoding"), us.Header.Get("Content-Encoding"); a != b {
		diffs = append(diffs, fmt.Sprintf("content encoding %q, rollcall: %q", a, b))
	}
	return diffs
}

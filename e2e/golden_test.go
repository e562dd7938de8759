//go:build unix

package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/collector"
	"rollcall/config"
	"rollcall/probe"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// TestGolden runs every visit and compares the complete reply with testdata/golden/<name>.prom.
func TestGolden(t *testing.T) {
	p := newPark(t)
	all := visits()
	loaded, err := config.Parse("golden.yml", []byte(modulesFile(p, all)))
	if err != nil {
		t.Fatal(err)
	}
	runner, replies := new(probe.Runner), new(collector.Replies)
	for _, v := range all {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			module, err := loaded.Module(v.name)
			if err != nil {
				t.Fatal(err)
			}
			record, err := runner.Do(t.Context(), module, probe.Request{Target: p.fill(v.target), Hostname: v.hostname})
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, v.name, string(replies.AppendText(nil, record)))
		})
	}
	t.Run("every file belongs to a visit", func(t *testing.T) {
		known := make(map[string]bool)
		for _, v := range slices.Concat(all, nameVisits(), pingVisits()) {
			known[goldenFile(v.name)] = true
		}
		files, err := filepath.Glob(goldenFile("*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !known[file] {
				t.Errorf("%s belongs to no visit", file)
			}
		}
	})
}

func goldenFile(name string) string { return filepath.Join("testdata", "golden", name+".prom") }

// compareGolden compares a reply, or with -update writes it.
func compareGolden(t *testing.T, name, reply string) {
	t.Helper()
	got := normalised(reply)
	if *update {
		if err := os.WriteFile(goldenFile(name), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(goldenFile(name))
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the reply is not %s (go test ./e2e -run Golden -update rewrites it); it differs in\n%s", goldenFile(name), lineDiff(string(want), got))
	}
}

// measured matches samples whose value is a measured time.
var measured = regexp.MustCompile(`(?m)^(probe_duration_seconds|probe_dns_lookup_time_seconds|probe_(?:http|icmp|dns|grpc|websocket)_duration_seconds\{[^}]*\}) (.*)$`)

// normalised replaces measured times by 1. A time of exactly 0 means that the phase was not reached and is kept.
func normalised(reply string) string {
	return measured.ReplaceAllStringFunc(reply, func(sample string) string {
		name, value, _ := strings.Cut(sample, " ")
		if value != "0" {
			value = "1"
		}
		return name + " " + value
	})
}

// lineDiff lists the lines that are in only one of two texts.
func lineDiff(want, got string) string {
	var b strings.Builder
	only := func(sign, text, other string) {
		there := make(map[string]bool)
		for line := range strings.Lines(other) {
			there[line] = true
		}
		for line := range strings.Lines(text) {
			if !there[line] {
				b.WriteString(sign + line)
			}
		}
	}
	only("-", want, got)
	only("+", got, want)
	return b.String()
}

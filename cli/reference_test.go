package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/alert"
	"rollcall/alert/incident"
	"rollcall/collector"
	"rollcall/config"
	"rollcall/history/store"
	"rollcall/probe"
)

func reference(t *testing.T) string {
	t.Helper()
	return readFile(t, "../docs/reference.md")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns what stands under a heading, up to the next one of its level or above.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, after, found := strings.Cut(text, "\n"+heading+"\n")
	if !found {
		t.Fatalf("there is no heading %q", heading)
	}
	level := strings.Index(heading, " ")
	next := regexp.MustCompile(`(?m)^#{1,` + strconv.Itoa(level) + `} `).FindStringIndex(after)
	if next != nil {
		after = after[:next[0]]
	}
	return after
}

// rows maps each word in backquotes of the first column of the tables in text to the second column, which loses its
// backquotes.
func rows(text string) map[string]string {
	found := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*)\\|([^|]*)\\|").FindAllStringSubmatch(text, -1) {
		for _, word := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			found[word[1]] = strings.Trim(strings.TrimSpace(row[2]), "`")
		}
	}
	return found
}

func TestReferenceHasEveryFlagWithItsDefault(t *testing.T) {
	text := reference(t)
	app := newProgram(io.Discard, io.Discard).app
	for _, command := range app.Model().FlattenedCommands() {
		if command.Name == "help" {
			continue
		}
		want := map[string]string{}
		for _, flag := range command.Flags {
			want["--"+flag.Name] = strings.Join(flag.Default, " ")
		}
		if diff := cmp.Diff(want, rows(section(t, text, "### rollcall "+command.FullCommand))); diff != "" {
			t.Errorf("flags of %s (-the program +docs/reference.md):\n%s", command.FullCommand, diff)
		}
	}
}

// TestDocsNameOnlyFlagsThatExist looks at flags with a dot in their name, which other programs do not have.
func TestDocsNameOnlyFlagsThatExist(t *testing.T) {
	app := newProgram(io.Discard, io.Discard).app
	known := map[string]bool{}
	for _, command := range app.Model().FlattenedCommands() {
		for _, flag := range command.Flags {
			known[flag.Name] = true
		}
	}
	for _, page := range []string{"README.md", "docs/reference.md", "Dockerfile"} {
		text := readFile(t, "../"+page)
		for _, flag := range regexp.MustCompile(`--([a-z-]+\.[a-z.-]*[a-z])`).FindAllStringSubmatch(text, -1) {
			if !known[flag[1]] {
				t.Errorf("%s names --%s, which is no flag", page, flag[1])
			}
		}
	}
}

func TestReferenceHasEveryStageReasonAndFault(t *testing.T) {
	text := reference(t)
	words := constants(t, "../probe/failure.go")
	for typeName, heading := range map[string]string{"Stage": "## Stages", "Reason": "## Reasons", "Fault": "## Exporter errors"} {
		got := slices.Sorted(maps.Keys(rows(section(t, text, heading))))
		if diff := cmp.Diff(slices.Sorted(slices.Values(words[typeName])), got); diff != "" {
			t.Errorf("%s (-the program +docs/reference.md):\n%s", heading, diff)
		}
	}
}

// constants returns the values of the typed string constants in a file, by type.
func constants(t *testing.T, path string) map[string][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		typeName, ok := spec.Type.(*ast.Ident)
		literal, isLiteral := spec.Values[0].(*ast.BasicLit)
		if !ok || !isLiteral {
			return true
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		values[typeName.Name] = append(values[typeName.Name], value)
		return true
	})
	return values
}

func TestReferenceExamplesLoad(t *testing.T) {
	t.Setenv("STATUS_PASSWORD", "secret")
	t.Setenv("API_TOKEN", "secret")
	examples := regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```\n").FindAllStringSubmatch(reference(t), -1)
	if len(examples) == 0 {
		t.Fatal("docs/reference.md has no YAML example")
	}
	for i, example := range examples {
		if _, err := config.Parse(fmt.Sprintf("example-%d.yml", i+1), []byte(example[1])); err != nil {
			t.Errorf("%v\n%s", err, example[1])
		}
	}
}

func TestReferenceHasEveryMetric(t *testing.T) {
	text := reference(t)
	var replies collector.Replies
	down := &probe.Record{Result: probe.Result{Failure: &probe.Failure{Stage: "connect", Reason: "timeout", Err: io.EOF}}}
	shown := families(string(replies.AppendText(replies.AppendText(nil, everyFact()), down)), "")
	compare(t, "probe's metrics", shown, rows(section(t, text, "## Metrics of a probe")))

	compare(t, "targets' metrics", targetFamilies(t), rows(section(t, text, "## Metrics of targets")))

	exporter := collector.NewExporter(func() int { return 0 })
	exporter.ReportReloads(func() (bool, time.Time) { return true, time.Now() })
	exporter.ReportUnusableModules(func() int { return 1 })
	exporter.ReportAlerts(alert.Stats{Scopes: map[incident.Scope]int{incident.ScopeHere: 1}, Channels: []alert.ChannelStats{{
		Channel: "email", Attempts: map[string]uint64{"sent": 1}, LastSuccess: time.Now(),
	}}}.Each)
	exporter.ReportDiscovery(func(put func(name string, value float64, labels ...string)) {
		put("refused", 0)
		for _, name := range []string{"sources", "failing", "failures", "targets"} {
			put(name, 0, "file")
		}
	})
	exporter.ReportHistory(store.Stats{LastWrite: time.Now(), Oldest: time.Now()}.Each)
	exporter.Observe(everyFact())
	exporter.Observe(down)
	w := httptest.NewRecorder()
	exporter.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	compare(t, "exporter's metrics", families(w.Body.String(), "rollcall_"), rows(section(t, text, "## Metrics of rollcall")))
}

// families returns the names of those in an exposition that begin with prefix.
func families(exposition, prefix string) map[string]bool {
	names := map[string]bool{}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (`+prefix+`\S+)`).FindAllStringSubmatch(exposition, -1) {
		names[name[1]] = true
	}
	return names
}

// targetFamilies is all that /metrics/targets has of an up and a down target.
func targetFamilies(t *testing.T) map[string]bool {
	t.Helper()
	targets := collector.Targets{Maintenance: func(time.Time) func(probe.Key) bool {
		return func(probe.Key) bool { return true }
	}}
	var configured []*probe.Target
	verdicts := map[string]probe.Result{
		"up":   everyFact().Result,
		"down": {Failure: &probe.Failure{Stage: "connect", Reason: "timeout", Err: io.EOF}},
	}
	for name := range verdicts {
		configured = append(configured, &probe.Target{Target: name, Name: name, Interval: time.Minute})
	}
	targets.Apply(configured)
	for name, result := range verdicts {
		result.Start = time.Now()
		targets.Observe(&probe.Record{Target: name, Scheduled: true, Result: result})
	}
	w := httptest.NewRecorder()
	if err := targets.Write(w, ""); err != nil {
		t.Fatal(err)
	}
	return families(w.Body.String(), "")
}

func compare(t *testing.T, what string, want map[string]bool, got map[string]string) {
	t.Helper()
	diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	if diff != "" {
		t.Errorf("%s (-the program +docs/reference.md):\n%s", what, diff)
	}
}

// everyFact is a Record that brings every family of a probe that is up.
func everyFact() *probe.Record {
	return &probe.Record{Result: probe.Result{
		Resolve:   &probe.Resolve{},
		HTTP:      &probe.HTTPFacts{Hops: 1, LastModified: time.Now(), HasCEL: true, Expiring: probe.Validity{NotAfter: time.Now()}},
		TCP:       &probe.TCPFacts{Expects: []probe.ExpectLabels{{{Name: "a", Value: "b"}}}},
		ICMP:      &probe.ICMPFacts{HopLimit: 64},
		DNS:       &probe.DNSFacts{HasSerial: true},
		GRPC:      &probe.GRPCFacts{Tried: true, Serving: "SERVING"},
		WebSocket: &probe.WebSocketFacts{Tried: true},
		TLS:       &probe.TLSFacts{Version: 0x304, CipherSuite: 0x1301, EarliestExpiry: time.Now(), EarliestStart: time.Now(), ClientExpiry: time.Now(), ChainExpiry: time.Now()},
	}}
}

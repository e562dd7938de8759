package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"rollcall/probe/option"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func step(set func(*RelabelConfig)) RelabelConfig {
	var c RelabelConfig
	c.SetDefaults()
	set(&c)
	return c
}

// blackboxSteps are those of every job for blackbox_exporter.
func blackboxSteps() []RelabelConfig {
	return []RelabelConfig{
		step(func(c *RelabelConfig) {
			c.SourceLabels, c.TargetLabel = []string{"__address__"}, "__param_target"
		}),
		step(func(c *RelabelConfig) { c.SourceLabels, c.TargetLabel = []string{"__param_target"}, "instance" }),
		step(func(c *RelabelConfig) { c.TargetLabel, c.Replacement = "__address__", "127.0.0.1:9115" }),
	}
}

func none(Source) []Group { return nil }

func TestBlackboxJobMeansTheSame(t *testing.T) {
	o := Options{
		JobName: "blackbox", MetricsPath: "/probe", Params: map[string][]string{"module": {"http_2xx", "ignored"}},
		ScrapeInterval: option.Duration(30 * time.Second), ScrapeTimeout: option.Duration(10 * time.Second),
		StaticConfigs: []StaticConfig{{Targets: []string{"https://www.example.com/", "https://shop.example.com/"}, Labels: map[string]string{"team": "web"}}},
	}
	o.RelabelConfigs = append(blackboxSteps(),
		step(func(c *RelabelConfig) {
			c.SourceLabels, c.Regex, c.TargetLabel, c.Replacement = []string{"instance"}, "https://shop.*", "instance", "Shop"
		}),
		step(func(c *RelabelConfig) {
			c.SourceLabels, c.Regex, c.TargetLabel, c.Replacement = []string{"instance"}, "Shop", "__scrape_interval__", "1m"
		}),
		step(func(c *RelabelConfig) {
			c.SourceLabels, c.Regex, c.TargetLabel, c.Replacement = []string{"instance"}, "Shop", "__param_hostname", "shop"
		}))
	found, err := o.Targets(none)
	if err != nil {
		t.Fatal(err)
	}
	want := []Found{
		{Target: "https://www.example.com/", Module: "http_2xx", Job: "blackbox", Interval: 30 * time.Second, Timeout: 10 * time.Second, Labels: labels.FromMap(map[string]string{"team": "web"})},
		{
			Target: "https://shop.example.com/", Module: "http_2xx", Hostname: "shop", Name: "Shop", Job: "blackbox", Interval: time.Minute, Timeout: 10 * time.Second,
			Labels: labels.FromMap(map[string]string{"team": "web", "instance": "Shop"}),
		},
	}
	if diff := cmp.Diff(want, found, cmp.Comparer(labels.Equal)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeATarget(t *testing.T) {
	for label, c := range map[string]struct{ value, want string }{
		"__scrape_interval__": {"soon", "__scrape_interval__"}, "__scrape_timeout__": {"0s", "it is 0"},
		"__address__": {"", "neither __param_target nor __address__"}, "x": {"\xff", "no valid text"},
	} {
		o := Options{StaticConfigs: []StaticConfig{{Targets: []string{"a:1"}, Labels: map[string]string{"__scrape_interval__": "5s"}}}}
		o.RelabelConfigs = []RelabelConfig{step(func(r *RelabelConfig) { r.TargetLabel, r.Replacement = label, c.value })}
		found, err := o.Targets(none)
		if err != nil || len(found) != 1 || found[0].Err == nil || !strings.Contains(found[0].Err.Error(), c.want) {
			t.Errorf("%s: %v, %v", label, found, err)
		}
	}
}

func TestOptionsAreJudged(t *testing.T) {
	relabels := func(set func(*RelabelConfig)) error { c := step(set); return c.Validate() }
	for want, err := range map[string]error{
		"has no targets for job_name, scheme":    (&Options{JobName: "x", Scheme: "http"}).Validate(),
		"longer than scrape_interval":            (&Options{StaticConfigs: []StaticConfig{}, ScrapeInterval: 1, ScrapeTimeout: 2}).Validate(),
		"at least one path name":                 (&FileSDConfig{}).Validate(),
		"not valid for file discovery":           (&FileSDConfig{Files: []string{"x.txt"}}).Validate(),
		"URL is missing":                         (&HTTPSDConfig{}).Validate(),
		"scheme must be":                         (&HTTPSDConfig{URL: "ftp://x"}).Validate(),
		"at least one SRV":                       (&DNSSDConfig{}).Validate(),
		"a port is required":                     (&DNSSDConfig{Names: []string{"x"}, Type: "A"}).Validate(),
		"regex: error parsing":                   relabels(func(c *RelabelConfig) { c.Regex = "(" }),
		"action: \"rename\" is unknown":          relabels(func(c *RelabelConfig) { c.Action = "rename" }),
		"requires 'target_label'":                relabels(func(*RelabelConfig) {}),
		"requires non-zero modulus":              relabels(func(c *RelabelConfig) { c.Action, c.TargetLabel = "hashmod", "x" }),
		"labels.: \"\" cannot be a label's name": (&StaticConfig{Labels: map[string]string{"": "x"}}).Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, err := range []error{
		new(Options).Validate(), relabels(func(c *RelabelConfig) { c.Action, c.Regex = "LabelDrop", "x" }),
		relabels(func(c *RelabelConfig) { c.Action, c.SourceLabels, c.TargetLabel = "keepequal", []string{"a"}, "b" }),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

// log is a buffer for several goroutines.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// manage runs sources; next waits for the next change.
func manage(t *testing.T, sources ...Source) (m *Manager, said *log, next func()) {
	t.Helper()
	changed, said := make(chan struct{}, 100), new(log)
	m = &Manager{Logger: slog.New(slog.NewTextHandler(said, nil)), Changed: func() { changed <- struct{}{} }}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		m.Close()
	})
	if err := m.Apply(ctx, sources); err != nil {
		t.Fatal(err)
	}
	return m, said, func() {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatalf("nothing changed within 30 s:\n%s", said)
		}
	}
}

func addresses(groups []Group) (all []string) {
	for _, g := range groups {
		for _, target := range g.Targets {
			all = append(all, target.Get(model.AddressLabel))
		}
	}
	return all
}

// until waits for something that a goroutine does soon.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("30 s passed before %s", what)
}

func TestBrokenFileKeepsItsTargets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{"targets": ["a:1", "b:1"], "labels": {"team": "x"}}]`)
	o := Options{FileSDConfigs: []FileSDConfig{{Files: []string{path}, RefreshInterval: option.Duration(50 * time.Millisecond)}}}
	m, said, next := manage(t, o.Sources()...)
	next()
	found, err := o.Targets(m.Found)
	if err != nil || len(found) != 2 || found[0].Target != "a:1" || found[0].Labels.Get("team") != "x" {
		t.Fatalf("%v, %v", found, err)
	}
	write(`[{"targets": [`)
	until(t, "the broken file was noticed three times", func() bool { return m.Stats()["file"].Failures >= 3 })
	if got := addresses(m.Found(o.Sources()[0])); len(got) != 2 || m.Stats()["file"].Failing != 1 {
		t.Errorf("of a broken file: %q, %+v", got, m.Stats())
	}
	if n := strings.Count(said.String(), "a source of targets fails"); n != 1 {
		t.Errorf("the failure is logged %d times:\n%s", n, said)
	}
	write(`[{"targets": ["c:1"]}]`)
	next()
	if got := addresses(m.Found(o.Sources()[0])); len(got) != 1 || got[0] != "c:1" {
		t.Errorf("of the mended file: %q", got)
	}
	until(t, "the source was called working", func() bool { return m.Stats()["file"].Failing == 0 })
}

// TestServerThatHangsDelaysNothing: beside a source that never answers, another is found, replaced and closed.
func TestServerThatHangsDelaysNothing(t *testing.T) {
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	var answer atomic.Pointer[[]string]
	answer.Store(&[]string{"a:1"})
	works := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		targets := answer.Load()
		if targets == nil {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode([]map[string]any{{"targets": *targets}})
	}))
	defer works.Close()
	defer hangs.Close()
	defer close(release)
	source := func(url string, interval time.Duration) HTTPSDConfig {
		var c HTTPSDConfig
		c.SetDefaults()
		c.URL, c.RefreshInterval, c.HTTPClientConfig.FollowRedirects = url, option.Duration(interval), true
		c.HTTPClientConfig.EnableHTTP2 = false
		return c
	}
	o := Options{HTTPSDConfigs: []HTTPSDConfig{source(hangs.URL, time.Minute), source(works.URL, 50*time.Millisecond)}}
	m, said, next := manage(t, o.Sources()...)
	next()
	if got := addresses(m.Found(o.Sources()[1])); len(got) != 1 {
		t.Fatalf("%q", got)
	}
	answer.Store(nil)
	until(t, "the server failed three times", func() bool { return m.Stats()["http"].Failures >= 3 })
	if got := addresses(m.Found(o.Sources()[1])); len(got) != 1 || strings.Count(said.String(), "source of targets fails") != 1 {
		t.Errorf("of a broken server: %q\n%s", got, said)
	}
	if s := m.Stats()["http"]; s.Pending != 1 || s.Sources != 2 || s.Targets != 1 {
		t.Errorf("%+v", s)
	}
	answer.Store(&[]string{"a:1", "b:1"})
	next()
	before := m.Stats()["http"].Failures
	if err := m.Apply(t.Context(), o.Sources()[:1]); err != nil {
		t.Fatal(err)
	}
	if s := m.Stats()["http"]; s.Sources != 1 || s.Failures < before {
		t.Errorf("after a source left: %+v, %d failures before", s, before)
	}
}

// TestEmptyListIsBelievedLater: a list that is suddenly empty is most often a mistake on its way.
func TestEmptyListIsBelievedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{Source: Source{(&FileSDConfig{}).library()}, logger: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		updates, done := make(chan []*targetgroup.Group), make(chan struct{})
		go func() {
			defer close(done)
			s.collect(ctx, updates, func() {})
		}()
		full := []*targetgroup.Group{{Source: "x", Targets: []model.LabelSet{{model.AddressLabel: "a:1"}}}}
		empty := []*targetgroup.Group{{Source: "x"}}
		at := func(wait time.Duration, want int) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			if got := len(addresses(s.last())); got != want {
				t.Errorf("there are %d targets, want %d", got, want)
			}
		}
		updates <- full
		at(time.Second, 1)
		updates <- empty
		at(emptyFor-time.Second, 1)
		updates <- full // it was a mistake
		at(2*time.Second, 1)
		updates <- empty
		at(time.Minute, 1)
		updates <- empty // the time goes on
		at(emptyFor-time.Minute, 0)
		cancel()
		<-done
	})
}

// TestSourceThatBeginsEmptyIsBelievedLater: before a restart it may have had targets.
func TestSourceThatBeginsEmptyIsBelievedLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "*.json")
	for name, c := range map[string]struct {
		config discovery.Config
		update []*targetgroup.Group
	}{
		"no file matches":            {(&FileSDConfig{Files: []string{path}}).library(), nil},
		"a server has an empty list": {(&HTTPSDConfig{URL: "http://u:secret@127.0.0.1/targets"}).library(), []*targetgroup.Group{{Source: "x"}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			said := new(log)
			s := &source{Source: Source{c.config}, logger: slog.New(slog.NewJSONHandler(said, nil))}
			ctx, cancel := context.WithCancel(t.Context())
			updates, done := make(chan []*targetgroup.Group), make(chan struct{})
			changes := 0
			go func() {
				defer close(done)
				s.collect(ctx, updates, func() { changes++ })
			}()
			if c.update != nil {
				synctest.Wait()
				if s.heard {
					t.Errorf("%s: there was an answer before there was one", name)
				}
				updates <- c.update
			}
			synctest.Wait()
			if !s.heard || s.answered() || changes != 1 {
				t.Errorf("%s: at first heard %t, believed %t, %d changes", name, s.heard, s.answered(), changes)
			}
			time.Sleep(emptyFor - time.Second)
			if s.answered() {
				t.Errorf("%s: believed early", name)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if !s.answered() || changes != 2 {
				t.Errorf("%s: after %s believed %t, %d changes", name, emptyFor, s.answered(), changes)
			}
			if text := said.String(); strings.Count(text, "has none") != 1 || !strings.Contains(text, `"from":"`+s.String()) || strings.Contains(text, "secret") {
				t.Errorf("%s: %s", name, text)
			}
			cancel()
			<-done
		})
	}
}

func TestEqualSourcesAreOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.yml")
	if err := os.WriteFile(path, []byte("- targets: [a:1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	options := func() Options {
		return Options{FileSDConfigs: []FileSDConfig{{Files: []string{path}, RefreshInterval: option.Duration(time.Hour)}}}
	}
	a, b := options(), options()
	m, _, next := manage(t, append(a.Sources(), b.Sources()...)...)
	next()
	if m.Stats()["file"].Sources != 1 {
		t.Errorf("%+v", m.Stats())
	}
	c := options()
	if err := m.Apply(t.Context(), c.Sources()); err != nil || len(m.Found(b.Sources()[0])) != 1 {
		t.Errorf("after a reload: %v, %v", err, m.Found(b.Sources()[0]))
	}
}

// TestLongLabelIsCut: package labels panics over one.
func TestLongLabelIsCut(t *testing.T) {
	g := NewGroup(&targetgroup.Group{Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(strings.Repeat("a", 17<<20))}}})
	if n := len(g.Targets[0].Get(model.AddressLabel)); n != maxLabel {
		t.Errorf("%d bytes are kept, want %d", n, maxLabel)
	}
}

// FuzzGroups: whatever a source says, relabelling makes targets of it or says why not.
func FuzzGroups(f *testing.F) {
	f.Add(`[{"targets": ["a:1"], "labels": {"__scrape_interval__": "5s", "é": "x"}}]`, "(.*)", "$1")
	f.Add(`[{"targets": [""], "labels": {"": "\xff", "__param_target": "x"}}]`, "(a)(b)?", "${2}")
	f.Fuzz(func(t *testing.T, text, regex, replacement string) {
		var groups []*targetgroup.Group
		if json.Unmarshal([]byte(text), &groups) != nil {
			return
		}
		var kept []Group
		for _, g := range groups {
			if g == nil {
				return
			}
			kept = append(kept, NewGroup(g))
		}
		c := step(func(c *RelabelConfig) {
			c.SourceLabels, c.Regex, c.Replacement, c.TargetLabel = []string{"__address__"}, regex, replacement, "${1}"
		})
		if c.Validate() != nil {
			return
		}
		o := Options{FileSDConfigs: []FileSDConfig{{Files: []string{"x.json"}}}, RelabelConfigs: append(blackboxSteps(), c)}
		found, err := o.Targets(func(Source) []Group { return kept })
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Err == nil && f.Target == "" {
				t.Errorf("a target without a name: %+v", f)
			}
			f.Labels.Range(func(l labels.Label) {
				if strings.HasPrefix(l.Name, "__") {
					t.Errorf("the label %q is left", l.Name)
				}
			})
		}
	})
}

func BenchmarkRelabel10000(b *testing.B) {
	o := Options{RelabelConfigs: blackboxSteps(), StaticConfigs: []StaticConfig{{Labels: map[string]string{"team": "web"}}}}
	for i := range 10_000 {
		o.StaticConfigs[0].Targets = append(o.StaticConfigs[0].Targets, fmt.Sprintf("https://host-%d.example.com/", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		if found, err := o.Targets(none); err != nil || len(found) != 10_000 {
			b.Fatal(len(found), err)
		}
	}
}

// TestListThatIsTheSameIsKept: the targets have strings of the list that was found first, so a copy would double their memory.
func TestListThatIsTheSameIsKept(t *testing.T) {
	s := &source{logger: slog.New(slog.DiscardHandler)}
	updates, changes := make(chan []*targetgroup.Group), make(chan bool)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.collect(ctx, updates, func() { changes <- true }) })
	defer running.Wait()
	defer cancel()
	send := func(source, address string) {
		updates <- []*targetgroup.Group{{Source: source, Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(address)}}}}
	}
	send("a", "a:1")
	<-changes
	first := &s.last()[0].Targets[0]
	send("a", "a:1")
	send("b", "b:1")
	<-changes
	if again := &s.last()[0].Targets[0]; again != first {
		t.Error("a list that was found again takes the place of the same one")
	}
	send("a", "c:1")
	<-changes
	if got := addresses(s.last()); !slices.Equal(got, []string{"c:1", "b:1"}) {
		t.Errorf("after a change: %q", got)
	}
}

// TestMergedGroupsAreTheLastOfEachSource compares a list after many updates with a map of what each source said last.
func TestMergedGroupsAreTheLastOfEachSource(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]Group{}
	var got []Group
	for range 500 {
		var update []*targetgroup.Group
		for range rng.IntN(10) {
			g := &targetgroup.Group{Source: fmt.Sprintf("file:%d", rng.IntN(30)), Labels: model.LabelSet{"l": model.LabelValue(fmt.Sprint(rng.IntN(3)))}}
			if rng.IntN(3) > 0 {
				g.Targets = []model.LabelSet{{model.AddressLabel: model.LabelValue(fmt.Sprint(rng.IntN(3)))}}
			}
			update = append(update, g)
			if want[g.Source] = NewGroup(g); g.Targets == nil {
				delete(want, g.Source)
			}
		}
		before := slices.Clone(got)
		next := merged(got, update)
		if !slices.EqualFunc(got, before, Group.equal) {
			t.Fatal("the list of before was changed")
		}
		got = next
		if len(got) != len(want) || !slices.IsSortedFunc(got, Group.compare) {
			t.Fatalf("%d groups, want %d: %v", len(got), len(want), got)
		}
		for _, g := range got {
			if !g.equal(want[g.source]) {
				t.Fatalf("%s is %v, want %v", g.source, g, want[g.source])
			}
		}
	}
}

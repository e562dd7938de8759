package collector

import (
	"maps"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"rollcall/probe"
)

// Targets keeps the last verdict of each configured target for /metrics/targets: not the Record but the numbers
// that it shows, since there may be a hundred thousand. It is an observer of the Runner. The zero value
// is ready, and many goroutines may use it at once.
type Targets struct {
	// Maintenance returns what reports whether a target is under maintenance at a time; nil: none is. The field is set
	// before the first reply, or nil.
	Maintenance func(time.Time) func(probe.Key) bool

	formats  formats
	builders sync.Pool // of *builder

	mu      sync.Mutex
	targets []target   // by module and target; replaced by Apply and never changed
	last    []*verdict // of the target at the same place; nil: none yet
	tallies []*tally   // of the target at the same place; never nil
	view    *view      // what replies are being written from; nil: there are none
}

// target is a configured target with what is the same in each of its series. Its name is without passwords, also to
// keep the order of a reply from telling of them; the configuration has no two that differ in nothing else.
type target struct {
	*probe.Target
	labels  string // as the text formats write them, without the closing brace
	special bool   // a name among them depends on the format
}

// verdict is what is kept of a Record. It never changes, so that replies share it.
type verdict struct {
	at     int64     // when the probe ended, in Unix nanoseconds: the monotonic clock stands still while a machine sleeps
	has    uint32    // which of shownSeries there are, a bit for each
	values []float64 // of those alone
	words  unique.Handle[words]
}

// maxShown is how many of shownSeries there may be: the bits of has.
const maxShown = 32

// words are what a verdict says in words. There are few different ones, which all verdicts share.
type words struct {
	stage, reason string // empty: up
	tlsVersion    string
}

// value is that of one of shownSeries.
func (v *verdict) value(series int) (value float64, ok bool) {
	if v.has&(1<<series) == 0 {
		return 0, false
	}
	return v.values[bits.OnesCount32(v.has&(1<<series-1))], true
}

// Apply replaces the configured targets. One that was there before keeps its verdict.
func (t *Targets) Apply(configured []*probe.Target) {
	targets := make([]target, len(configured))
	for i, c := range configured {
		t := target{Target: c.Redacted()}
		c.Labels.Range(func(l labels.Label) {
			t.special = t.special || !model.LegacyValidation.IsValidLabelName(l.Name)
		})
		t.labels = t.writeLabels(model.UnderscoreEscaping)
		targets[i] = t
	}
	slices.SortFunc(targets, func(a, b target) int { return a.Key().Compare(b.Key()) })
	last, tallies := make([]*verdict, len(targets)), make([]*tally, len(targets))
	fresh := &tally{start: time.Now().UnixNano(), schema: finestSchema}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, present := range targets {
		if old, ok := t.find(present.Key()); ok {
			last[i], tallies[i] = t.last[old], t.tallies[old]
		} else {
			tallies[i] = fresh
		}
	}
	t.targets, t.last, t.tallies, t.view = targets, last, tallies, nil
}

// allLabels returns the labels of a series, sorted, with names as the format's scheme escapes them: those of the target,
// and extra ones. Of two that the scheme makes the same, the first counts. A label without a value is none, as in
// Prometheus.
func (t *target) allLabels(scheme model.EscapingScheme, extra ...probe.Label) []probe.Label {
	all := make(map[string]string, 5+t.Labels.Len())
	t.Labels.Range(func(l labels.Label) {
		if escaped := model.EscapeName(l.Name, scheme); all[escaped] == "" {
			all[escaped] = strings.ToValidUTF8(l.Value, "\uFFFD")
		}
	})
	all["module"], all["target"], all["hostname"] = t.Module, t.Target.Target, t.Hostname
	for _, label := range extra {
		all[label.Name] = label.Value
	}
	sorted := make([]probe.Label, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != "" {
			sorted = append(sorted, probe.Label{Name: name, Value: all[name]})
		}
	}
	return sorted
}

// beginLabels is the target's labels as the text formats write them, without the closing brace.
func (t *target) beginLabels(scheme model.EscapingScheme) string {
	if scheme == model.UnderscoreEscaping || !t.special && (scheme != model.DotsEscaping || t.Labels.IsEmpty()) {
		return t.labels
	}
	return t.writeLabels(scheme)
}

func (t *target) writeLabels(scheme model.EscapingScheme) string {
	buf := []byte{'{'}
	for i, label := range t.allLabels(scheme) {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendLabel(buf, quotedName(label.Name), label.Value)
	}
	return string(buf)
}

// quotedName is the name of a label as the text formats write it.
func quotedName(name string) string {
	if model.LegacyValidation.IsValidLabelName(name) {
		return name
	}
	return string(append(appendEscaped([]byte{'"'}, name), '"'))
}

// find returns the place of a target. t.mu is held.
func (t *Targets) find(key probe.Key) (place int, ok bool) {
	return slices.BinarySearchFunc(t.targets, key.Redacted(), func(e target, key probe.Key) int { return e.Key().Compare(key) })
}

// Observe keeps the verdict if a configured target's turn brought it. It implements probe.Observer.
func (t *Targets) Observe(r *probe.Record) {
	if !r.Scheduled {
		return
	}
	b, ok := t.builders.Get().(*builder)
	if !ok {
		b = newBuilder()
	}
	v := newVerdict(b, r)
	t.builders.Put(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	place, ok := t.find(r.Key())
	if !ok {
		return // a reload took the target away meanwhile
	}
	t.last[place] = v
	result := resultUp
	if !r.Result.Up() {
		result = resultDown
	}
	next := t.tallies[place].add(result, r.Result.Duration.Seconds())
	next.follow(r)
	t.tallies[place] = next
}

// NoVerdict counts a turn of a configured target that came to no verdict: the exporter failed, or the target was refused.
func (t *Targets) NoVerdict(key probe.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if place, ok := t.find(key); ok {
		t.tallies[place] = t.tallies[place].add(resultUnknown, 0)
	}
}

// newVerdict takes from the families of a /probe reply, which b builds, what is kept.
func newVerdict(b *builder, r *probe.Record) *verdict {
	b.build(r)
	v := &verdict{at: r.Result.Start.Add(r.Result.Duration).UnixNano()}
	values := make([]float64, 0, maxShown)
	for i, s := range shownSeries {
		if value, ok := b.value(s); ok {
			v.has |= 1 << i
			values = append(values, value)
		}
	}
	v.values = slices.Clone(values)
	var said words
	if f := r.Result.Failure; f != nil {
		said.stage, said.reason = string(f.Stage), string(f.Reason)
	}
	if r.Result.TLS != nil {
		said.tlsVersion = b.labels[tlsVersionInfo][0]
	}
	v.words = unique.Make(said)
	return v
}

// value is what the last build gave a series.
func (b *builder) value(s shown) (value float64, ok bool) {
	series := &b.series[s.family][s.index]
	if !slices.Contains(b.built, s.family) || !slices.Contains(b.families[s.family].Metric, &series.metric) {
		return 0, false
	}
	return series.value, true
}

// view is the verdicts of one moment. Writing a reply takes a while, and a probe that ends meanwhile must not be up in
// one family and down in the next.
type view struct {
	at      int64
	planned func(probe.Key) bool // whether a target is under maintenance; nil: none is
	targets []target
	last    []*verdict
	tallies []*tally
	readers int // guarded by Targets.mu
}

// viewFor is how long a view serves others who come while it is in use. However many they are and however slowly they
// read, there is at most one view for each second of the longest reply.
const viewFor = int64(time.Second)

// look returns the present view; leave is to be called when it is no longer read.
func (t *Targets) look() *view {
	at := time.Now()
	now := at.UnixNano()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.view == nil || now < t.view.at || now >= t.view.at+viewFor {
		t.view = &view{at: now, targets: t.targets, last: slices.Clone(t.last), tallies: slices.Clone(t.tallies)}
		if t.Maintenance != nil {
			t.view.planned = t.Maintenance(at)
		}
	}
	t.view.readers++
	return t.view
}

func (t *Targets) leave(v *view) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v.readers--; v.readers == 0 && t.view == v {
		t.view = nil // it would keep verdicts alive that have been replaced
	}
}

// verdict is the last one of the target at a place. When rollcall could not probe for three intervals, nothing is known
// about the target any more, and there is none.
func (v *view) verdict(place int) *verdict {
	last := v.last[place]
	if last == nil || time.Duration(v.at-last.at)/3 > v.targets[place].Interval {
		return nil
	}
	return last
}

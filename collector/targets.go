package collector

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"rollcall/probe"
	"rollcall/redact"
)

// Target is one that rollcall probes by itself.
type Target struct {
	Module   string
	Target   string
	Interval time.Duration
	Labels   map[string]string // its own; none has the name of a label that a family has
}

// Targets keeps the last verdict of each configured target for /metrics/targets: not the Record but the numbers
// that it shows, since there may be a hundred thousand. It is an observer of the Runner. The zero value
// is ready, and many goroutines may use it at once.
type Targets struct {
	formats  formats
	builders sync.Pool // of *builder

	mu      sync.Mutex
	targets []target   // by module and target; replaced by Apply and never changed
	last    []*verdict // of the target at the same place; nil: none yet
	view    *view      // what replies are being written from; nil: there are none
}

// target is a configured target with what is the same in each of its series. Its name is without passwords, also to
// keep the order of a reply from telling of them; the configuration has no two that differ in nothing else.
type target struct {
	module, name string
	interval     time.Duration
	labels       string // as the text formats write them, without the closing brace
}

func (t *target) compare(module, name string) int {
	return cmp.Or(cmp.Compare(t.module, module), cmp.Compare(t.name, name))
}

// verdict is what is kept of a Record. It never changes, so that replies share it.
type verdict struct {
	at            int64  // when the probe ended, in Unix nanoseconds: the monotonic clock stands still while a machine sleeps
	has           uint32 // which of the values there are, a bit for each
	values        [len(shownSeries)]float64
	stage, reason string // empty: up
	tlsVersion    string
}

// Apply replaces the configured targets. One that was there before keeps its verdict.
func (t *Targets) Apply(configured []Target) {
	targets := make([]target, len(configured))
	for i, c := range configured {
		name := redact.Target(c.Target)
		targets[i] = target{module: c.Module, name: name, interval: c.Interval, labels: beginLabels(c.Module, name, c.Labels)}
	}
	slices.SortFunc(targets, func(a, b target) int { return a.compare(b.module, b.name) })
	last := make([]*verdict, len(targets))
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range targets {
		if old, ok := t.find(targets[i].module, targets[i].name); ok {
			last[i] = t.last[old]
		}
	}
	t.targets, t.last, t.view = targets, last, nil
}

// beginLabels writes the labels that all series of a target have. One without a value is none, as in Prometheus.
func beginLabels(module, name string, own map[string]string) string {
	labels := map[string]string{"module": module, "target": name}
	maps.Copy(labels, own)
	buf := []byte{'{'}
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		if labels[label] == "" {
			continue
		}
		if len(buf) > 1 {
			buf = append(buf, ',')
		}
		buf = appendLabel(buf, label, labels[label])
	}
	return string(buf)
}

// find returns the place of a target. t.mu is held.
func (t *Targets) find(module, name string) (place int, ok bool) {
	return slices.BinarySearchFunc(t.targets, name, func(e target, name string) int { return e.compare(module, name) })
}

// Observe keeps the verdict if a configured target's turn brought it. It implements probe.Observer.
func (t *Targets) Observe(r probe.Record) {
	if !r.Scheduled {
		return
	}
	b, ok := t.builders.Get().(*builder)
	if !ok {
		b = newBuilder()
	}
	v := newVerdict(b, &r)
	t.builders.Put(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	place, ok := t.find(r.Module, redact.Target(r.Target))
	if !ok {
		return // a reload took the target away meanwhile
	}
	t.last[place] = v
}

// newVerdict takes from the families of a /probe reply, which b builds, what is kept.
func newVerdict(b *builder, r *probe.Record) *verdict {
	b.build(r)
	v := &verdict{at: r.Result.Start.Add(r.Result.Duration).UnixNano()}
	for i, s := range shownSeries {
		if value, ok := b.value(s.family, s.phase); ok {
			v.has |= 1 << i
			v.values[i] = value
		}
	}
	if f := r.Result.Failure; f != nil {
		v.stage, v.reason = string(f.Stage), string(f.Reason)
	}
	if r.Result.TLS != nil {
		v.tlsVersion = b.version[0]
	}
	return v
}

// value is what the last build gave the series of a family; of a family with phases, the phase's.
func (b *builder) value(f family, phase int) (value float64, ok bool) {
	if !slices.Contains(b.built, f) {
		return 0, false
	}
	if f == icmpDuration {
		return b.icmp[phase].value, true
	}
	if f == httpDuration {
		return b.phases[phase].value, slices.Contains(b.families[f].Metric, &b.phases[phase].metric)
	}
	return b.single[f].value, true
}

// counts reports whether the verdict still says something at that time. When rollcall could not probe for three
// intervals, nothing is known about the target any more.
func (v *verdict) counts(now int64, interval time.Duration) bool {
	return time.Duration(now-v.at)/3 <= interval
}

// view is the verdicts of one moment. Writing a reply takes a while, and a probe that ends meanwhile must not be up in
// one family and down in the next.
type view struct {
	at      int64
	targets []target
	last    []*verdict
	readers int // guarded by Targets.mu
}

// viewFor is how long a view serves others who come while it is in use. However many they are and however slowly they
// read, there is at most one view for each second of the longest reply.
const viewFor = int64(time.Second)

// look returns the present view; leave is to be called when it is no longer read.
func (t *Targets) look() *view {
	now := time.Now().UnixNano()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.view == nil || now < t.view.at || now >= t.view.at+viewFor {
		t.view = &view{at: now, targets: t.targets, last: slices.Clone(t.last)}
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

// verdict is the last one of the target at a place, if it still counts.
func (v *view) verdict(place int) *verdict {
	last := v.last[place]
	if last == nil || !last.counts(v.at, v.targets[place].interval) {
		return nil
	}
	return last
}

package alert

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
)

func record(target string, scheduled, up bool) *probe.Record {
	return &probe.Record{Module: "m", Prober: "tcp", Target: target, Scheduled: scheduled, Result: *resultAt(time.Now(), up)}
}

// configured is a register that watches /probe and so many configured targets.
func configured(targets int) *register {
	c := &Config{policy: policy{downAfter: 1, upAfter: 1}, probeRequests: true, targets: make(map[key]bool)}
	for n := range targets {
		c.targets[key{"m", fmt.Sprintf("configured-%d:1", n)}] = true
	}
	r := newRegister()
	r.configure(c)
	return r
}

func TestStrangersCannotCrowdOutConfiguredTargets(t *testing.T) {
	r := configured(100)
	for n := range maxRequestedWatches + 500 {
		r.observe(record(fmt.Sprintf("asked-%d:1", n), false, true))
	}
	if watched, refused, _ := r.counts(); watched != maxRequestedWatches || refused != 500 {
		t.Errorf("%d are watched and %d refused, want %d and 500", watched, refused, maxRequestedWatches)
	}
	for n := range 100 {
		r.observe(record(fmt.Sprintf("configured-%d:1", n), true, true))
	}
	if watched, refused, _ := r.counts(); watched != maxRequestedWatches+100 || refused != 500 {
		t.Errorf("with configured ones %d are watched and %d refused", watched, refused)
	}
	// One that is configured later no longer counts as asked for.
	r.configured[key{"m", "asked-0:1"}] = true
	r.observe(record("asked-0:1", true, true))
	r.observe(record("one-more:1", false, true))
	if _, refused, _ := r.counts(); refused != 500 {
		t.Error("its place is not free again")
	}
}

func TestAllThatIsWatchedIsBounded(t *testing.T) {
	r := configured(maxWatches + 10)
	for n := range maxWatches + 10 {
		r.observe(record(fmt.Sprintf("configured-%d:1", n), true, true))
	}
	if watched, refused, _ := r.counts(); watched != maxWatches || refused != 10 {
		t.Errorf("%d are watched and %d refused", watched, refused)
	}
}

func TestForgettingMakesRoom(t *testing.T) {
	r := configured(0)
	for n := range 1000 {
		r.observe(record(fmt.Sprintf("asked-%d:1", n), false, n%2 == 0))
	}
	r.fetch(false)
	dropped := 0
	for more := true; more; {
		more = r.sweep(time.Now().Add(forgetAfter + time.Minute))
		part, _, _ := r.fetch(false)
		dropped += len(part)
	}
	if watched, _, _ := r.counts(); dropped != 1000 || watched != 0 || r.requested != 0 || len(r.all) != 0 {
		t.Errorf("%d were dropped, %d are left, %d of them asked for", dropped, watched, r.requested)
	}
}

// TestChangesThatWaitAreBounded: when the keeper does not come (a disk that hangs), results are left to the next
// probe instead of being folded in without their news.
func TestChangesThatWaitAreBounded(t *testing.T) {
	r := configured(maxChanges + 100)
	for n := range maxChanges + 100 {
		r.observe(record(fmt.Sprintf("configured-%d:1", n), true, false))
	}
	if _, _, deferred := r.counts(); deferred != 100 || len(r.changes) != maxChanges {
		t.Errorf("%d changes wait, %d were deferred", len(r.changes), deferred)
	}
	r.fetch(false)
	last := fmt.Sprintf("configured-%d:1", maxChanges+99)
	if !r.observe(record(last, true, false)) || len(r.changes) != 1 || r.changes[0].incident.Target != last {
		t.Error("its next probe does not say the same again")
	}
}

func TestDirectoryThatIsNoneIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := openStore(dir); err == nil || !strings.Contains(err.Error(), "--storage.path is to name a directory") {
			t.Errorf("%s: got %v, want what to do about it", dir, err)
		}
	}
}

func TestStoreOpensOnce(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir); err == nil || !strings.Contains(err.Error(), "in use by another rollcall") {
		t.Errorf("got %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "alert.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the store's mode is %v (%v): others could read it", info.Mode(), err)
	}
}

// BenchmarkObserve is what alerting costs a probe whose target is as it was.
func BenchmarkObserve(b *testing.B) {
	r := newRegister()
	r.configure(&Config{policy: policy{downAfter: 1, upAfter: 1, certWarning: time.Hour}, probeRequests: true})
	records := make([]*probe.Record, 1000)
	for n := range records {
		records[n] = record(fmt.Sprintf("host-%d.example.com:443", n), false, true)
		records[n].Result.TLS = &probe.TLSFacts{EarliestExpiry: time.Now().Add(1000 * time.Hour)}
		r.observe(records[n])
	}
	r.fetch(true)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		r.observe(records[n%len(records)])
		n++
	}
}

//go:build unix

package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/history"
)

// The tests below start their own binary again; these variables tell it what to be.
const (
	crashDir   = "HISTORY_TEST_CRASH_DIR"
	crashFirst = "HISTORY_TEST_CRASH_FIRST"
)

// crashBegin is when the results of the crash test begin: days ago, so that days are closed, too, and so many that a fast
// machine does not come to write results of the future.
var crashBegin = time.Now().UTC().Truncate(24 * time.Hour).Add(-80 * 24 * time.Hour)

func crashRecordTime(n int) time.Time { return crashBegin.Add(time.Duration(n) * time.Minute) }

// TestCrashWriter is the child: it writes until it is killed and says after each flush how many results are safe.
func TestCrashWriter(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		return // it is not the child; TestCrash starts one
	}
	n, err := strconv.Atoi(os.Getenv(crashFirst))
	if err != nil {
		t.Fatal(err)
	}
	s, stop := runStore(t, Options{Dir: dir})
	defer stop()
	s.Apply(crashTargets)
	flush(t, s)
	for rng := rand.New(rand.NewPCG(uint64(n), 1)); ; {
		for range rng.IntN(300) {
			for _, target := range crashTargets {
				state := history.StateUp
				if n%97 > 90 {
					state = history.StateDown
				}
				s.Observe(testRecord(target, crashRecordTime(n), state, 20*time.Millisecond))
			}
			n++
		}
		if rng.IntN(3) == 0 {
			s.mu.Lock()
			s.sealAll()
			s.mu.Unlock()
		}
		flush(t, s)
		fmt.Printf("safe %d\n", n)
	}
}

// TestCrash kills a writer at random points and reads what is there.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(31, 32))
	first := 0
	for round := range 12 {
		safe := crash(t, dir, first, time.Duration(rng.IntN(400))*time.Millisecond)
		found := checkCrashed(t, dir, safe)
		t.Logf("round %d: %d results of each target were safe, %d are there", round, safe, found)
		first = found
	}
	if first == 0 {
		t.Error("no child came to write anything")
	}
}

// crash runs a writer and kills it a while after its first flush.
func crash(t *testing.T, dir string, first int, after time.Duration) (safe int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashWriter$")
	child.Env = append(os.Environ(), crashDir+"="+dir, crashFirst+"="+strconv.Itoa(first), "TZ=UTC")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	safe = first
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, ok := strings.CutPrefix(lines.Text(), "safe ")
		if !ok {
			continue
		}
		if safe, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
		if after >= 0 {
			time.AfterFunc(after, func() { _ = child.Process.Kill() })
			after = -1
		}
	}
	if err := child.Wait(); err == nil || after >= 0 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return safe
}

// checkCrashed reads everything and returns how many results of each target are there.
func checkCrashed(t *testing.T, dir string, safe int) (found int) {
	t.Helper()
	s, stop := runStore(t, Options{Dir: dir})
	defer stop()
	s.Apply(crashTargets)
	flush(t, s)
	if stats := s.Stats(); stats.Damaged != 0 || !stats.Writable {
		t.Errorf("after a crash: %+v", stats)
	}
	for i, target := range crashTargets {
		results, err := s.Results(t.Context(), target.ID(), crashBegin, time.Now().Add(time.Hour), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if len(results) < safe {
			t.Errorf("%d results of %s are there, %d were safe", len(results), target.Target, safe)
		}
		for n, r := range results {
			if want := crashRecordTime(len(results) - 1 - n); !r.Time.Equal(want) {
				t.Fatalf("result %d of %s is of %v, want %v", n, target.Target, r.Time, want)
			}
		}
		if i > 0 && len(results) != found {
			t.Errorf("%s has %d results, another target %d: a transaction was torn", target.Target, len(results), found)
		}
		found = len(results)
		var counts history.Counts
		series, err := s.Series(t.Context(), target.ID(), crashBegin, time.Now(), 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range series.Points {
			counts.Add(p.Counts)
		}
		if counts.Known() != found {
			t.Errorf("%s: the rollups have %d results, want %d", target.Target, counts.Known(), found)
		}
		incidents, err := s.Incidents(t.Context(), history.IncidentFilter{TargetID: target.ID()}, time.Time{}, time.Time{}, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		failures := 0
		for _, incident := range incidents {
			failures += incident.Failures
		}
		if failures != int(counts.Down) {
			t.Errorf("%s: the incidents have %d failures, the results %d", target.Target, failures, counts.Down)
		}
	}
	return found
}

// fullDir tells the child of TestFullDisk where to write.
const fullDir = "HISTORY_TEST_FULL_DIR"

// TestFullDiskChild is the child: its files cannot grow for a while, as on a full disk.
func TestFullDiskChild(t *testing.T) {
	dir := os.Getenv(fullDir)
	if dir == "" {
		return // it is not the child; TestFullDisk starts one
	}
	signal.Ignore(syscall.SIGXFSZ)
	s, stop := runStore(t, Options{Dir: dir})
	defer stop()
	s.Apply(crashTargets)
	flush(t, s)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	full := syscall.Rlimit{Cur: 1 << 12, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	for n := range 500 {
		s.Observe(testRecord(crashTargets[0], crashRecordTime(n), history.StateUp, 20*time.Millisecond))
	}
	if err := s.Flush(t.Context()); err == nil {
		t.Error("a flush to a full disk succeeded")
	}
	if status := s.Status(); status.Problem == "" || s.Stats().Writable {
		t.Errorf("a full disk is not reported: %+v", status)
	}
	if results, err := s.Results(t.Context(), crashTargets[0].ID(), crashBegin, time.Now(), 1000); err != nil || len(results) != 500 {
		t.Errorf("while the disk is full, %d results are found: %v", len(results), err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if status := s.Status(); status.Problem != "" {
		t.Errorf("the disk has room again: %+v", status)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestFullDiskChild$", "-test.v")
	child.Env = append(os.Environ(), fullDir+"="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s, stop := runStore(t, Options{Dir: dir})
	defer stop()
	s.Apply(crashTargets)
	flush(t, s)
	results, err := s.Results(t.Context(), crashTargets[0].ID(), crashBegin, time.Now(), 1000)
	if err != nil || len(results) != 500 {
		t.Errorf("after the disk was full, %d results are there: %v", len(results), err)
	}
}

// TestDirectoryComesLate: what cannot be written at first is written when it can.
func TestDirectoryComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "storage")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s, stop := runStore(t, Options{Dir: path})
		target := crashTargets[0]
		s.Apply(crashTargets)
		synctest.Wait()
		if status := s.Status(); status.Problem == "" || status.Loading {
			t.Errorf("a directory that cannot be made is not reported: %+v", status)
		}
		for range 10 {
			time.Sleep(time.Minute)
			s.Observe(testRecord(target, time.Now(), history.StateDown, time.Second))
		}
		synctest.Wait()
		if sum := summaryOf(t, s, history.Range24h, target); sum.State != history.StateDown || sum.Counts.Down != 10 || sum.Incident == "" {
			t.Errorf("without a file the overview has %+v", sum)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if status := s.Status(); status.Problem != "" {
			t.Errorf("the directory is there: %+v", status)
		}
		stop()
		s, stop = runStore(t, Options{Dir: path})
		defer func() { stop() }()
		s.Apply(crashTargets)
		flush(t, s)
		if sum := summaryOf(t, s, history.Range24h, target); sum.State != history.StateDown || sum.Counts.Down != 10 || sum.Incident == "" {
			t.Errorf("after a restart the overview has %+v", sum)
		}
	})
}

//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// outage is an incident as a person tells it apart from others: the targets of the storm go down at most once in two
// seconds.
type outage struct{ target, since string }

// TestKillNineLosesAndDoublesNoMail kills the process 200 times, at any moment from its start on, while targets go
// down and up and the mail server is absent, silent, full or forgetful by turns. Then it counts, for each recipient:
// every incident that ever was on disk is told, its beginning once and its end once and not before its beginning, and
// what came twice came under the same Message-ID.
func TestKillNineLosesAndDoublesNoMail(t *testing.T) {
	t.Parallel()
	const kills = 200
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	var calm atomic.Bool
	var moods sync.Mutex
	postbox := newPostbox(t, func() mood {
		moods.Lock()
		defer moods.Unlock()
		if n := random.IntN(10); n < 5 && !calm.Load() {
			return mood(1 + n)
		}
		return kind
	})
	storm := newFlicker(t, 12)
	dir := t.TempDir()
	file := filepath.Join(dir, "rollcall.yml")
	recipients := []string{"a@example.com", "b@example.com"}
	if err := os.WriteFile(file, fmt.Appendf(nil, `
modules: {web: {prober: http}}
alert:
  email:
    to: [%s]
    smtp: {address: %s, tls: none}
  group_wait: 30ms
  group_interval: 0s
  max_mails_per_hour: 3600
`, strings.Join(recipients, ", "), postbox.address), 0o600); err != nil {
		t.Fatal(err)
	}

	committed := make(map[outage]bool)
	begin := time.Now()
	for n := range kills {
		p := launch(t, file, dir)
		moods.Lock()
		life := time.Duration(random.IntN(150)) * time.Millisecond
		early := random.IntN(8) == 0
		moods.Unlock()
		deadline := time.Now().Add(life)
		if early { // within its first steps
			time.Sleep(life / 3)
		} else if base := p.listening(); base != "" {
			for once := true; once || time.Now().Before(deadline); once = false {
				storm.probeAll(base)
			}
		}
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatalf("kill %d: %v: it had ended by itself:\n%s", n, err, p.text())
		}
		<-p.done
		for _, o := range onDisk(t, filepath.Join(dir, "alert.db")) {
			committed[o] = true
		}
	}
	took := time.Since(begin)

	calm.Store(true)
	storm.calm.Store(true)
	p := launch(t, file, dir)
	base := p.listening()
	eventually(t, func() (bool, string) {
		storm.probeAll(base)
		metrics := get(t, base+"/metrics")
		return strings.Contains(metrics, "\nrollcall_alert_incidents 0\n") && strings.Contains(metrics, "\nrollcall_alert_outbox_pending{channel=\"email\"} 0\n"),
			strings.Join(regexp.MustCompile(`(?m)^rollcall_alert_.*$`).FindAllString(metrics, -1), "\n")
	})
	p.stop(t)

	letters := postbox.kept()
	for _, to := range recipients {
		told := tales(t, to, letters)
		for o := range committed {
			if told[o] == nil {
				t.Errorf("%s was never told of %v", to, o)
			}
		}
		if len(told) < 20 || len(committed) < 20 {
			t.Errorf("%s was told of %d incidents, %d were on disk: that was no storm", to, len(told), len(committed))
		}
		t.Logf("%s was told of %d incidents; %d were seen on disk at a kill", to, len(told), len(committed))
	}
	distinct := make(map[string]bool)
	for _, l := range letters {
		distinct[l.messageID] = true
	}
	t.Logf("%d kills in %v; %d mails, %d of them repetitions, in %d sessions", kills, took.Round(time.Second), len(letters), len(letters)-len(distinct), postbox.sessions)
}

// launch starts rollcall without waiting for anything.
func launch(t *testing.T, file, dir string) *crasher {
	t.Helper()
	return &crasher{start(t, rollcall, "--config.file="+file, "--storage.path="+dir, "--web.listen-address=127.0.0.1:0", "--log.prober=error"), t}
}

type crasher struct {
	*process
	t *testing.T
}

func (c *crasher) listening() string {
	return "http://" + c.await(c.t, `msg="rollcall listens" address=(\S+)`)[1]
}

// flicker is a web server with pages that are up and down by turns.
type flicker struct {
	targets []string
	calm    atomic.Bool // all are up
	stuck   atomic.Bool // all are down
	client  http.Client
}

func newFlicker(t *testing.T, targets int) *flicker {
	t.Helper()
	s := &flicker{client: http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext,
	}}}
	begin := time.Now()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		// Each page is down for half of its own period of 2.2 to 3.6 seconds, which begins at its own time.
		period := 2200*time.Millisecond + time.Duration(n)*200*time.Millisecond
		phase := (time.Since(begin) + time.Duration(n)*370*time.Millisecond) % period
		if s.stuck.Load() || (phase < period/2 && !s.calm.Load()) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(web.Close)
	for n := range targets {
		s.targets = append(s.targets, fmt.Sprintf("%s/%d", web.URL, n))
	}
	return s
}

// probeAll asks for every target once; the process may die meanwhile.
func (s *flicker) probeAll(base string) {
	for _, target := range s.targets {
		resp, err := s.client.Get(base + "/probe?" + url.Values{"module": {"web"}, "target": {target}}.Encode())
		if err != nil {
			return
		}
		resp.Body.Close()
	}
}

// onDisk reads the incidents that are open in the store of a process that is dead.
func onDisk(t *testing.T, path string) []outage {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return nil // it died before it made the store
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatalf("after a kill the store does not open: %v", err)
	}
	defer db.Close()
	var open []outage
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("targets"))
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			var row struct {
				Target   string
				Incident *struct{ Since time.Time }
			}
			if err := json.Unmarshal(v, &row); err != nil {
				return err
			}
			if row.Incident != nil {
				open = append(open, outage{row.Target, row.Incident.Since.Local().Format(time.ANSIC)})
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return open
}

// tale is how one recipient was told of an outage.
type tale struct{ down, up []string } // Message-IDs

var (
	single  = regexp.MustCompile(`: HTTP (\S+) (is down|is up again|was down for \S+|flaps: .*)$`)
	since   = regexp.MustCompile(`(?m)^Down since: +(.{24})$`)
	listed  = regexp.MustCompile(`^  HTTP (\S+) \(module web\) (?:since (.{24})|flaps: |(.{24}) to )`)
	outages = regexp.MustCompile(`^ {2,4}(.{24}) to (.{24}|now): `)
)

// tales reads the mails of one recipient and fails where one is told wrongly.
func tales(t *testing.T, to string, letters []letter) map[outage]*tale {
	t.Helper()
	seen := make(map[string]letter)
	told := make(map[outage]*tale)
	for _, l := range letters {
		if l.to != to {
			continue
		}
		if first, again := seen[l.messageID]; again {
			if !bytes.Equal(first.raw, l.raw) {
				t.Errorf("%s: a repetition of %s is another mail", to, l.messageID)
			}
			continue
		}
		seen[l.messageID] = l
		if strings.Contains(l.body, " earlier outage") || strings.Contains(l.body, "only counted") || regexp.MustCompile(`(?m)^  and \d+ more`).MatchString(l.body) {
			t.Errorf("%s: outages were only counted; the storm is too strong to follow", to)
		}
		read := 0
		for o, says := range outagesIn(l) {
			tell(t, told, l, o, says)
			read++
		}
		if read == 0 {
			t.Errorf("%s: nothing can be read in\n%s", to, l.raw)
		}
	}
	for o, tale := range told {
		if len(tale.down) != 1 || len(tale.up) != 1 {
			t.Errorf("%s: the beginning of %v was told in %q, its end in %q; want one each", to, o, tale.down, tale.up)
		}
	}
	return told
}

// says is what a letter says of an outage. Of a target that flaps it does not say which beginnings were told before.
type says struct{ down, up, flaps bool }

// tell adds what a letter says of an outage to the tale of it.
func tell(t *testing.T, told map[outage]*tale, l letter, o outage, s says) {
	if told[o] == nil {
		told[o] = new(tale)
	}
	before := told[o].down
	if s.flaps && len(before) > 0 {
		s.down = false // it was told
	}
	if s.down {
		told[o].down = append(told[o].down, l.messageID)
	}
	if s.up {
		told[o].up = append(told[o].up, l.messageID)
		if len(told[o].down) == 0 {
			t.Errorf("%s: the end of %v comes before its beginning", l.to, o)
		}
		if !s.down && len(before) > 0 && !slices.Contains(references(l), before[0]) {
			t.Errorf("%s: the end of %v does not refer to its beginning", l.to, o)
		}
	}
}

// outagesIn are the outages that a letter tells.
func outagesIn(l letter) map[outage]says {
	found := make(map[outage]says)
	target := ""
	if m := single.FindStringSubmatch(l.subject); m != nil {
		if target = m[1]; !strings.HasPrefix(m[2], "flaps") {
			found[outage{target, since.FindStringSubmatch(l.body)[1]}] = says{down: m[2] != "is up again", up: m[2] != "is down"}
			return found
		}
	}
	section := ""
	for line := range strings.Lines(l.body) {
		if m := listed.FindStringSubmatch(line); m != nil {
			if target = m[1]; m[2]+m[3] != "" {
				found[outage{target, m[2] + m[3]}] = says{down: section != "Up again", up: section != "Down"}
			}
		} else if m := outages.FindStringSubmatch(line); m != nil {
			found[outage{target, m[1]}] = says{down: true, up: m[2] != "now", flaps: true}
		} else if name, ok := strings.CutSuffix(line, ":\n"); ok {
			section = name
		}
	}
	return found
}

func references(l letter) []string {
	m := regexp.MustCompile(`(?m)^References:((?:.*\n)(?:[ \t].*\n)*)`).FindSubmatch(bytes.ReplaceAll(l.raw, []byte("\r\n"), []byte("\n")))
	if m == nil {
		return nil
	}
	return strings.Fields(string(m[1]))
}

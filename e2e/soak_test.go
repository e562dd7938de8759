//go:build unix

package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// soakEnv is how long TestSoak lasts: `make soak` sets ten minutes, `make unit` one.
	soakEnv = "SOAK"
	// soakMemory is the process's GOMEMLIMIT: a quarter of it may be held for peers and clients, and these hostile ones hold
	// more than 32 MiB at once. soakPeak also includes memory outside the heap (pages of the binary, thread
	// stacks) and allocations between two collections.
	soakMemory, soakPeak = 256 << 20, 192 << 20
	// soakGrowth is the limit for the growth of resident memory after the first round: the runtime keeps memory from its
	// busiest moment.
	soakGrowth = 32 << 20
	// soakAtOnce is how many probes run at the same time.
	soakAtOnce = 32
)

// floods are the most hostile peers, which have no golden file, with the verdicts wanted.
func floods() map[visit]string {
	return map[visit]string{
		{name: "gzip_bomb", module: `{prober: http, http: {compression: gzip}}`, target: "http://<gzipbomb>/"}:                              "down body/body_too_large",
		{name: "br_bomb", module: `{prober: http, http: {compression: br}}`, target: "http://<brbomb>/"}:                                    "down body/body_too_large",
		{name: "deflate_bomb", module: `{prober: http, http: {compression: deflate}}`, target: "http://<deflatebomb>/"}:                     "down body/body_too_large",
		{name: "endless_chunks", module: `{prober: http}`, target: "http://<endlesschunks>/"}:                                               "down body/body_too_large",
		{name: "cookie_flood", module: `{prober: http}`, target: "http://<cookieflood>/"}:                                                   "down response/headers_too_large",
		{name: "silent_tls", module: `{prober: http, timeout: 1s}`, target: "https://<silent>/"}:                                            "down tls/timeout",
		{name: "trickle", module: `{prober: http, timeout: 1s}`, target: "http://<trickle>/"}:                                               "down body/timeout",
		{name: "settings_flood", module: h2Module, target: "https://<settings>/"}:                                                           "down",
		{name: "ping_flood", module: h2Module, target: "https://<pings>/"}:                                                                  "down",
		{name: "unknown_flood", module: h2Module, target: "https://<unknown>/"}:                                                             "down",
		{name: "reset_flood", module: h2Module, target: "https://<resets>/"}:                                                                "down",
		{name: "continuation_flood", module: h2Module, target: "https://<continuation>/"}:                                                   "down",
		{name: "endless_data", module: h2Module, target: "https://<endlessdata>/"}:                                                          "down",
		{name: "huge_key", module: h2Module, target: "https://<hugekey>/"}:                                                                  "down",
		{name: "deaf", module: `{prober: tcp, timeout: 1s, tcp: {query_response: [{expect: "^SSH"}, {expect: "more"}]}}`, target: "<deaf>"}: "down conversation/timeout",
	}
}

const h2Module = `{prober: http, timeout: 2s, http: {tls_config: {ca_file: "<ca>"}}}`

// load is a short soak in the hostile suite.
func load(t *testing.T, h *hostile) {
	if length := os.Getenv(soakEnv); length != "" {
		t.Skipf("TestSoak does the same in this run, for %s", length)
	}
	if h.peer {
		t.Skip("the soak compares verdicts and reasons, which blackbox_exporter has not")
	}
	runSoak(t, 5*time.Second, nil)
}

// runSoak probes good and hostile peers at full rate, by /probe and as configured and discovered targets with history and
// mail. It checks that every verdict is right and that no resources are left in use at the end. pings are visits that need a
// network of their own.
func runSoak(t *testing.T, length time.Duration, pings []visit) {
	t.Helper()
	t.Setenv("GOMEMLIMIT", fmt.Sprint(soakMemory))
	p, mail := newPark(t), newMailbox(t)
	all := append(visits(), pings...)
	wanted := goldenVerdicts(t, all)
	wanted["grpc_response_reset"] = "down response/connection_" // on a busy machine a write may fail before the reset is read
	for v, verdict := range floods() {
		all = append(all, v)
		wanted[v.name] = verdict
	}
	scheduled := newSoakTargets(t, p, all)
	e := startExporter(t, rollcall, modulesFile(p, all)+scheduled.section()+mail.section(), []string{"--storage.path=" + t.TempDir(), "--web.enable-pprof"})
	stop := scheduled.swap(t)
	(&soak{e: e, p: p, wanted: wanted, wrong: make(map[string]int)}).check(t, all, length)
	stop()
	scheduled.check(t, e, wanted)
	if !strings.Contains(mail.mails(t), " is down") {
		t.Error("no mail was sent")
	}
}

// check soaks for length.
func (s *soak) check(t *testing.T, all []visit, length time.Duration) {
	t.Helper()
	e := s.e
	s.run(t, all, len(all)/soakAtOnce+1, 0) // all servers are started and all pools are filled
	e.collect(t)
	before, resident := e.footprint(t), e.residentKiB(t, "VmRSS")
	s.run(t, all, 0, length)
	t.Logf("%d probes in %v, %d of them without verdict on a busy machine; resident: %d MiB at the start, %d now, %d at most", s.probes, length,
		s.stalls, resident>>10, e.residentKiB(t, "VmRSS")>>10, e.residentKiB(t, "VmHWM")>>10)

	for _, what := range slices.Sorted(maps.Keys(s.wrong)) {
		t.Errorf("%d times: %s", s.wrong[what], what)
	}
	e.awaitFootprint(t, before)
	within(t, patience, func() error {
		e.collect(t)
		if now := e.residentKiB(t, "VmRSS"); now > resident+soakGrowth>>10 {
			return fmt.Errorf("%d KiB are resident, at the start there were %d", now, resident)
		}
		return nil
	})
	if peak := e.residentKiB(t, "VmHWM"); peak > soakPeak>>10 {
		t.Errorf("%d KiB were resident, with GOMEMLIMIT at %d", peak, soakMemory>>10)
	}
	const errors = "rollcall_exporter_errors_total"
	if n := e.metric(t, errors) - e.metric(t, errors, `reason="stalled"`) - e.metric(t, errors, `reason="memory"`); n != 0 {
		t.Errorf("%v exporter errors", n)
	}
	if s.stalls > s.probes/2 {
		t.Errorf("%d of %d probes have no verdict", s.stalls, s.probes)
	}
	within(t, patience, func() error { // scheduled ones go on
		if n := e.metric(t, "rollcall_probes_in_flight"); n != 0 {
			return fmt.Errorf("%v probes are in flight", n)
		}
		return nil
	})
}

// goldenVerdicts returns the verdict of each visit, from its golden file.
func goldenVerdicts(t *testing.T, all []visit) map[string]string {
	t.Helper()
	verdicts := make(map[string]string)
	for _, v := range all {
		verdicts[v.name] = goldenVerdict(t, v.name)
	}
	return verdicts
}

// goldenVerdict returns the verdict in a visit's golden file.
func goldenVerdict(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(goldenFile(name))
	if err != nil {
		t.Fatal(err)
	}
	golden, err := parseExposition(string(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return golden.verdict()
}

// soak is the state of one.
type soak struct {
	e      *exporter
	p      *park
	wanted map[string]string // prefix of each visit's verdict

	mu     sync.Mutex
	probes int
	stalls int // probes without a verdict because the machine was busy: stalled, or too many hostile peers had an answer at once
	wrong  map[string]int
}

// run makes visits with soakAtOnce workers, each in its own order: each visits if that is above 0, else until length is over.
func (s *soak) run(t *testing.T, all []visit, each int, length time.Duration) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakAtOnce}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), length+10*time.Minute)
	defer cancel()
	end := time.Now().Add(length)
	var visiting sync.WaitGroup
	for side := range soakAtOnce {
		order := rand.New(rand.NewPCG(uint64(side), 0)).Perm(len(all))
		if each > 0 { // together the workers visit every server
			order = nil
			for i := side; i < len(all); i += soakAtOnce {
				order = append(order, i)
			}
		}
		visiting.Go(func() {
			for i := 0; len(order) > 0 && (i < each || each == 0 && time.Now().Before(end)); i++ {
				v := all[order[i%len(order)]]
				s.note(v.name, s.visit(ctx, client, v))
			}
		})
	}
	visiting.Wait()
}

func (s *soak) visit(ctx context.Context, client *http.Client, v visit) (verdict string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.e.URL+v.query(s.p), nil)
	if err != nil {
		return err.Error()
	}
	reply, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return err.Error()
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s", reply.StatusCode, body)
	}
	families, err := parseExposition(string(body))
	if err != nil {
		return err.Error()
	}
	verdict = families.verdict()
	if !strings.HasPrefix(verdict, s.wanted[v.name]) {
		verdict += s.cause(ctx, v)
	}
	return verdict
}

// cause is what the newest result of the visit says about why it failed.
func (s *soak) cause(ctx context.Context, v visit) string {
	reply, err := s.e.get(ctx, "/logs"+strings.TrimPrefix(v.query(s.p), "/probe"))
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(reply.Body) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "cause "); ok {
			return " (" + strings.TrimSpace(text) + ")"
		}
	}
	return ""
}

func (s *soak) note(name, verdict string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes++
	if strings.HasPrefix(verdict, "500 rollcall did not run for") || strings.HasPrefix(verdict, "500 ") && strings.Contains(verdict, "the limit for all is") {
		s.stalls++
	} else if !strings.HasPrefix(verdict, s.wanted[name]) {
		s.wrong[fmt.Sprintf("%s: %s, want %s", name, verdict, s.wanted[name])]++
	}
}

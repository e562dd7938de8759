//go:build unix

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// peer returns the path of blackbox_exporter from Debian's package.
func peer(t *testing.T) string {
	t.Helper()
	return find(t, "prometheus-blackbox-exporter", "prometheus-blackbox-exporter")
}

// exporter is a running rollcall or blackbox_exporter.
type exporter struct {
	*process
	URL string // http://127.0.0.1:port
}

// startExporter runs an exporter with the configuration until the test ends. wrap, if not empty, is a command that runs it.
func startExporter(t *testing.T, bin, config string, args []string, wrap ...string) *exporter {
	t.Helper()
	return startWithFile(t, bin, writeFile(t, "blackbox.yml", config), args, wrap...)
}

func startWithFile(t *testing.T, bin, file string, args []string, wrap ...string) *exporter {
	t.Helper()
	addr := zoo.Free(t) // blackbox_exporter does not report a port that it chose itself
	argv := append(append([]string{}, wrap...), bin, "--config.file="+file, "--web.listen-address="+addr)
	argv = append(argv, args...)
	e := &exporter{start(t, argv[0], argv[1:]...), "http://" + addr}
	within(t, patience, func() error {
		select {
		case <-e.done:
			t.Fatalf("%s ended instead of listening", e.name)
		default:
		}
		reply, err := e.get(t.Context(), "/-/healthy")
		if err == nil && reply.Status != http.StatusOK {
			err = fmt.Errorf("/-/healthy: status %d", reply.Status)
		}
		return err
	})
	return e
}

// within calls check until it returns nil, and fails t with the last error when the time is over.
func within(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-every.C:
		case <-deadline.C:
			t.Fatal(err)
		}
	}
}

// answer is a complete reply.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// get requests path from the exporter; a dropped connection is an error.
func (e *exporter) get(ctx context.Context, path string, header ...string) (answer, error) {
	return e.do(ctx, http.MethodGet, path, header...)
}

func (e *exporter) do(ctx context.Context, method, path string, header ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, e.URL+path, nil)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Accept-Encoding", "identity")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	reply, err := noRedirects.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	return answer{reply.StatusCode, reply.Header, string(body)}, err
}

// noRedirects is a client that follows no redirects and uses a new connection for each request. It is never changed.
var noRedirects = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// residentKiB returns the resident memory of the process: now (VmRSS) or at its peak (VmHWM).
func (e *exporter) residentKiB(t *testing.T, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in the status of %s", field, e.name)
	return 0
}

// collect makes the exporter, which needs --web.enable-pprof, collect garbage. An idle Go process does so only every two
// minutes and keeps the memory of its last burst until then.
func (e *exporter) collect(t *testing.T) {
	t.Helper()
	if reply, err := e.get(t.Context(), "/debug/pprof/heap?gc=1"); err != nil || reply.Status != http.StatusOK {
		t.Fatalf("collecting garbage: %v %d", err, reply.Status)
	}
}

// resetPeak resets VmHWM to the current value, if the kernel allows it.
func (e *exporter) resetPeak(t *testing.T) {
	t.Helper()
	err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", e.cmd.Process.Pid), []byte("5"), 0)
	if err != nil && !errors.Is(err, os.ErrPermission) {
		t.Fatal(err)
	}
}

// descriptors returns the number of open descriptors of the process.
func (e *exporter) descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// metric returns the sum of a family of the exporter's own metrics, over the series with the labels given as
// `name="value"`.
func (e *exporter) metric(t *testing.T, family string, labels ...string) float64 {
	t.Helper()
	reply, err := e.get(t.Context(), "/metrics")
	if err != nil || reply.Status != http.StatusOK {
		t.Fatalf("/metrics: %v %d", err, reply.Status)
	}
	families, err := parseExposition(reply.Body)
	if err != nil {
		t.Fatalf("/metrics: %v", err)
	}
	var sum float64
series:
	for _, m := range families[family].GetMetric() {
		for _, l := range labels {
			if !strings.Contains(labelsOf(m), l) {
				continue series
			}
		}
		sum += valueOf(m)
	}
	return sum
}

// footprint is the use of resources that must return to its start value after the work.
type footprint struct{ goroutines, descriptors int }

func (e *exporter) footprint(t *testing.T) footprint {
	t.Helper()
	return footprint{int(e.metric(t, "go_goroutines")), e.descriptors(t)}
}

// awaitFootprint waits until the process is back at its footprint, and fails if it does not get there.
func (e *exporter) awaitFootprint(t *testing.T, before footprint) {
	t.Helper()
	const slack = 5 // for the runtime, and connections of this test that are still closing
	within(t, 10*time.Second, func() error {
		now := e.footprint(t)
		if now.goroutines > before.goroutines+slack || now.descriptors > before.descriptors+slack {
			return fmt.Errorf("%d goroutines and %d descriptors, at the start there were %d and %d",
				now.goroutines, now.descriptors, before.goroutines, before.descriptors)
		}
		return nil
	})
}

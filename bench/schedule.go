//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// scheduled is the cost of an exporter that probes by itself.
type scheduled struct {
	Exporter string // "rollcall", "rollcall with history", "cloudprober", "floor"
	Targets  int
	Interval time.Duration
	Probes   int     // that reached the targets while it was measured
	Microsec float64 // CPU time of one probe
	Cores    float64
	PeakKB   int64   // resident memory since the start
	JitterMs float64 // 99th percentile of how far from the interval two probes of a target are apart
}

// withHistory is what rollcall is called that keeps the results; otherwise a server that does not answer keeps them.
const withHistory = nameRollcall + " with history"

// nameCloudprober is github.com/cloudprober/cloudprober, which also probes by itself.
const nameCloudprober = "cloudprober"

// measureSchedule has each exporter probe 500 targets a second, all side by side in turns, and rollcall alone many targets at
// the interval of the simulation.
func (b *bench) measureSchedule(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "rollcall-bench-schedule-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for round := range b.options.rounds {
		for _, name := range []string{nameRollcall, withHistory, nameCloudprober, nameFloor} {
			if err := b.scheduleOnce(ctx, filepath.Join(dir, fmt.Sprint(name, round)), name, b.options.perSecond, time.Second, b.options.scheduleTime); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{nameRollcall, withHistory} {
		if err := b.scheduleOnce(ctx, filepath.Join(dir, name), name, b.options.simulate, b.options.interval, b.options.interval+b.options.interval/4); err != nil {
			return err
		}
	}
	return nil
}

// scheduleOnce measures for a while, after an interval in which every target is probed for the first time.
func (b *bench) scheduleOnce(ctx context.Context, dir, name string, count int, interval, during time.Duration) (err error) {
	program := b.options.cloudprober
	if e := b.find(cmp.Or(map[string]string{withHistory: nameRollcall}[name], name)); e != nil {
		program = e.program
	} else if name != nameCloudprober || program == "" {
		return nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	list, err := b.writeTargets(dir, name, count, interval)
	if err != nil {
		return err
	}
	args := []string{"--config.file=" + filepath.Join(dir, "rollcall.yml"), "--web.listen-address=127.0.0.1:0", "--storage.path=" + filepath.Join(dir, "data")}
	switch name {
	case nameFloor:
		args = []string{"-targets", list, "-every", interval.String()}
	case nameCloudprober:
		args = []string{"--config_file=" + list}
	}
	environment := []string{fmt.Sprintf("GOGC=%d", b.options.gogc), "CLOUDPROBER_PORT=0"}
	if count == b.options.simulate {
		environment[0] = "GOGC=" // rollcall alone, with its own default for many targets
	}
	if _, err := b.arrivals(0); err != nil {
		return err
	}
	p, err := start(name, nil, nil, environment, program, args...)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := pause(ctx, p, interval+time.Second); err != nil {
		return err
	}
	before, err := cpuTime(p.pid())
	if err != nil {
		return err
	}
	if _, err := b.arrivals(interval); err != nil {
		return err
	}
	begin := time.Now()
	if err := pause(ctx, p, during); err != nil {
		return err
	}
	after, err := cpuTime(p.pid())
	wall := time.Since(begin)
	seen, arrivalsErr := b.arrivals(interval)
	m, memoryErr := readMemory(p.pid())
	if err := errors.Join(err, arrivalsErr, memoryErr); err != nil {
		return err
	}
	if want := float64(count) * during.Seconds() / interval.Seconds(); float64(seen.Count) < 0.9*want {
		return fmt.Errorf("%s probed %d times, want about %.0f: %s", name, seen.Count, want, p.stderr)
	}
	b.report.Scheduled = append(b.report.Scheduled, scheduled{
		Exporter: name, Targets: count, Interval: interval, Probes: seen.Count, PeakKB: m.Peak, JitterMs: seen.Jitter99Ms,
		Microsec: outcome{CPU: after - before}.perProbe(seen.Count), Cores: (after - before).Seconds() / wall.Seconds(),
	})
	return nil
}

// writeTargets writes the list of the floor, or a configuration of rollcall with a file of discovery, for that many targets.
func (b *bench) writeTargets(dir, name string, count int, interval time.Duration) (list string, err error) {
	target := b.many(checkCase{server: "timed", scheme: "http://"}, count)
	targets := make([]string, count)
	for i := range targets {
		targets[i] = target(i)
	}
	if name == nameCloudprober {
		list = filepath.Join(dir, "cloudprober.cfg")
		return list, os.WriteFile(list, b.cloudproberConfig(targets, interval), 0o644)
	}
	if name == nameFloor {
		list = filepath.Join(dir, "targets")
		return list, os.WriteFile(list, []byte(strings.Join(targets, "\n")), 0o644)
	}
	text, err := json.Marshal([]map[string]any{{"targets": targets}})
	if err != nil {
		return "", err
	}
	list = filepath.Join(dir, "targets.json")
	config := fmt.Sprintf("modules: {http: {prober: http, http: {preferred_ip_protocol: ip4}}}\n"+
		"targets: [{job_name: bench, scrape_interval: %s, params: {module: [http]}, file_sd_configs: [{files: [%q]}]}]\n", interval, list)
	if name == nameRollcall {
		config += "history: {prometheus: {url: 'http://127.0.0.1:1'}}\n"
	}
	return list, errors.Join(os.WriteFile(list, text, 0o644), os.WriteFile(filepath.Join(dir, "rollcall.yml"), []byte(config), 0o644))
}

// cloudproberConfig is the same probes: each target on its own, all of them spread over the interval.
func (b *bench) cloudproberConfig(targets []string, interval time.Duration) []byte {
	port := b.targets.ports["timed"]
	hosts := strings.NewReplacer("http://", "", fmt.Sprintf(":%d", port), "").Replace(strings.Join(targets, ","))
	return fmt.Appendf(nil, `host: "127.0.0.1"
probe {
  name: "bench"
  type: HTTP
  interval_msec: %d
  timeout_msec: %d
  targets { host_names: %q }
  http_probe { port: %d interval_between_targets_msec: 1 }
}
surfacer { type: PROMETHEUS }
`, interval.Milliseconds(), interval.Milliseconds()*9/10, hosts, port)
}

// arrivals are the connections to the timed server since it was asked last.
type arrivals struct {
	Count      int
	Jitter99Ms float64
}

// arrivals asks for them, compared with an interval; at interval 0 the targets forget all connections.
func (b *bench) arrivals(interval time.Duration) (a arrivals, err error) {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/?interval=%s", b.targets.ports["arrivals"], interval))
	if err != nil {
		return a, fmt.Errorf("asking the targets what reached them: %w", err)
	}
	text, err := io.ReadAll(reply.Body)
	return a, errors.Join(err, reply.Body.Close(), json.Unmarshal(text, &a))
}

// pause waits, unless the process ends.
func pause(ctx context.Context, p *process, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
		return fmt.Errorf("%s ended: %s", p.name, p.stderr)
	case <-timer.C:
		return nil
	}
}

func (r *report) scheduleTable(out *bytes.Buffer) {
	if len(r.Scheduled) == 0 {
		return
	}
	table := [][]string{{"exporter", "targets", "interval", "µs per probe", "of the floor", "of cloudprober", "cores", "peak MiB", "jitter p99 ms"}}
	var floor, cloudprober []float64
	for _, s := range r.Scheduled {
		switch s.Exporter {
		case nameFloor:
			floor = append(floor, s.Microsec)
		case nameCloudprober:
			cloudprober = append(cloudprober, s.Microsec)
		}
	}
	seen := map[string]bool{}
	for _, s := range r.Scheduled {
		row := fmt.Sprint(s.Exporter, s.Targets)
		if seen[row] {
			continue
		}
		seen[row] = true
		var micros, cores, peak, jitter []float64
		for _, other := range r.Scheduled {
			if other.Exporter == s.Exporter && other.Targets == s.Targets {
				micros, cores = append(micros, other.Microsec), append(cores, other.Cores)
				peak, jitter = append(peak, float64(other.PeakKB)/1024), append(jitter, other.JitterMs)
			}
		}
		ratios := [2]string{}
		for i, other := range [][]float64{floor, cloudprober} {
			if len(other) == len(micros) && s.Interval == time.Second {
				ratios[i] = number(medianRatio(micros, other), 2)
			}
		}
		table = append(table, []string{
			s.Exporter, fmt.Sprint(s.Targets), s.Interval.String(), number(median(micros), 0), ratios[0], ratios[1], number(median(cores), 2), number(median(peak), 0), number(median(jitter), 1),
		})
	}
	fmt.Fprint(out, "\nProbes by the exporter's own schedule (http); medians of the rounds.\n\n")
	writeTable(out, table)
}

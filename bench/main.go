//go:build linux

// Command bench measures what a probe costs: rollcall, a peer (blackbox_exporter) and the floor (a minimal prober in Go), all
// with the same generator and the same loopback targets, in turns. It checks every reply, so that a fast wrong reply is an
// error, and writes Markdown tables and JSON. It does not pass or fail by the figures: the goals are shown beside them.
//
// Linux only: it reads CPU time and memory of the exporters from the kernel.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the sizes of the measurements.
type options struct {
	rounds    int
	probes    int // per round with 32 connections; a quarter of it with one
	gogc      int
	pacedTime time.Duration
	inFlight  int
	timeout   time.Duration // in the scrape header, for probes in flight
	latency   time.Duration
	linear    int
	soak      int
	simulate  int
	interval  time.Duration // each simulated target is probed once per interval
	// scheduled probes: how many a second, and for how long they are measured
	perSecond    int
	scheduleTime time.Duration
	cloudprober  string // the program to compare with; empty: none
	profileDir   string
}

// smoke sets the shortest measurements that still check every kind of reply.
func (o *options) smoke() {
	o.rounds, o.probes, o.pacedTime = 1, 64, 200*time.Millisecond
	o.inFlight, o.timeout = 100, time.Second
	o.latency, o.linear, o.soak, o.simulate, o.interval = 500*time.Millisecond, 100, 500, 500, time.Second
	o.perSecond, o.scheduleTime = 50, time.Second
}

// bench is one run of the benchmark.
type bench struct {
	options        options
	configFile     string
	peerConfigFile string // without the modules whose probers the peer does not have
	targets        *targets
	exporters      []*exporter
	report         *report
}

// steps are the measurements in their order.
var steps = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"compare", (*bench).compare},
	{"inflight", (*bench).measureInFlight},
	{"latency", (*bench).measureLatency},
	{"linear", ofRollcall((*bench).measureLinearity)},
	{"soak", ofRollcall((*bench).soak)},
	{"simulate", ofRollcall((*bench).simulate)},
	{"schedule", (*bench).measureSchedule},
	{"profile", (*bench).profile},
}

// ofRollcall makes a step that measures rollcall alone, in a fresh process; it does nothing if rollcall is left out.
func ofRollcall(measure func(*bench, context.Context, *exporter) error) func(*bench, context.Context) error {
	return func(b *bench, ctx context.Context) error {
		e := b.find(nameRollcall)
		if e == nil {
			return nil
		}
		if err := e.begin(ctx, b); err != nil {
			return err
		}
		defer e.end()
		return measure(b, ctx, e)
	}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	runtime.LockOSThread() // children are killed when the thread that started them ends; the main thread lives longest
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	o := options{}
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; each measures all exporters in turns")
	flag.IntVar(&o.probes, "probes", 4000, "probes per round with 32 connections; a quarter of it with one")
	flag.IntVar(&o.gogc, "gogc", 100, "GOGC of every exporter")
	flag.DurationVar(&o.pacedTime, "paced", 3*time.Second, "length of a paced round (300 probes per second)")
	flag.IntVar(&o.inFlight, "inflight", 5000, "probes in flight on a silent server")
	flag.DurationVar(&o.timeout, "inflight-timeout", 10*time.Second, "scrape timeout of those probes")
	flag.DurationVar(&o.latency, "latency", 5*time.Second, "length of a run at 2,000 probes per second")
	flag.IntVar(&o.linear, "linear", 10000, "highest number of distinct targets in the linearity case")
	flag.IntVar(&o.soak, "soak", 1000000, "probes over which memory must stay flat")
	flag.IntVar(&o.simulate, "simulate", 100000, "distinct targets of the simulation")
	flag.DurationVar(&o.interval, "interval", time.Minute, "scrape interval of the simulation")
	flag.IntVar(&o.perSecond, "per-second", 500, "probes a second by the exporter's own schedule")
	flag.DurationVar(&o.scheduleTime, "schedule-time", 10*time.Second, "how long they are measured")
	flag.StringVar(&o.cloudprober, "cloudprober", "", "cloudprober binary to measure beside the others in the step schedule (default: none)")
	flag.StringVar(&o.profileDir, "profile", "", "write profiles of rollcall into this directory: CPU, allocations, memory in flight")
	smoke := flag.Bool("smoke", false, "one short round of everything, to check all replies")
	only := flag.String("only", "", "steps to run, comma-separated (default all): "+stepNames())
	without := flag.String("without", "", "exporters to leave out, comma-separated: rollcall, blackbox, floor")
	rollcall := flag.String("rollcall", "", "rollcall binary to measure (default: built from this module)")
	peer := flag.String("blackbox", "", "blackbox_exporter binary (default: Debian's "+peerPackage+", unpacked if it is not installed)")
	jsonFile := flag.String("json", "bench/results/latest.json", "file for the figures as JSON; empty: none")
	flag.Parse()
	if *smoke {
		o.smoke()
	}
	chosen, err := chooseSteps(*only, o.profileDir != "")
	if err != nil {
		return err
	}

	dir, err := os.MkdirTemp("", "rollcall-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o}
	defer b.close()
	if err := b.prepare(ctx, dir, *rollcall, *peer, strings.Split(*without, ",")); err != nil {
		return err
	}
	var failed error
	for _, step := range chosen {
		log.Printf("%s …", steps[step].name)
		if err := steps[step].run(b, ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", steps[step].name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed, b.write(os.Stdout, *jsonFile)) // what was measured is not lost
}

func stepNames() string {
	var names []string
	for _, s := range steps {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// chooseSteps turns the names of steps into their indices; no names mean all, with the profile only if wanted.
func chooseSteps(only string, profile bool) ([]int, error) {
	wanted := make(map[string]bool)
	for name := range strings.SplitSeq(only, ",") {
		if name != "" {
			wanted[name] = true
		}
	}
	all := len(wanted) == 0
	var chosen []int
	for i, s := range steps {
		if wanted[s.name] || all && (s.name != "profile" || profile) {
			chosen = append(chosen, i)
		}
		delete(wanted, s.name)
	}
	for name := range wanted {
		return nil, fmt.Errorf("the step %q is unknown; accepted: %s", name, stepNames())
	}
	return chosen, nil
}

// prepare builds missing programs and starts the targets. The steps start the exporters.
func (b *bench) prepare(ctx context.Context, dir, rollcall, peer string, without []string) error {
	descriptors, err := raiseDescriptorLimit(uint64(3*b.options.inFlight + 4096))
	if err != nil {
		return err
	}
	if need := uint64(2*b.options.inFlight + 256); descriptors < need {
		return fmt.Errorf("only %d open files are allowed and %d are needed; raise the limit (ulimit -Hn) or lower -inflight", descriptors, need)
	}
	program, err := build(ctx, dir, "targets")
	if err != nil {
		return err
	}
	if b.targets, err = startTargets(program, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "socket")); err != nil {
		return err
	}
	b.configFile, b.peerConfigFile = filepath.Join(dir, "modules.yml"), filepath.Join(dir, "peer.yml")
	both := fmt.Appendf(nil, config, b.targets.caFile)
	if err := os.WriteFile(b.peerConfigFile, both, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(b.configFile, append(both, laterConfig...), 0o644); err != nil {
		return err
	}
	b.report = newReport(b.options)
	for _, name := range []string{nameRollcall, nameBlackbox, nameFloor} {
		if slices.Contains(without, name) {
			continue
		}
		program := map[string]string{nameRollcall: rollcall, nameBlackbox: peer}[name]
		switch {
		case program != "":
		case name == nameBlackbox:
			program, err = findPeer(ctx, dir)
		default:
			program, err = build(ctx, dir, name)
		}
		if err != nil {
			return err
		}
		e, err := newExporter(name, program)
		if err != nil {
			return err
		}
		b.exporters = append(b.exporters, e)
		if name != nameFloor {
			b.report.Versions[name] = version(program)
		}
	}
	return nil
}

// find returns the exporter of that name, or nil if it was left out.
func (b *bench) find(name string) *exporter {
	for _, e := range b.exporters {
		if e.name == name {
			return e
		}
	}
	return nil
}

func (b *bench) close() {
	for _, e := range b.exporters {
		e.end()
	}
	if b.targets != nil {
		if err := b.targets.end(); err != nil {
			log.Printf("stopping the targets: %v", err)
		}
	}
}

// write puts the tables on w and the figures into file.
func (b *bench) write(w io.Writer, file string) error {
	if err := b.report.markdown(w); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, append(text, '\n'), 0o644))
}

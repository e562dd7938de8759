// Package past makes up the history of targets and writes it into a storage directory, for tests and pictures of the pages.
package past

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"rollcall/history/store"
	"rollcall/probe"
)

// Target is a target with what is made up about it.
type Target struct {
	probe.Target
	Prober string        // "http", "tcp", "icmp", "dns"
	Usual  time.Duration // its response time
	Expiry time.Time     // of its certificate; zero: none
	// Down are the times in which it is down, Absent those in which it was not probed.
	Down, Absent []Span
	Stage        probe.Stage
	Reason       probe.Reason
	Error        string
}

// Span is a time, as how long ago it began and ended.
type Span struct{ From, To time.Duration }

func within(spans []Span, ago time.Duration) bool {
	for _, s := range spans {
		if ago <= s.From && ago >= s.To {
			return true
		}
	}
	return false
}

// Write keeps what was found about targets in the time up to now, as if a rollcall had run with that storage directory.
func Write(ctx context.Context, dir string, targets []Target, length time.Duration, now time.Time) error {
	kept := store.New(store.Options{Dir: dir})
	configured := make([]*probe.Target, len(targets))
	for i := range targets {
		configured[i] = &targets[i].Target
	}
	kept.Apply(configured)
	running, stop := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { kept.Run(running) })
	defer run.Wait()
	defer stop()
	if err := kept.Flush(ctx); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const day = 24 * time.Hour
	for from := length; from > 0; from -= day { // by days: the store's queue is bounded
		queued := 0
		for i := range targets {
			t := &targets[i]
			offset := time.Duration(i) * 7919 * time.Millisecond % t.Interval
			for ago := from; ago > max(from-day, 0); ago -= t.Interval {
				if within(t.Absent, ago) {
					continue
				}
				kept.Observe(t.record(rng, now.Add(-ago+offset-t.Interval), within(t.Down, ago)))
				if queued++; queued%20_000 == 0 {
					if err := kept.Flush(ctx); err != nil {
						return err
					}
				}
			}
		}
		if err := kept.Flush(ctx); err != nil {
			return err
		}
	}
	if dropped := kept.Stats().Dropped; dropped > 0 {
		return fmt.Errorf("%d results were dropped", dropped)
	}
	return nil
}

// record is one result: the response time has a daily rhythm, and now and then it is slow.
func (t *Target) record(rng *rand.Rand, at time.Time, down bool) *probe.Record {
	hour := float64(at.UTC().Hour()) + float64(at.UTC().Minute())/60
	factor := 1 + 0.25*math.Sin((hour-9)/24*2*math.Pi) + 0.12*rng.NormFloat64()
	if rng.IntN(40) == 0 {
		factor += rng.ExpFloat64()
	}
	took := time.Duration(float64(t.Usual) * max(factor, 0.3))
	r := &probe.Record{
		Module: t.Module, Prober: t.Prober, Target: t.Target.Target, Hostname: t.Hostname, Timeout: 10 * time.Second, Scheduled: true,
		Result: probe.Result{Start: at, Resolve: &probe.Resolve{Duration: took / 20, Addr: netip.MustParseAddr("192.0.2.17")}},
	}
	r.Result.Phases = probe.Phases{Resolve: took / 20, Connect: took / 6}
	switch t.Prober {
	case "http":
		r.Result.HTTP = &probe.HTTPFacts{Hops: 1, StatusCode: 200, VersionMajor: 2, ContentLength: 12873, UncompressedBodyLength: 12873, FinalURL: t.Target.Target}
		r.Result.Phases.Processing, r.Result.Phases.Transfer = took*2/5, took/12
	case "tcp":
		r.Result.TCP = new(probe.TCPFacts)
	case "icmp":
		r.Result.ICMP = &probe.ICMPFacts{HopLimit: 57}
		r.Result.Phases = probe.Phases{Resolve: took / 20, Processing: took * 19 / 20}
	}
	if !t.Expiry.IsZero() {
		r.Result.TLS = &probe.TLSFacts{Version: 0x304, CipherSuite: 0x1301, EarliestExpiry: t.Expiry, ChainExpiry: t.Expiry}
		r.Result.TLS.Leaf = probe.CertificateFacts{Subject: "CN=" + t.Title(), Issuer: "CN=Example CA", FingerprintSHA256: "9f2c41d07ab35e8861c2f0d94b7ae3159f2c41d07ab35e8861c2f0d94b7ae315"}
		r.Result.Phases.TLS = took / 4
	}
	p := r.Result.Phases
	r.Result.Duration = p.Resolve + p.Connect + p.TLS + p.Processing + p.Transfer
	if down {
		t.fail(&r.Result)
	}
	return r
}

func (t *Target) fail(r *probe.Result) {
	r.Failure = &probe.Failure{Stage: t.Stage, Reason: t.Reason, Err: errors.New(t.Error)}
	switch {
	case t.Reason == probe.ReasonStatusCode:
		r.HTTP.StatusCode = 503
	case t.Stage == probe.StageConnect:
		r.HTTP, r.TLS, r.TCP = nil, nil, nil
		r.Phases.TLS, r.Phases.Processing, r.Phases.Transfer = 0, 0, 0
	}
	if t.Reason == probe.ReasonTimeout {
		r.Duration = 10 * time.Second
	}
}

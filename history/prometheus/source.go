// Package prometheus reads history from a Prometheus-compatible server that scrapes /metrics/targets of one or many
// Rollcalls, by its query API. It keeps nothing but the last answers for a minute.
//
// It counts scraped samples, not probes: each is the last verdict at its time. A sample of
// rollcall_target_interval_seconds without one of probe_success is unknown, and so is a time in which there are fewer
// samples than in the fullest bucket of the same answer. Samples of several Rollcalls for a target are counted together.
// Incidents begin and end on whole minutes, and end when the target is up or unknown.
package prometheus

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	apiv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"rollcall/history"
	"rollcall/probe"
	"rollcall/redact"
)

// Options are a Source's.
type Options struct {
	URL    string        // of the server, with its path prefix if it has one
	Client *http.Client  // with credentials, TLS and proxy as configured; nil: http.DefaultClient
	Lag    time.Duration // how far back the last sample of a target is looked for; 0: 5 minutes
	// Redact takes secrets of Client out of a text that quotes the server; nil: there are none.
	Redact func(text string) string
}

// Source is a history.Source. Many goroutines may use it at once.
type Source struct {
	api    apiv1.API
	lag    time.Duration
	redact func(text string) string

	mu       sync.Mutex
	targets  map[string]*probe.Target // of Apply, by ID
	cache    map[history.Range]cached
	problem  error
	since    time.Time
	building sync.Mutex // held while an overview is made: the others wait for it
}

// cached is an overview and when it was made.
type cached struct {
	overview history.Overview
	at       time.Time
}

// cacheFor is how long an overview is shown.
const cacheFor = 30 * time.Second

// queryTimeout bounds a query when the caller's ctx does not.
const queryTimeout = 30 * time.Second

var _ history.Source = (*Source)(nil)

// New returns a source. Nothing is asked of the server yet; the error is about the URL.
func New(o Options) (*Source, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("history: %q is no URL of a server; accepted: http://host:port and https://host", o.URL)
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	client, err := api.NewClient(api.Config{Address: o.URL, Client: o.Client})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if o.Lag <= 0 {
		o.Lag = 5 * time.Minute
	}
	return &Source{
		api: apiv1.NewAPI(client), lag: o.Lag, redact: o.Redact,
		targets: make(map[string]*probe.Target), cache: make(map[history.Range]cached),
	}, nil
}

// Apply gives names, groups and labels to the targets that are configured here. The server may know others.
func (s *Source) Apply(targets []*probe.Target) {
	byID := make(map[string]*probe.Target, len(targets))
	for _, t := range targets {
		byID[t.ID()] = t.Redacted()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets = byID
	clear(s.cache)
}

// Status implements history.Source.
func (s *Source) Status() history.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := history.Status{Kind: "prometheus"}
	if s.problem != nil {
		status.Problem, status.Since = s.problem.Error(), s.since
	}
	return status
}

// note remembers how the last query went.
func (s *Source) note(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.problem = nil
		return nil
	}
	err = fmt.Errorf("asking the history of %w", err)
	if s.redact != nil {
		err = redact.WithText(err, s.redact(err.Error()))
	}
	if s.problem == nil {
		s.since = time.Now()
	}
	s.problem = err
	return err
}

func keyOf(m model.Metric) probe.Key {
	return probe.Key{Module: string(m["module"]), Target: string(m["target"]), Hostname: string(m["hostname"])}
}

// selector selects a family's series: of one target, or of all that rollcall probes.
func selector(family string, of probe.Key) string {
	if of == (probe.Key{}) {
		return family + `{module!="",target!=""}`
	}
	return fmt.Sprintf(`%s{module=%q,target=%q,hostname=%q}`, family, of.Module, of.Target, of.Hostname) // "": without the label
}

// byTarget aggregates over the Rollcalls that probe a target.
func byTarget(aggregation, expression string, labels ...string) string {
	return fmt.Sprintf("%s by (%s) (%s)", aggregation, strings.Join(append([]string{"module", "target", "hostname"}, labels...), ","), expression)
}

// over applies a function over a time to a selector.
func over(function, selector string, span time.Duration) string {
	return fmt.Sprintf("%s(%s[%s])", function, selector, model.Duration(span))
}

func (s *Source) instant(ctx context.Context, query string, at time.Time) (model.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	value, _, _, err := s.api.Query(ctx, query, at)
	return value, s.note(err)
}

// answer is what a query was answered with, if it is of the type that was expected.
func answer[T model.Value](value model.Value, err error) (T, error) {
	typed, ok := value.(T)
	if err == nil && !ok {
		err = fmt.Errorf("the server answered with a %T", value)
	}
	return typed, err
}

// vector asks for one value of each series.
func (s *Source) vector(ctx context.Context, query string, at time.Time) (model.Vector, error) {
	return answer[model.Vector](s.instant(ctx, query, at))
}

// samples asks for the samples of the series in a time as they were scraped.
func (s *Source) samples(ctx context.Context, selector string, from, to time.Time) (model.Matrix, error) {
	span := to.Sub(from).Truncate(time.Millisecond)
	return answer[model.Matrix](s.instant(ctx, fmt.Sprintf("%s[%s]", selector, model.Duration(span)), to.Add(-time.Millisecond)))
}

// matrix asks for a value of each series at each step; a step's value stands at its end.
func (s *Source) matrix(ctx context.Context, query string, from, to time.Time, step time.Duration) (model.Matrix, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	value, _, _, err := s.api.QueryRange(ctx, query, apiv1.Range{Start: from, End: to, Step: step})
	return answer[model.Matrix](value, s.note(err))
}

// intervals asks for the intervals of all targets that the server has seen lately.
func (s *Source) intervals(ctx context.Context, now time.Time, lately time.Duration) (model.Vector, error) {
	return s.vector(ctx, byTarget("max", over("last_over_time", selector("rollcall_target_interval_seconds", probe.Key{}), lately)), now)
}

func seconds(v model.SampleValue) time.Duration {
	return time.Duration(float64(v) * float64(time.Second))
}

func earlier(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }

func later(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }

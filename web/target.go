package web

import (
	"context"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/history"
	"rollcall/probe"
	"rollcall/report"
	"rollcall/web/chart"
)

// What a target's page lists.
const (
	maxResults         = 15
	maxTargetIncidents = 20
)

// targetPage is the page of one target.
type targetPage struct {
	frame
	targetRow
	Group, Hostname, Interval string
	Labels                    []label
	Range                     history.Range
	RangeName                 string
	Ranges                    []choice
	Uptimes                   []uptimeOf
	BigBeats                  template.HTML
	From                      *moment // start of the bar
	Response, Phases          chart.Plot
	P50, P95                  string
	LastPhases                template.HTML
	PhaseList                 []phaseRow
	Incidents                 []incidentRow
	Results                   []resultRow
	CertExpiry                *moment
	CertificateRows           []report.Row
	MetricsLink               string

	key probe.Key
}

type label struct{ Name, Value string }

// uptimeOf is the uptime over a range.
type uptimeOf struct{ Name, Uptime, UnknownShare string }

// phaseRow is a phase of the last probe.
type phaseRow struct {
	Class, Name, Took string
}

// resultRow is one turn.
type resultRow struct {
	Time   *moment
	State  history.State
	Reason string
	Took   string
	Status int   // HTTP's; 0: none
	ID     int64 // of the result that is kept with its steps; 0: none
}

// target answers /target/{id}.
func (s site) target(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	fr := s.frame("Target", "targets", 1, now)
	rng, err := parseRange(r.URL.Query(), history.Range24h)
	if err != nil {
		s.fail(w, r, fr, badRequest{err})
		return
	}
	p := targetPage{frame: fr, Range: rng, RangeName: rangeName(rng)}
	if err := p.read(r.Context(), s.options.History(), r.PathValue("id"), now); err != nil {
		s.fail(w, r, fr, inWords(err, noSuchTarget))
		return
	}
	p.watch(s.options.History().Status(), now)
	if s.admin {
		p.link(s.recent)
	}
	s.render(w, http.StatusOK, "target.html", &p)
}

// read fills the page from the history.
func (p *targetPage) read(ctx context.Context, h history.Source, id string, now time.Time) error {
	for _, r := range history.Ranges() {
		sum, err := h.Target(ctx, id, r)
		if err != nil {
			return err
		}
		if r == p.Range {
			p.describe(&sum, now)
		}
		p.Ranges = append(p.Ranges, choice{Name: rangeName(r), Selected: r == p.Range, Link: "?range=" + string(r)})
		p.Uptimes = append(p.Uptimes, uptimeOf{rangeName(r), uptime(sum.Counts), unknownShare(sum.Counts)})
	}
	from, to := p.Range.Span(now)
	series, err := h.Series(ctx, id, from, to, seriesStep(p.Range))
	if err != nil {
		return err
	}
	p.P50, p.P95 = tookOrNone(series.P50), tookOrNone(series.P95)
	p.Response, p.Phases = chart.Response(series), chart.Phases(series)
	incidents, err := h.Incidents(ctx, history.IncidentFilter{TargetID: id}, time.Time{}, time.Time{}, maxTargetIncidents)
	if err != nil {
		return err
	}
	for i := range incidents {
		p.Incidents = append(p.Incidents, newIncidentRow(&incidents[i], p.Root, now))
	}
	results, err := h.Results(ctx, id, now.Add(-90*24*time.Hour), now.Add(time.Hour), maxResults)
	if err != nil {
		return err
	}
	for i := range results {
		p.Results = append(p.Results, newResultRow(&results[i], now))
	}
	return nil
}

// describe fills in what the target is and how it is now.
func (p *targetPage) describe(sum *history.Summary, now time.Time) {
	p.targetRow = newTargetRow(sum, now)
	p.Title = p.Name
	t := &sum.Target
	p.key = t.Key()
	p.Target = report.Printable(t.Target)
	p.Group, p.Hostname = report.Printable(t.Group), report.Printable(t.Hostname)
	if t.Interval > 0 {
		p.Interval = whole(t.Interval)
	}
	t.Labels.Range(func(l labels.Label) {
		if l.Name != "name" && l.Name != "group" { // they are shown already
			p.Labels = append(p.Labels, label{report.Printable(l.Name), report.Printable(l.Value)})
		}
	})
	from, _ := p.Range.Span(now)
	_, step := p.Range.Buckets()
	p.From = newMoment(from, now)
	p.BigBeats = chart.BigBeats(sum.Buckets, from, step)
	p.CertExpiry = newMoment(sum.Last.CertExpiry, now)
	p.LastPhases = chart.PhaseBar(sum.Last.Phases)
	p.PhaseList = phaseRows(sum.Last.Phases)
	p.MetricsLink = "../probe?target=" + url.QueryEscape(t.Target) + "&module=" + url.QueryEscape(t.Module)
}

func phaseRows(p probe.Phases) (rows []phaseRow) {
	for i, phase := range []struct {
		name string
		took time.Duration
	}{{"resolve", p.Resolve}, {"connect", p.Connect}, {"TLS", p.TLS}, {"processing", p.Processing}, {"transfer", p.Transfer}} {
		if phase.took > 0 {
			rows = append(rows, phaseRow{"phase" + strconv.Itoa(i), phase.name, took(phase.took)})
		}
	}
	return rows
}

// link finds the results that are kept with their steps, and what is known of the certificate.
func (p *targetPage) link(recent *recentResults) {
	ids := map[string]int64{}
	for _, r := range recent.latest(math.MaxInt) {
		if r.record.Key().Redacted() != p.key {
			continue
		}
		ids[r.record.Result.Start.UTC().Format(time.RFC3339)] = r.id
		if len(p.CertificateRows) == 0 {
			p.CertificateRows = report.Certificate(&r.record.Result).Rows
		}
	}
	for i := range p.Results {
		p.Results[i].ID = ids[p.Results[i].Time.Machine]
	}
}

func newResultRow(r *history.Result, now time.Time) resultRow {
	return resultRow{Time: newMoment(r.Time, now), State: r.State, Reason: why(r.Stage, r.Reason), Took: tookOrNone(r.Duration), Status: r.StatusCode}
}

// seriesStep cuts a range into about 100 to 180 steps, for which there are rollups.
func seriesStep(r history.Range) time.Duration {
	switch r {
	case history.Range7d:
		return time.Hour
	case history.Range30d:
		return 4 * time.Hour
	case history.Range90d:
		return 24 * time.Hour
	default:
		return 10 * time.Minute
	}
}

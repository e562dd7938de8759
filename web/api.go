package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/history"
)

// The JSON of /api/v1. docs/reference.md describes each field; durations are in seconds and times are RFC 3339 in UTC.

type apiTarget struct {
	ID          string        `json:"id"`
	Name        string        `json:"name"`
	Target      string        `json:"target"`
	Module      string        `json:"module"`
	Hostname    string        `json:"hostname,omitempty"`
	Group       string        `json:"group,omitempty"`
	Labels      labels.Labels `json:"labels,omitzero"`
	Interval    float64       `json:"interval_seconds"`
	State       history.State `json:"state"`
	Since       *time.Time    `json:"since"`
	Stage       string        `json:"stage,omitempty"`
	Reason      string        `json:"reason,omitempty"`
	Incident    string        `json:"incident,omitempty"`
	LastProbe   *time.Time    `json:"last_probe"`
	Duration    *float64      `json:"duration_seconds"`
	Typical     *float64      `json:"typical_duration_seconds"`
	Certificate *time.Time    `json:"certificate_expiry"`
	apiCounts
}

type apiCounts struct {
	Up      uint32   `json:"up"`
	Down    uint32   `json:"down"`
	Unknown uint32   `json:"unknown"`
	Uptime  *float64 `json:"uptime"`
}

// apiResults are single results, or with a step sums.
type apiResults struct {
	ID      string      `json:"id"`
	Points  []apiPoint  `json:"points,omitzero"`
	Results []apiResult `json:"results,omitzero"`
	Step    float64     `json:"step_seconds,omitzero"`
}

type apiPoint struct {
	Time   time.Time `json:"time"`
	Min    *float64  `json:"min_seconds"`
	Mean   *float64  `json:"mean_seconds"`
	Median *float64  `json:"median_seconds"`
	P95    *float64  `json:"p95_seconds"`
	Max    *float64  `json:"max_seconds"`
	apiCounts
}

type apiResult struct {
	Time        time.Time     `json:"time"`
	State       history.State `json:"state"`
	Duration    *float64      `json:"duration_seconds"`
	Stage       string        `json:"stage,omitempty"`
	Reason      string        `json:"reason,omitempty"`
	StatusCode  int           `json:"status_code,omitempty"`
	Certificate *time.Time    `json:"certificate_expiry,omitempty"`
}

type apiIncident struct {
	ID       string     `json:"id"`
	TargetID string     `json:"target_id"`
	Name     string     `json:"name"`
	Target   string     `json:"target"`
	Module   string     `json:"module"`
	From     time.Time  `json:"from"`
	To       *time.Time `json:"to"`
	Last     time.Time  `json:"last_failure"`
	Stage    string     `json:"stage"`
	Reason   string     `json:"reason"`
	Failures int        `json:"failures,omitempty"`
	Opinion  string     `json:"second_opinion,omitempty"`
	Link     string     `json:"link"`
}

func newAPICounts(c history.Counts) apiCounts {
	counts := apiCounts{Up: c.Up, Down: c.Down, Unknown: c.Unknown}
	if ratio, ok := c.Uptime(); ok {
		counts.Uptime = &ratio
	}
	return counts
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func optionalSeconds(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	seconds := d.Seconds()
	return &seconds
}

// api answers with what handle returns.
func api(handle func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		reply, err := handle(r)
		answer(w, r, reply, err)
	}
}

// answer writes reply as JSON, or err.
func answer(w http.ResponseWriter, r *http.Request, reply any, err error) {
	var body []byte
	if err == nil {
		body, err = json.Marshal(reply)
	}
	if err == nil {
		writeTagged(w, r, "application/json", append(body, '\n'))
		return
	}
	err = inWords(err, noSuchTarget)
	body, _ = json.Marshal(map[string]string{"error": err.Error()}) // a string can be encoded
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(errorStatus(err, http.StatusServiceUnavailable))
	_, _ = w.Write(append(body, '\n')) // an error means that the client has gone
}

// apiTargets answers /api/v1/targets.
func (s *Server) apiTargets(r *http.Request) (any, error) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		return nil, badRequest{err}
	}
	o, err := s.options.History().Overview(r.Context(), f.Range)
	if err != nil {
		return nil, err
	}
	targets := []apiTarget{}
	for _, sum := range f.selectFrom(o.Targets) {
		targets = append(targets, newAPITarget(sum))
	}
	return map[string]any{"range": f.Range, "targets": targets}, nil
}

func newAPITarget(s *history.Summary) apiTarget {
	t := apiTarget{
		ID: s.ID, Name: s.Target.Title(), Target: s.Target.Target, Module: s.Target.Module, Hostname: s.Target.Hostname, Group: s.Target.Group,
		Labels: s.Target.Labels, Interval: s.Target.Interval.Seconds(), State: s.State, Since: optionalTime(s.Since), Incident: s.Incident,
		LastProbe: optionalTime(s.Last.Time), Duration: optionalSeconds(s.Last.Duration), Typical: optionalSeconds(s.Typical),
		Certificate: optionalTime(s.Last.CertExpiry), apiCounts: newAPICounts(s.Counts),
	}
	if s.State == history.StateDown {
		t.Stage, t.Reason = string(s.Last.Stage), string(s.Last.Reason)
	}
	return t
}

// period is what a request asks for.
type period struct {
	from, to time.Time
	step     time.Duration // 0: none
	limit    int           // 0: the history's own
}

// maxLimit is how many results or incidents one answer has.
const maxLimit = 100_000

func parsePeriod(query url.Values, now time.Time, span time.Duration) (p period, err error) {
	if p.to, err = parseTime(query, "to", now); err != nil {
		return p, err
	}
	usual := time.Time{}
	if span > 0 {
		usual = p.to.Add(-span)
	}
	if p.from, err = parseTime(query, "from", usual); err != nil {
		return p, err
	}
	if !p.to.IsZero() && !p.to.After(p.from) {
		return p, badRequest{errors.New("to is not after from")}
	}
	if text := query.Get("step"); text != "" {
		if p.step, err = parseStep(text); err != nil {
			return p, err
		}
		// Both ends are rounded to whole steps.
		if points := p.to.Sub(p.from)/p.step + 2; points > history.MaxPoints {
			return p, badRequest{fmt.Errorf("this step makes %d points; accepted: up to %d", points, history.MaxPoints)}
		}
	}
	if text := query.Get("limit"); text != "" {
		if p.limit, err = strconv.Atoi(text); err != nil || p.limit < 1 || p.limit > maxLimit {
			return p, badRequest{fmt.Errorf("%q is no limit; accepted: a number from 1 to %d", text, maxLimit)}
		}
	}
	return p, nil
}

// parseTime reads a time: RFC 3339 or Unix seconds.
func parseTime(query url.Values, name string, usual time.Time) (time.Time, error) {
	text := query.Get(name)
	if text == "" {
		return usual, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, badRequest{fmt.Errorf("%s=%q is no time; accepted: RFC 3339, e.g. 2026-01-31T12:00:00Z, or Unix seconds", name, text)}
	}
	return t, nil
}

// parseStep reads a step: a duration or seconds.
func parseStep(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if seconds, numeric := strconv.ParseFloat(text, 64); numeric == nil && seconds < 1e9 {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < time.Second || d%time.Second != 0 {
		return 0, badRequest{fmt.Errorf("step=%q is no step; accepted: a duration of whole seconds, e.g. 5m, or their number", text)}
	}
	return d, nil
}

// results answers /api/v1/targets/{id}/results, as CSV when that is asked for.
func (s *Server) results(w http.ResponseWriter, r *http.Request) {
	format := r.URL.Query().Get("format")
	if format == "" && strings.Contains(r.Header.Get("Accept"), "text/csv") {
		format = "csv"
	}
	if format != "" && format != "json" && format != "csv" {
		answer(w, r, nil, badRequest{fmt.Errorf("%q is no format; accepted: json, csv", format)})
		return
	}
	reply, err := s.readResults(r)
	if format == "csv" && err == nil {
		writeCSV(w, r, reply.rows())
		return
	}
	answer(w, r, reply, err)
}

func (s *Server) readResults(r *http.Request) (reply apiResults, err error) {
	reply.ID = r.PathValue("id")
	p, err := parsePeriod(r.URL.Query(), time.Now(), 24*time.Hour)
	if err != nil {
		return reply, err
	}
	if p.step > 0 {
		series, err := s.options.History().Series(r.Context(), reply.ID, p.from, p.to, p.step)
		reply.Step, reply.Points = series.Step.Seconds(), make([]apiPoint, len(series.Points))
		for i, p := range series.Points {
			reply.Points[i] = apiPoint{
				Time: p.Time.UTC(), Min: optionalSeconds(p.Min), Mean: optionalSeconds(p.Mean), Median: optionalSeconds(p.P50),
				P95: optionalSeconds(p.P95), Max: optionalSeconds(p.Max), apiCounts: newAPICounts(p.Counts),
			}
		}
		return reply, err
	}
	// The results of a target that is not known are no error of theirs.
	if _, err := s.options.History().Target(r.Context(), reply.ID, history.Range24h); err != nil {
		return reply, err
	}
	list, err := s.options.History().Results(r.Context(), reply.ID, p.from, p.to, p.limit)
	reply.Results = make([]apiResult, len(list))
	for i, one := range list {
		reply.Results[i] = apiResult{
			Time: one.Time.UTC(), State: one.State, Duration: optionalSeconds(one.Duration), Stage: string(one.Stage), Reason: string(one.Reason),
			StatusCode: one.StatusCode, Certificate: optionalTime(one.CertExpiry),
		}
	}
	return reply, err
}

// apiIncidents answers /api/v1/incidents.
func (s *Server) apiIncidents(r *http.Request) (any, error) {
	query := r.URL.Query()
	p, err := parsePeriod(query, time.Time{}, 0)
	if err != nil {
		return nil, err
	}
	open := query.Get("open")
	if open != "" && open != "true" && open != "false" {
		return nil, badRequest{fmt.Errorf("open=%q; accepted: true, false", open)}
	}
	filter := history.IncidentFilter{TargetID: query.Get("target"), Open: open == "true"}
	list, err := s.options.History().Incidents(r.Context(), filter, p.from, p.to, p.limit)
	if err != nil {
		return nil, err
	}
	incidents := make([]apiIncident, len(list))
	for i := range list {
		one := &list[i]
		incidents[i] = apiIncident{
			ID: one.ID, TargetID: one.TargetID, Name: one.Target.Title(), Target: one.Target.Target, Module: one.Target.Module,
			From: one.From.UTC(), To: optionalTime(one.To), Last: one.Last.UTC(), Stage: string(one.Stage), Reason: string(one.Reason),
			Failures: one.Failures, Opinion: one.Opinion, Link: s.base() + "/incident/" + one.ID,
		}
	}
	return map[string]any{"incidents": incidents}, nil
}

package web

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/history"
)

// resultsCSV answers with the fields of the JSON as lines: single results, or with a step sums.
func (s *Server) resultsCSV(w http.ResponseWriter, r *http.Request) {
	rows, err := s.resultRows(r)
	if err != nil {
		s.api(func(*http.Request) (any, error) { return nil, err })(w, r)
		return
	}
	var b strings.Builder
	_ = csv.NewWriter(&b).WriteAll(rows) // a Builder does not fail
	w.Header().Set("Content-Disposition", `inline; filename="results.csv"`)
	writeTagged(w, r, "text/csv; charset=utf-8", []byte(b.String()))
}

func (s *Server) resultRows(r *http.Request) (rows [][]string, err error) {
	p, err := parsePeriod(r.URL.Query(), time.Now(), 24*time.Hour)
	if err != nil {
		return nil, err
	}
	if p.step > 0 {
		series, err := s.options.History.Series(r.Context(), r.PathValue("id"), p.from, p.to, p.step)
		rows = append(rows, strings.Split("time,min_seconds,mean_seconds,median_seconds,p95_seconds,max_seconds,up,down,unknown,uptime", ","))
		for i := range series.Points {
			rows = append(rows, pointRow(&series.Points[i]))
		}
		return rows, err
	}
	list, err := s.resultList(r, p)
	rows = append(rows, strings.Split("time,state,duration_seconds,stage,reason,status_code,certificate_expiry", ","))
	for i := range list {
		one := &list[i]
		expiry, status := "", ""
		if !one.CertExpiry.IsZero() {
			expiry = one.CertExpiry.UTC().Format(time.RFC3339)
		}
		if one.StatusCode != 0 {
			status = strconv.Itoa(one.StatusCode)
		}
		rows = append(rows, []string{
			one.Time.UTC().Format(time.RFC3339Nano), string(one.State), secondsOrNone(one.Duration), string(one.Stage), string(one.Reason), status, expiry,
		})
	}
	return rows, err
}

func pointRow(p *history.Point) []string {
	uptime := ""
	if ratio, ok := p.Counts.Uptime(); ok {
		uptime = strconv.FormatFloat(ratio, 'f', -1, 64)
	}
	row := []string{p.Time.UTC().Format(time.RFC3339Nano)}
	for _, d := range []time.Duration{p.Min, p.Mean, p.P50, p.P95, p.Max} {
		row = append(row, secondsOrNone(d))
	}
	for _, n := range []uint32{p.Counts.Up, p.Counts.Down, p.Counts.Unknown} {
		row = append(row, strconv.FormatUint(uint64(n), 10))
	}
	return append(row, uptime)
}

func secondsOrNone(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

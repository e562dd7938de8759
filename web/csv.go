package web

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func writeCSV(w http.ResponseWriter, r *http.Request, rows [][]string) {
	var b strings.Builder
	_ = csv.NewWriter(&b).WriteAll(rows) // a Builder does not fail
	w.Header().Set("Content-Disposition", `inline; filename="results.csv"`)
	writeTagged(w, r, "text/csv; charset=utf-8", []byte(b.String()))
}

// rows are the fields of the JSON as lines, below their names.
func (a *apiResults) rows() [][]string {
	if a.Points != nil {
		rows := [][]string{strings.Split("time,min_seconds,mean_seconds,median_seconds,p95_seconds,max_seconds,up,down,unknown,uptime", ",")}
		for _, p := range a.Points {
			rows = append(rows, []string{
				p.Time.Format(time.RFC3339Nano), decimal(p.Min), decimal(p.Mean), decimal(p.Median), decimal(p.P95), decimal(p.Max),
				strconv.Itoa(int(p.Up)), strconv.Itoa(int(p.Down)), strconv.Itoa(int(p.Unknown)), decimal(p.Uptime),
			})
		}
		return rows
	}
	rows := [][]string{strings.Split("time,state,duration_seconds,stage,reason,status_code,certificate_expiry", ",")}
	for _, one := range a.Results {
		expiry, status := "", ""
		if one.Certificate != nil {
			expiry = one.Certificate.Format(time.RFC3339)
		}
		if one.StatusCode != 0 {
			status = strconv.Itoa(one.StatusCode)
		}
		rows = append(rows, []string{one.Time.Format(time.RFC3339Nano), string(one.State), decimal(one.Duration), one.Stage, one.Reason, status, expiry})
	}
	return rows
}

// decimal writes a number without an exponent; nil: none.
func decimal(n *float64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatFloat(*n, 'f', -1, 64)
}

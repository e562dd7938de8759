package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/probe"
	"rollcall/redact"
	"rollcall/report"
)

// maxRows is how many recent probes are listed.
const maxRows = 200

// probesPage has the form for a probe and the recent ones.
type probesPage struct {
	frame
	Modules []module
	Rows    []row
}

// module is one of the configuration.
type module struct {
	Name     string
	Unusable []string // why it cannot be used; none: it can
}

// modules lists the modules in the order of the file.
func modules(c Config) (all []module) {
	for _, name := range c.Names() {
		m := module{Name: name}
		_, err := c.Module(name)
		if unusable := (*probe.UnusableModule)(nil); errors.As(err, &unusable) {
			m.Unusable = strings.Split(unusable.Err.Error(), "\n")
		}
		all = append(all, m)
	}
	return all
}

// row is one result in the table.
type row struct {
	Link   string // to its page
	Time   *moment
	Module string
	Target string
	Up     bool
	Reason string
	Took   string
}

// probes answers /probes.
func (s site) probes(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	p := probesPage{frame: s.frame("Probes", "probes", 0, now), Modules: modules(s.options.Current())}
	for _, kept := range s.recent.latest(maxRows) {
		p.Rows = append(p.Rows, newRow(&kept, s.admin, now))
	}
	s.render(w, http.StatusOK, "probes.html", &p)
}

// newRow links to the steps, or to the page of a configured target: with many of them a result is soon replaced by newer ones.
func newRow(kept *result, admin bool, now time.Time) row {
	record := kept.record
	r := row{
		Time: newMoment(record.Result.Start, now), Module: record.Module,
		Target: report.Printable(redact.Target(record.Target)), Up: record.Result.Up(), Took: took(record.Result.Duration),
	}
	switch {
	case record.Scheduled:
		r.Link = "target/" + record.Key().ID()
	case admin:
		r.Link = "logs?id=" + strconv.FormatInt(kept.id, 10)
	}
	if f := record.Result.Failure; f != nil {
		r.Reason = why(f.Stage, f.Reason)
	}
	return r
}

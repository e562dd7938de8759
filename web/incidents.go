package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rollcall/history"
	"rollcall/probe"
	"rollcall/report"
)

// maxIncidents is how many the page and the feed list.
const maxIncidents = 100

// incidentRow is an incident in a list.
type incidentRow struct {
	TargetID, Name, Target, Module string
	From, To                       *moment // To nil: open
	Open, Left                     bool
	Took, Reason                   string
	Link                           string
	Failures                       int
}

// newIncidentRow makes a row of a page whose root is that.
func newIncidentRow(i *history.Incident, root string, now time.Time) incidentRow {
	row := incidentRow{
		TargetID: i.TargetID, Module: report.Printable(i.Target.Module),
		From: newMoment(i.From, now), To: newMoment(i.To, now), Open: i.To.IsZero(), Left: i.Left, Took: span(i.Duration(now)),
		Link: root + "incident/" + i.ID, Reason: why(i.Stage, i.Reason), Failures: i.Failures,
	}
	row.Name, row.Target = names(&i.Target)
	return row
}

// incidentsPage lists incidents.
type incidentsPage struct {
	frame
	Open, Ended []incidentRow
	More        bool // there are older ones
}

// incidents answers /incidents.
func (s site) incidents(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	p := incidentsPage{frame: s.frame("Incidents", "incidents", 0, now)}
	p.watch(s.options.History().Status(), now)
	list, err := s.options.History().Incidents(r.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, maxIncidents+1)
	if err != nil {
		p.Notice = err.Error()
	}
	if len(list) > maxIncidents {
		p.More, list = true, list[:maxIncidents]
	}
	for i := range list {
		if row := newIncidentRow(&list[i], p.Root, now); row.Open {
			p.Open = append(p.Open, row)
		} else {
			p.Ended = append(p.Ended, row)
		}
	}
	s.render(w, http.StatusOK, "incidents.html", &p)
}

// incidentPage is one incident with its evidence.
type incidentPage struct {
	frame
	incidentRow
	Last       *moment
	Opinion    string        // of witnesses; empty: none
	Evidence   *evidenceView // nil: none is kept, or not shown on this address
	Good       *evidenceView
	EvidenceOf string
	NoEvidence string // why there is none; empty: there is, or EvidenceOf has it
}

// evidenceView is what one probe saw.
type evidenceView struct {
	Heading  string
	Time     *moment
	Sections []report.Section
	Steps    []stepRow
}

type stepRow struct{ At, Text string }

// incident answers /incident/{id}.
func (s site) incident(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	fr := s.frame("Incident", "incidents", 1, now)
	i, err := s.options.History().Incident(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, fr, inWords(err, "no incident has this ID, or it is no longer kept"))
		return
	}
	p := incidentPage{frame: fr, incidentRow: newIncidentRow(&i, fr.Root, now), Last: newMoment(i.Last, now), EvidenceOf: i.EvidenceOf, Opinion: i.Opinion}
	p.watch(s.options.History().Status(), now)
	p.Title = "Incident of " + p.Name
	if s.admin { // it says as much as /logs
		p.Evidence = newEvidenceView("First failing probe", i.Evidence, now)
		p.Good = newEvidenceView("Last good probe before it", i.Good, now)
	}
	switch {
	case p.Evidence != nil || p.EvidenceOf != "":
	case s.options.History().Status().Kind == "prometheus":
		p.NoEvidence = "What the probes saw is kept by the Rollcall that probes, not by the server from which this history is read."
	case !s.admin:
		p.NoEvidence = "What the probes saw is shown on the administrator's address."
	default:
		p.NoEvidence = "What the probes saw is no longer kept."
	}
	s.render(w, http.StatusOK, "incident.html", &p)
}

func newEvidenceView(heading string, e *history.Evidence, now time.Time) *evidenceView {
	if e == nil {
		return nil
	}
	record := probe.Record{Prober: e.Prober, Timeout: e.Timeout, Result: probe.Result{
		Start: e.Time, Duration: e.Duration, Phases: e.Phases,
		HTTP: e.HTTP, TCP: e.TCP, ICMP: e.ICMP, DNS: e.DNS, GRPC: e.GRPC, WebSocket: e.WebSocket, TLS: e.TLS,
	}}
	if dialled, err := netip.ParseAddr(e.Address); err == nil {
		record.Result.Resolve = &probe.Resolve{Addr: dialled, All: e.Addresses}
	}
	if e.Stage != "" {
		record.Result.Failure = &probe.Failure{Stage: e.Stage, Reason: e.Reason, Err: errors.New(e.Error)}
	}
	v := &evidenceView{Heading: heading, Time: newMoment(e.Time, now), Sections: report.Sections(&record)}
	for i, c := range e.Chain {
		v.Sections = append(v.Sections, certificateSection(fmt.Sprintf("Certificate %d of %d, as presented", i+1, len(e.Chain)), c))
	}
	if e.TLS != nil && e.TLS.Leaf.FingerprintSHA256 != "" && len(e.Chain) == 0 {
		n := slices.IndexFunc(v.Sections, func(s report.Section) bool { return s.Title == report.CertificateTitle })
		v.Sections[n].AddText("SHA-256", grouped(e.TLS.Leaf.FingerprintSHA256))
	}
	for _, step := range e.Steps {
		v.Steps = append(v.Steps, stepRow{took(step.Time.Sub(e.Time)), report.Printable(step.Text)})
	}
	return v
}

func certificateSection(title string, c history.Certificate) report.Section {
	s := report.Section{Title: title}
	s.AddText("subject", c.Facts.Subject)
	s.AddText("names", c.Facts.SubjectAlternative)
	s.AddText("issuer", c.Facts.Issuer)
	s.AddTime("valid from", c.Start)
	s.AddTime("expires", c.Expiry)
	s.AddText("serial", c.Facts.SerialNumber)
	s.AddText("SHA-256", grouped(c.Facts.FingerprintSHA256))
	return s
}

// grouped makes hex digits breakable.
func grouped(digits string) string {
	var groups []string
	for group := range slices.Chunk([]byte(digits), 8) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, " ")
}

package web

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"time"

	"rollcall/history"
)

// atomFeed is RFC 4287, as far as it is used here.
type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	Title   string      `xml:"title"`
	ID      string      `xml:"id"`
	Updated time.Time   `xml:"updated"`
	Author  string      `xml:"author>name"`
	Links   []atomLink  `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr,omitempty"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	Title   string    `xml:"title"`
	ID      string    `xml:"id"`
	Updated time.Time `xml:"updated"`
	Link    atomLink  `xml:"link"`
	Summary string    `xml:"summary"`
}

// feed answers /incidents.atom: an entry for each incident, which changes once, when it ends.
func (s *Server) feed(w http.ResponseWriter, r *http.Request) {
	list, err := s.options.History().Incidents(r.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, maxIncidents)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	base := s.base()
	f := atomFeed{
		Title: "Rollcall: incidents", ID: base + "/incidents", Updated: time.Unix(0, 0).UTC(), Author: "Rollcall",
		Links: []atomLink{{Rel: "self", Href: base + "/incidents.atom"}, {Rel: "alternate", Href: base + "/incidents"}},
	}
	for i := range list {
		incident := &list[i]
		updated := incident.From
		if !incident.To.IsZero() {
			updated = incident.To
		}
		updated = updated.UTC().Truncate(time.Second)
		if updated.After(f.Updated) {
			f.Updated = updated
		}
		row := newIncidentRow(incident, base+"/", updated)
		title, summary := row.Name+" is down", "Down since "+row.From.Full+"."
		if !row.Open {
			title, summary = row.Name+" was down for "+row.Took, "Down from "+row.From.Full+" to "+row.To.Full+"."
		}
		f.Entries = append(f.Entries, atomEntry{
			Title: title, ID: row.Link, Updated: updated, Link: atomLink{Href: row.Link},
			Summary: summary + " " + cmp.Or(row.Reason, "The reason is not known") + ".",
		})
	}
	body, err := xml.MarshalIndent(f, "", " ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeTagged(w, r, "application/atom+xml; charset=utf-8", append([]byte(xml.Header), append(body, '\n')...))
}

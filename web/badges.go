package web

import (
	"net/http"

	"rollcall/history"
	"rollcall/report"
	"rollcall/web/badge"
)

// badgeOf answers /badge/{id}/uptime.svg and /badge/{id}/status.svg.
func (s *Server) badgeOf(w http.ResponseWriter, r *http.Request) {
	rng, err := parseRange(r.URL.Query(), history.Range30d)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	kind := r.PathValue("kind")
	if kind != "uptime.svg" && kind != "status.svg" {
		http.NotFound(w, r)
		return
	}
	sum, err := s.options.History().Target(r.Context(), r.PathValue("id"), rng)
	if err != nil {
		err = inWords(err, noSuchTarget)
		http.Error(w, err.Error(), errorStatus(err, http.StatusServiceUnavailable))
		return
	}
	name := report.Printable(sum.Target.Title())
	value, colour := string(sum.State), stateColours[sum.State]
	if kind == "uptime.svg" {
		name += ", " + rangeName(rng)
		value, colour = uptime(sum.Counts), uptimeColour(sum.Counts)
	}
	writeTagged(w, r, "image/svg+xml", badge.SVG(name, value, colour))
}

var stateColours = map[history.State]string{history.StateUp: badge.Good, history.StateDown: badge.Bad, history.StateUnknown: badge.Unknown}

func uptimeColour(c history.Counts) string {
	switch ratio, ok := c.Uptime(); {
	case !ok:
		return badge.Unknown
	case ratio >= 0.999:
		return badge.Good
	case ratio >= 0.98:
		return badge.Middle
	default:
		return badge.Bad
	}
}

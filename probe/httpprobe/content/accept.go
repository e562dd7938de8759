package content

import (
	"strconv"
	"strings"
)

// Accepted is an Accept-Encoding header: content codings and their weights. nil: there is none.
type Accepted map[string]float64

// ParseAccept reads an Accept-Encoding header.
func ParseAccept(value string) Accepted {
	accepted := Accepted{}
	for part := range strings.SplitSeq(value, ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
			weight, _ = strconv.ParseFloat(q, 64) // what is no number weighs 0
		}
		if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "" {
			accepted[coding] = weight
		}
	}
	return accepted
}

// Covers reports whether a body in this coding is acceptable (RFC 9110, section 12.5.3).
func (a Accepted) Covers(coding string) bool {
	if coding == "" || len(a) == 0 {
		return true
	}
	if weight, ok := a[coding]; ok {
		return weight > 0
	}
	if weight, ok := a["*"]; ok {
		return weight > 0
	}
	return coding == "identity"
}

package web

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/probe"
)

// params is the query of a /probe or /logs request. A parameter that is absent or empty is "".
type params struct {
	target, module, hostname, debug, id string

	repeated string // the name of one that is there more than once; empty: none is
	unknown  string // the name, as it stands in the query, of one that has no effect; empty: there is none
}

// The longest parameters, in bytes; see also probe.MaxTarget. The history keeps them.
const (
	maxModule   = 256
	maxHostname = probe.MaxHostname
)

// parseParams reads a query. Each of our parameters is decoded once; of one that is repeated the first counts, as with
// blackbox_exporter, and others are ignored. It reads the raw query instead of making url.Values, because every probe needs
// it.
func parseParams(query string) (params, error) {
	var p params
	var seen [5]bool
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, raw, _ := strings.Cut(pair, "=")
		var value *string
		var nth, limit int
		switch name {
		case "target":
			value, nth, limit = &p.target, 0, probe.MaxTarget
		case "module":
			value, nth, limit = &p.module, 1, maxModule
		case "hostname":
			value, nth, limit = &p.hostname, 2, maxHostname
		case "debug":
			value, nth, limit = &p.debug, 3, maxModule
		case "id":
			value, nth, limit = &p.id, 4, maxModule
		case "format": // of the page around a report
			continue
		default:
			p.unknown = name
			continue
		}
		if seen[nth] {
			p.repeated = name
			continue
		}
		seen[nth] = true
		decoded, err := url.QueryUnescape(raw)
		if err != nil {
			return params{}, fmt.Errorf("the parameter %s is not encoded as a URL's query: %w", name, err)
		}
		if len(decoded) > limit {
			return params{}, fmt.Errorf("the parameter %s has %d bytes; accepted: up to %d", name, len(decoded), limit)
		}
		if !printable(decoded) {
			return params{}, fmt.Errorf("the parameter %s holds a control character or is not UTF-8; accepted: printable text", name)
		}
		*value = decoded
	}
	return p, nil
}

// printable reports whether s is UTF-8 without control characters.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf {
			return utf8.ValidString(s[i:]) && strings.IndexFunc(s[i:], unicode.IsControl) < 0
		} else if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// scrapeTimeoutHeader is how long Prometheus waits for the reply, in seconds.
const scrapeTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// maxScrapeTimeout is the longest accepted time limit, far below what overflows.
const maxScrapeTimeout = 24 * time.Hour

// parseScrapeTimeout reads that header. Absent or zero is 0: the client sets no limit.
func parseScrapeTimeout(header string) (time.Duration, error) {
	if header == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > maxScrapeTimeout.Seconds() {
		return 0, fmt.Errorf("the header %s is %.40q; accepted: a number of seconds from 0 to %.0f",
			scrapeTimeoutHeader, header, maxScrapeTimeout.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// timeLimit is how long a probe may take: what the client allows less offset, or the module's own limit if that is
// shorter or if the offset leaves nothing. 0 leaves it to the Runner.
func timeLimit(client, offset, module time.Duration) time.Duration {
	if client == 0 {
		client = probe.DefaultTimeout
	}
	limit := client - offset
	if limit <= 0 || (module > 0 && module < limit) {
		return module
	}
	return limit
}

package web

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/history"
	"rollcall/probe"
)

// filter is which targets the first page shows and how: its query, so that each view has an address of its own.
type filter struct {
	Range  history.Range
	Search string
	State  history.State // empty: any
	Group  string        // "-": those in none; empty: any
	Module string        // empty: any
	By     string        // the label whose values make the groups; empty: the group
	Sort   string        // one of sorts; empty: by group, in the order of the configuration
	Page   int           // from 1

	compare func(a, b *history.Summary) int // of Sort
}

// noGroup is the group of targets without one, in a query.
const noGroup = "-"

// order is a way to sort targets.
type order struct {
	value, name string
	compare     func(a, b *history.Summary) int // nil: they stay as they are configured
}

var sorts = []order{
	{"", "in groups", nil},
	{"name", "by name", func(a, b *history.Summary) int {
		return cmp.Compare(strings.ToLower(a.Target.Title()), strings.ToLower(b.Target.Title()))
	}},
	{"state", "by state", func(a, b *history.Summary) int { return cmp.Compare(urgency(a), urgency(b)) }},
	{"uptime", "lowest uptime first", func(a, b *history.Summary) int { return cmp.Compare(uptimeOrMore(a), uptimeOrMore(b)) }},
	{"response", "slowest first", func(a, b *history.Summary) int { return cmp.Compare(b.Typical, a.Typical) }},
	{"certificate", "by certificate", func(a, b *history.Summary) int { return expiryOrNever(a).Compare(expiryOrNever(b)) }},
	{"since", "latest change first", latestChange},
}

func latestChange(a, b *history.Summary) int { return b.Since.Compare(a.Since) }

// urgent are the states, the one to look at first before the others.
var urgent = []history.State{history.StateDown, history.StateUnknown, history.StateUp}

func urgency(s *history.Summary) int { return slices.Index(urgent, s.State) }

func uptimeOrMore(s *history.Summary) float64 {
	if ratio, ok := s.Counts.Uptime(); ok {
		return ratio
	}
	return 2
}

func expiryOrNever(s *history.Summary) time.Time {
	if s.Last.CertExpiry.IsZero() {
		return time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) // later than a certificate can say
	}
	return s.Last.CertExpiry
}

// choice is an entry of a list to select from.
type choice struct {
	Value, Name string
	Selected    bool
	Link        string
}

// parseFilter reads a query; the error says what is accepted.
func parseFilter(query url.Values) (filter, error) {
	f := filter{
		Search: strings.TrimSpace(query.Get("q")), State: history.State(query.Get("state")),
		Group: query.Get("group"), Module: query.Get("module"), Sort: query.Get("sort"), Page: 1,
	}
	if label, ok := strings.CutPrefix(f.Sort, byLabel); ok {
		f.By, f.Sort = label, ""
	}
	for _, text := range []string{f.Search, f.Group, f.Module, f.By} {
		if len(text) > probe.MaxTarget || !printable(text) {
			return filter{}, fmt.Errorf("a parameter is longer than %d bytes or not printable text", probe.MaxTarget)
		}
	}
	var err error
	if f.Range, err = parseRange(query, history.Range24h); err != nil {
		return filter{}, err
	}
	if f.State != "" && !slices.Contains(urgent, f.State) {
		return filter{}, fmt.Errorf("%q is no state; accepted: up, down, unknown", string(f.State))
	}
	i := slices.IndexFunc(sorts, func(s order) bool { return s.value == f.Sort })
	if i < 0 {
		return filter{}, fmt.Errorf("%q is no order; accepted: name, state, uptime, response, certificate, since, label:<name>", f.Sort)
	}
	f.compare = sorts[i].compare
	if text := query.Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1_000_000 {
			return filter{}, fmt.Errorf("%q is no page; accepted: a number from 1 on", text)
		}
		f.Page = n
	}
	return f, nil
}

// parseRange reads the range of a query; without one it is the usual.
func parseRange(query url.Values, usual history.Range) (history.Range, error) {
	if text := query.Get("range"); text != "" {
		return history.ParseRange(text)
	}
	return usual, nil
}

// link is the address of a view, relative to the first page; change says what differs from f.
func (f filter) link(change func(*filter)) string {
	f.Page = 1
	change(&f)
	query := url.Values{}
	set := func(name, value, usual string) {
		if value != usual {
			query.Set(name, value)
		}
	}
	set("range", string(f.Range), string(history.Range24h))
	set("q", f.Search, "")
	set("state", string(f.State), "")
	set("group", f.Group, "")
	set("module", f.Module, "")
	set("sort", f.order(), "")
	set("page", strconv.Itoa(f.Page), "1")
	if len(query) == 0 {
		return "./"
	}
	return "./?" + query.Encode()
}

// byLabel begins the order in which a label's values make the groups.
const byLabel = "label:"

// order is the order as it stands in a query.
func (f filter) order() string {
	if f.By != "" {
		return byLabel + f.By
	}
	return f.Sort
}

// narrowed reports whether f leaves targets out.
func (f filter) narrowed() bool {
	return f.Search != "" || f.State != "" || f.Group != "" || f.Module != ""
}

// groupOf is the group that a target is listed in; empty: none.
func (f filter) groupOf(t *probe.Target) string {
	if f.By != "" {
		return t.Labels.Get(f.By)
	}
	return t.Group
}

// matches reports whether f shows a target.
func (f filter) matches(s *history.Summary, search string) bool {
	if f.State != "" && s.State != f.State || f.Module != "" && s.Target.Module != f.Module {
		return false
	}
	if f.Group != "" && f.Group != cmp.Or(f.groupOf(&s.Target), noGroup) {
		return false
	}
	if search == "" {
		return true
	}
	texts := []string{s.Target.Name, s.Target.Target, s.Target.Module, s.Target.Group}
	s.Target.Labels.Range(func(l labels.Label) { texts = append(texts, l.Value) })
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), search) })
}

// selectFrom returns the targets that f shows, in its order.
func (f filter) selectFrom(all []history.Summary) []*history.Summary {
	search := strings.ToLower(f.Search)
	var found []*history.Summary
	for i := range all {
		if f.matches(&all[i], search) {
			found = append(found, &all[i])
		}
	}
	if f.compare != nil {
		slices.SortStableFunc(found, f.compare)
	}
	return found
}

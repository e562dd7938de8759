package web

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/history"
	"rollcall/report"
	"rollcall/web/chart"
)

// The first page is bounded, however many targets there are.
const (
	maxOpen     = 150 // targets that are shown at once; more are collapsed into their groups, or paged
	maxProblems = 20
)

// overviewPage is the first page.
type overviewPage struct {
	frame
	filter
	RangeName string
	States    states
	Ranges    []choice
	StateList []choice
	Groups    []choice
	Modules   []choice
	Sorts     []choice
	Problems  []targetRow
	More      int // problems that are not shown
	MoreLink  string
	Sections  []section
	Collapsed []*groupRow
	Found     int
	Pages     pager
	All       string // link to the view without a filter
}

// tally counts targets by their state, and their turns.
type tally struct {
	Up, Down, Unknown int
	turns             sum
}

func (t *tally) add(s *history.Summary) {
	switch s.State {
	case history.StateUp:
		t.Up++
	case history.StateDown:
		t.Down++
	default:
		t.Unknown++
	}
	t.turns = t.turns.plus(s.Counts)
}

// states says how many targets are how, and the sentence about it.
type states struct {
	tally
	All                  int
	Sentence             string
	State                history.State // of the whole: up when all are
	Uptime, UnknownShare string        // over all targets
}

// section is a group with its targets.
type section struct {
	Name    string
	Heading bool // the page has more than one
	Size    int  // of the whole group
	Rows    []targetRow
}

// groupRow is a group that is collapsed.
type groupRow struct {
	tally
	Name, Link, Uptime string
	Beats              template.HTML
	buckets            []history.Counts
}

// pager links to the neighbours of a page.
type pager struct {
	Page, Last     int
	Previous, Next string // empty: none
}

// targetRow is a target in a list.
type targetRow struct {
	ID, Name, Target, Module string
	State                    history.State
	Since                    *moment
	For                      string // how long it has been so
	Reason                   string
	Incident                 string
	Maintenance              bool
	Opinion                  string // of witnesses; empty: none
	Beats                    template.HTML
	Uptime, UnknownShare     string
	Took, Typical            string
	Certificate              string // days; empty: none
	Expiring                 bool
}

// expiresSoon is how many days before its expiry a certificate is marked.
const expiresSoon = 14

func newTargetRow(s *history.Summary, now time.Time) targetRow {
	row := targetRow{
		ID: s.ID, Module: report.Printable(s.Target.Module), State: s.State, Reason: why(s.Last.Stage, s.Last.Reason),
		Since: newMoment(s.Since, now), Beats: chart.Beats(s.Buckets), Uptime: uptime(s.Counts), UnknownShare: unknownShare(s.Counts),
		Took: tookOrNone(s.Last.Duration), Typical: tookOrNone(s.Typical), Incident: s.Incident,
		Maintenance: s.Maintenance, Opinion: s.Opinion,
	}
	row.Name, row.Target = names(&s.Target)
	if !s.Since.IsZero() {
		row.For = span(now.Sub(s.Since))
	}
	if !s.Last.CertExpiry.IsZero() {
		left := int(math.Floor(s.Last.CertExpiry.Sub(now).Hours() / 24)) // whole days
		row.Certificate, row.Expiring = fmt.Sprintf("%d d", left), left < expiresSoon
		if left < 0 {
			row.Certificate = "expired"
		}
	}
	return row
}

// overview answers /.
func (s site) overview(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	fr := s.frame("", "targets", 0, now)
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		s.fail(w, r, fr, badRequest{err})
		return
	}
	o, err := s.options.History().Overview(r.Context(), f.Range)
	if err != nil {
		fr.Notice = err.Error()
	}
	fr.watch(s.options.History().Status(), now)
	p := newOverviewPage(fr, f, o.Targets, now)
	s.render(w, http.StatusOK, "overview.html", &p)
}

func newOverviewPage(fr frame, f filter, all []history.Summary, now time.Time) overviewPage {
	p := overviewPage{frame: fr, filter: f, RangeName: rangeName(f.Range), States: newStates(all), All: f.link(func(all *filter) { *all = filter{Range: f.Range, Page: 1} })}
	if p.States.Down > 0 {
		p.Title = fmt.Sprintf("(%d down)", p.States.Down) // a browser's tab shows it
	}
	if p.States.All == 0 {
		p.Notice = "" // without targets there is no history either
	}
	p.addChoices(all)
	if !f.narrowed() && f.Page == 1 {
		p.addProblems(all, now)
	}
	found := f.selectFrom(all)
	p.Found = len(found)
	if len(found) > maxOpen && f.Group == "" && f.Sort == "" && f.Search == "" && len(p.Groups) > 2 {
		p.collapse(found)
	} else {
		p.list(found, now)
	}
	return p
}

func newStates(all []history.Summary) states {
	st := states{All: len(all), State: history.StateUp}
	for i := range all {
		st.add(&all[i])
	}
	st.Uptime, st.UnknownShare = st.turns.uptime(), st.turns.unknownShare()
	switch {
	case st.All == 0:
		st.State, st.Sentence = history.StateUnknown, "No targets are configured"
	case st.Down > 0:
		st.State, st.Sentence = history.StateDown, fmt.Sprintf("%s of %s down", number(st.Down), number(st.All))
	case st.Unknown == st.All && st.turns.up+st.turns.down == 0:
		st.State, st.Sentence = history.StateUnknown, "Nothing is known yet"
	case st.Unknown == st.All:
		st.State, st.Sentence = history.StateUnknown, "Nothing is known now"
	case st.Unknown > 0:
		st.State, st.Sentence = history.StateUnknown, fmt.Sprintf("None is down, %s unknown", number(st.Unknown))
	case st.All == 1:
		st.Sentence = "The target is up"
	default:
		st.Sentence = fmt.Sprintf("All %s targets are up", number(st.All))
	}
	return st
}

func (p *overviewPage) addProblems(all []history.Summary, now time.Time) {
	down := filter{State: history.StateDown, compare: latestChange}.selectFrom(all)
	for _, s := range down[:min(len(down), maxProblems)] {
		p.Problems = append(p.Problems, newTargetRow(s, now))
	}
	p.More = len(down) - len(p.Problems)
	p.MoreLink = p.link(func(f *filter) { f.State = history.StateDown })
}

// addChoices fills the lists to select from with what there is.
func (p *overviewPage) addChoices(all []history.Summary) {
	groups, modules, labelNames := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range all {
		t := &all[i].Target
		groups[cmp.Or(p.groupOf(t), noGroup)] = true
		modules[t.Module] = true
		t.Labels.Range(func(l labels.Label) {
			if l.Name != "name" && l.Name != "group" {
				labelNames[l.Name] = true
			}
		})
	}
	for _, r := range history.Ranges() {
		p.Ranges = append(p.Ranges, choice{Name: rangeName(r), Selected: r == p.Range, Link: p.link(func(f *filter) { f.Range = r })})
	}
	p.StateList = choices("any state", string(p.State), []string{"up", "down", "unknown"})
	p.Groups = choices("all groups", p.Group, slices.Sorted(maps.Keys(groups)))
	p.Modules = choices("all modules", p.Module, slices.Sorted(maps.Keys(modules)))
	for _, s := range sorts {
		p.Sorts = append(p.Sorts, choice{Value: s.value, Name: s.name, Selected: s.value == p.order()})
	}
	names := slices.Sorted(maps.Keys(labelNames))
	for _, name := range names[:min(len(names), maxChoices)] {
		p.Sorts = append(p.Sorts, choice{byLabel + name, "in groups by " + report.Printable(name), name == p.By, ""})
	}
}

// maxChoices bounds a list to select from.
const maxChoices = 200

func choices(any, selected string, values []string) []choice {
	list := []choice{{Name: any, Selected: selected == ""}}
	for _, v := range values[:min(len(values), maxChoices)] {
		c := choice{Value: v, Name: report.Printable(v), Selected: v == selected}
		if v == noGroup {
			c.Name = "no group"
		}
		list = append(list, c)
	}
	return list
}

// list shows targets, by page when there are many.
func (p *overviewPage) list(found []*history.Summary, now time.Time) {
	if p.Sort == "" {
		slices.SortStableFunc(found, func(a, b *history.Summary) int {
			return cmp.Compare(groupKey(p.groupOf(&a.Target)), groupKey(p.groupOf(&b.Target)))
		})
	}
	size := map[string]int{}
	for _, s := range found {
		size[p.groupOf(&s.Target)]++
	}
	for _, s := range page(p, found) {
		name := p.groupOf(&s.Target)
		if p.Sort != "" {
			name = ""
		}
		if n := len(p.Sections); n == 0 || p.Sections[n-1].Name != name {
			p.Sections = append(p.Sections, section{Name: name, Heading: p.Sort == "" && len(size) > 1, Size: size[name]})
		}
		last := &p.Sections[len(p.Sections)-1]
		last.Rows = append(last.Rows, newTargetRow(s, now))
	}
	for i := range p.Sections {
		p.Sections[i].Name = cmp.Or(report.Printable(p.Sections[i].Name), "no group")
	}
}

// groupKey sorts those without a group to the end.
func groupKey(group string) string { return cmp.Or(group, "\U0010FFFF") }

// collapse shows groups instead of targets.
func (p *overviewPage) collapse(found []*history.Summary) {
	rows := map[string]*groupRow{}
	for _, s := range found {
		name := p.groupOf(&s.Target)
		row := rows[name]
		if row == nil {
			row = &groupRow{
				Name: cmp.Or(report.Printable(name), "no group"),
				Link: p.link(func(f *filter) { f.Group = cmp.Or(name, noGroup) }), buckets: make([]history.Counts, len(s.Buckets)),
			}
			rows[name] = row
		}
		row.add(s)
		for i := range min(len(row.buckets), len(s.Buckets)) {
			row.buckets[i].Add(s.Buckets[i])
		}
	}
	names := slices.SortedFunc(maps.Keys(rows), func(a, b string) int { return cmp.Compare(groupKey(a), groupKey(b)) })
	for _, name := range page(p, names) {
		row := rows[name]
		row.Uptime, row.Beats = row.turns.uptime(), chart.Beats(row.buckets)
		p.Collapsed = append(p.Collapsed, row)
	}
}

// page returns the part of a list that the page shows, and sets the links to its neighbours.
func page[T any](p *overviewPage, all []T) []T {
	last := max(1, (len(all)+maxOpen-1)/maxOpen)
	now := min(p.Page, last)
	p.Pages = pager{Page: now, Last: last}
	if now > 1 {
		p.Pages.Previous = p.link(func(f *filter) { f.Page = now - 1 })
	}
	if now < last {
		p.Pages.Next = p.link(func(f *filter) { f.Page = now + 1 })
	}
	return all[(now-1)*maxOpen : min(now*maxOpen, len(all))]
}

func rangeName(r history.Range) string {
	return map[history.Range]string{history.Range24h: "24 h", history.Range7d: "7 d", history.Range30d: "30 d", history.Range90d: "90 d"}[r]
}

package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The bounds of what one destination has waiting. A stranger who may call /probe can invent targets for as long as a
// mail server is away; those have a share of their own, so that they crowd out no configured one.
const (
	maxWaiting          = 10_000 // pieces of news about configured targets
	maxRequestedWaiting = 10_000 // about others
)

// excess counts the beginnings, and their ends, that came when there was no room for more of their kind. A reminder or a
// certificate's warning is not counted: it comes again by itself.
type excess struct {
	Down      int       `json:"down,omitempty"`
	Up        int       `json:"up,omitempty"`
	Unwatched int       `json:"unwatched,omitempty"`
	Since     time.Time `json:"since,omitzero"` // when the first of it came
}

func (x excess) total() int { return x.Down + x.Up + x.Unwatched }

// count adds an event and reports whether it is one that counts.
func (x *excess) count(e event, now time.Time) bool {
	switch e {
	case wentDown:
		x.Down++
	case cameUp:
		x.Up++
	case unwatched:
		x.Unwatched++
	default:
		return false
	}
	if x.Since.IsZero() {
		x.Since = now
	}
	return true
}

// join adds what was counted earlier.
func (x *excess) join(earlier excess) {
	x.Down, x.Up, x.Unwatched = x.Down+earlier.Down, x.Up+earlier.Up, x.Unwatched+earlier.Unwatched
	if !earlier.Since.IsZero() {
		x.Since = earlier.Since
	}
}

// part is how often a kind of news was only counted, in words.
type part struct {
	n    int
	says string
}

func (x excess) parts() []part {
	parts := []part{{x.Down, "went down"}, {x.Up, "came up again"}, {x.Unwatched, "stopped being watched"}}
	return slices.DeleteFunc(parts, func(p part) bool { return p.n == 0 })
}

// write says in a mail what it cannot tell one by one.
func (x excess) write(b *strings.Builder) {
	if x.total() == 0 {
		return
	}
	fmt.Fprintf(b, "Too much waited to be told one by one. What else came, from %s on, is only counted:\n", asctime(x.Since))
	for _, p := range x.parts() {
		fmt.Fprintf(b, "  and %d more %s\n", p.n, p.says)
	}
	b.WriteByte('\n')
}

// full reports whether there is no room for another item.
func (d *destination) full(requested bool) bool {
	if requested {
		return d.requested >= maxRequestedWaiting
	}
	return len(d.items)-d.requested >= maxWaiting
}

// named reports whether the recipient has heard of the incident, or is about to: then its end is told by name, too, and
// needs room only once.
func (d *destination) named(id string) bool {
	_, told := d.told[id]
	return told || d.underWay[id]
}

// pending is how much this destination has yet to be told.
func (d *destination) pending() int {
	n := len(d.items) + d.excess.total()
	if d.parcel != nil {
		n += d.parcel.excess.total()
	}
	return n
}

// oldest is since when the oldest of it waits; zero: nothing does. The wall clock is asked only for what an earlier
// process left behind.
func (d *destination) oldest() time.Time {
	if len(d.items) == 0 {
		return time.Time{}
	}
	if first := d.items[0]; first.since.IsZero() {
		return first.Incident.changed()
	}
	return d.items[0].since
}

// next returns the items of the next mail. When there is more than fits, configured targets come first.
func (d *destination) next() []*item {
	if len(d.items) <= maxItemsPerMail {
		return d.items
	}
	room := max(0, maxItemsPerMail-(len(d.items)-d.requested)) // for the others
	var items []*item
	for _, it := range d.items {
		if it.Requested {
			if room == 0 {
				continue
			}
			room--
		}
		if items = append(items, it); len(items) == maxItemsPerMail {
			break
		}
	}
	return items
}

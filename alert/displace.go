package alert

import (
	"hash/maphash"
	"slices"
	"time"

	"rollcall/probe"
)

// keepsPlace is for how long a target that was requested at least twice keeps its place among those of requests. What is
// requested less often than every five minutes does not count as watched by that (see askedLately).
const keepsPlace = 2 * askedLately

// makeRoom drops a target that was requested once, or not lately, for one that is requested again and had no room
// before. It reports whether there is room now. A few thousand requests for invented targets would else keep new ones from
// being watched until the invented ones are forgotten.
func (e *engine) makeRoom(key probe.Key, now time.Time) bool {
	if !e.refusals.again(key) {
		return false
	}
	for range min(visits, len(e.all)) {
		if e.hand++; e.hand >= len(e.all) {
			e.hand = 0
		}
		if t := e.all[e.hand]; !t.Scheduled && !t.leaving && !(t.requestedSince(keepsPlace, now) && t.requests.again) {
			e.drop(t, e.hand, "other targets are requested more often", now)
			return true
		}
	}
	return false
}

// refusals remembers targets that had no room. One that is forgotten, because another has taken its slot, is remembered
// by its next request: at 3,000 invented targets a second, 19 of 20 that are requested every 30 seconds are still remembered.
type refusals struct {
	seed  maphash.Seed
	marks []uint32 // in sets by hash, in each the latest first; 0: none
}

const (
	refusalSlots = 1 << 18
	refusalSet   = 4 // in one slot alone, two steady targets would take each other's mark for ever
)

func newRefusals() refusals {
	return refusals{maphash.MakeSeed(), make([]uint32, refusalSlots)}
}

// again reports whether key was refused before, and remembers that it was.
func (r refusals) again(key probe.Key) bool {
	hash := maphash.Comparable(r.seed, key)
	set, mark := r.marks[hash%(refusalSlots/refusalSet)*refusalSet:][:refusalSet], uint32(hash>>32)|1
	place := slices.Index(set, mark)
	known := place >= 0
	if !known {
		place = refusalSet - 1 // that of the one to forget
	}
	copy(set[1:], set[:place])
	set[0] = mark
	return known
}

package alert

import (
	"cmp"
	"slices"
	"time"
)

// item is what one destination has yet to be told of one incident. Events of an incident gather in it until they
// are told: when the mail server was away from DOWN to UP, one mail tells both.
type item struct {
	Seq       uint64    `json:"seq"`
	Incident  *incident `json:"incident"`
	Down      bool      `json:"down,omitempty"`
	Up        bool      `json:"up,omitempty"` // or no longer watched: the incident is over
	Reminder  bool      `json:"reminder,omitempty"`
	Cert      bool      `json:"cert,omitempty"`
	Requested bool      `json:"requested,omitempty"` // only /probe named its target

	since  time.Time // when its first event came; zero: before this process began
	sealed bool      // it is in the parcel
}

// parcel is a message on its way. From the moment it is on disk until its outcome is known, nobody can tell whether
// it was delivered; should the process die meanwhile, the same bytes go out again under the same Message-ID.
type parcel struct {
	MessageID string   `json:"messageID"`
	Items     []uint64 `json:"items"`
	Data      []byte   `json:"data"`

	doubt  bool   // an earlier attempt, or an earlier process, may have delivered it
	excess excess // what it says had no room
}

// destination is one recipient (or one Alertmanager) and its outbox. Only the keeper's goroutine touches it.
type destination struct {
	channel string
	name    string

	items     []*item           // in the order in which their first events came
	requested int               // how many of them only /probe asked for
	excess    excess            // what had no room among them, and is in no parcel
	excessive bool              // that there is such is logged
	waiting   map[string]*item  // by incident: those that are not in the parcel
	ended     map[key][]*item   // by target: those that tell an incident from its beginning to its end, oldest first
	underWay  map[string]bool   // incidents in the parcel
	parcel    *parcel           // nil: nothing is on its way
	told      map[string]string // open incident → Message-ID of the mail that told its beginning
	sent      []time.Time       // mails of the last hour that were accepted or refused for good, oldest first
	nextSeq   uint64

	failures  int       // in a row
	notBefore time.Time // of the next attempt
	sending   bool

	// What differs from the disk.
	changedItems map[uint64]bool
	changedTold  map[string]bool
	changed      bool // parcel, sent or excess
}

func newDestination(channel, name string) *destination {
	return &destination{
		channel: channel, name: name, nextSeq: 1,
		waiting: make(map[string]*item), ended: make(map[key][]*item), told: make(map[string]string), underWay: make(map[string]bool),
		changedItems: make(map[uint64]bool), changedTold: make(map[string]bool),
	}
}

// maxPerTarget bounds the ended incidents of one target that wait to be told; beyond it the oldest are summed up, so
// that a flapping target cannot fill the disk while a mail server is away.
const maxPerTarget = 5

// add puts an event into the outbox. It returns false when there was no room and the event is only counted.
func (d *destination) add(e event, i *incident, requested bool, now time.Time) bool {
	it := d.waiting[i.ID]
	if it == nil {
		if d.full(requested) && !d.named(i.ID) {
			counted := d.excess.count(e, now)
			d.changed = d.changed || counted
			return !counted
		}
		it = &item{Seq: d.nextSeq, Requested: requested, since: now}
		d.nextSeq++
		d.put(it)
		d.waiting[i.ID] = it
	}
	d.changedItems[it.Seq] = true
	it.Incident = i
	switch e {
	case wentDown:
		it.Down = true
	case cameUp, unwatched:
		it.Up, it.Reminder = true, false
		d.sumUp(it)
	case stillDown:
		it.Reminder = !it.Down
	case certEnding:
		it.Cert = true
	}
	return true
}

func (d *destination) put(it *item) {
	d.items = append(d.items, it)
	if it.Requested {
		d.requested++
	}
}

// sumUp merges the two oldest untold incidents of it's target when too many wait.
func (d *destination) sumUp(it *item) {
	if !it.whole() {
		return
	}
	d.end(it)
	var waiting []*item
	for _, it := range d.ended[it.key()] {
		if !it.sealed {
			waiting = append(waiting, it)
		}
	}
	if len(waiting) <= maxPerTarget {
		return
	}
	older, newer := waiting[0], waiting[1]
	i := *newer.Incident
	i.Summed += older.Incident.Summed + 1
	if i.SummedAll = older.Incident.SummedAll; i.SummedAll.IsZero() {
		i.SummedAll = older.Incident.Since
	}
	newer.Incident, newer.since = &i, older.since
	d.changedItems[newer.Seq] = true
	n, _ := d.find(older.Seq)
	d.items = slices.Delete(d.items, n, n+1)
	d.gone(older)
}

// find is where the item with that number stands, and whether it does.
func (d *destination) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(d.items, seq, func(it *item, seq uint64) int { return cmp.Compare(it.Seq, seq) })
}

// end puts an item that has become whole into its target's list, where the oldest is first.
func (d *destination) end(it *item) {
	list := append(d.ended[it.key()], it)
	slices.SortFunc(list, func(a, b *item) int { return cmp.Compare(a.Seq, b.Seq) })
	d.ended[it.key()] = list
}

// whole reports whether the item tells an incident from its beginning to its end.
func (it *item) whole() bool { return it.Down && it.Up }

func (it *item) key() key { return key{it.Incident.Module, it.Incident.Target} }

func (d *destination) remove(which func(*item) bool) {
	d.items = slices.DeleteFunc(d.items, func(it *item) bool {
		if !which(it) {
			return false
		}
		d.gone(it)
		return true
	})
}

// gone takes an item that leaves out of the indexes.
func (d *destination) gone(it *item) {
	d.changedItems[it.Seq] = true
	if it.Requested {
		d.requested--
	}
	if d.waiting[it.Incident.ID] == it {
		delete(d.waiting, it.Incident.ID)
	}
	if k := it.key(); it.whole() {
		if d.ended[k] = slices.DeleteFunc(d.ended[k], func(other *item) bool { return other == it }); len(d.ended[k]) == 0 {
			delete(d.ended, k)
		}
	}
}

// pacing is how often a recipient hears of news.
type pacing struct {
	wait, interval time.Duration
	perHour        int // 0: no limit
}

// due is when the next attempt may begin; ok is false when there is nothing to tell, or an attempt is under way.
func (d *destination) due(p pacing, now time.Time) (at time.Time, ok bool) {
	if d.sending || (d.parcel == nil && len(d.items) == 0) {
		return time.Time{}, false
	}
	at = d.notBefore
	if d.parcel != nil {
		return at, true // no new mail: the same one again
	}
	first := d.items[0]
	if !first.since.IsZero() {
		at = later(at, first.since.Add(p.wait))
	}
	d.sent = slices.DeleteFunc(d.sent, func(t time.Time) bool {
		return now.Sub(t) >= time.Hour || t.After(now) // a time to come is what a clock that was set back leaves behind
	})
	if n := len(d.sent); n > 0 {
		at = later(at, d.sent[n-1].Add(p.interval))
		if p.perHour > 0 && n >= p.perHour {
			at = later(at, d.sent[n-p.perHour].Add(time.Hour))
		}
	}
	return at, true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// seal makes what waits a parcel, which compose writes from the items.
func (d *destination) seal(compose func([]*item, excess) (*parcel, error)) error {
	items := d.next()
	p, err := compose(items, d.excess)
	if err != nil {
		return err
	}
	for _, it := range items {
		it.sealed = true
		d.underWay[it.Incident.ID] = true
		delete(d.waiting, it.Incident.ID)
		p.Items = append(p.Items, it.Seq)
	}
	p.excess, d.excess = d.excess, excess{}
	d.parcel, d.changed = p, true
	return nil
}

// settle takes in how an attempt ended. retry is the pause before the next one after a failure.
func (d *destination) settle(v verdict, retry time.Duration, now time.Time) {
	d.sending = false
	if d.parcel == nil {
		return
	}
	d.failures, d.notBefore = d.failures+1, now.Add(retry)
	if v == inDoubt {
		d.parcel.doubt = true
	}
	if d.parcel.doubt && (v == inDoubt || v == postponed) {
		return // it stays sealed: the same bytes, the same Message-ID
	}
	switch v {
	case delivered:
		d.accept()
	case refused:
		d.remove(func(it *item) bool { return it.sealed })
	case postponed:
		d.unseal()
	}
	if d.channel == channelMail && v != postponed {
		d.sent = append(d.sent, now) // what is refused costs the mail server, and our name there, as much as a mail
	}
	// A recipient who is refused time and again is asked for less and less often, and what comes meanwhile gathers. An
	// Alertmanager refuses an alert, and the next one may be welcome.
	if v == delivered || (v == refused && d.channel == channelAlertmanager) {
		d.failures, d.notBefore = 0, time.Time{}
	}
	d.parcel, d.changed = nil, true
	clear(d.underWay)
}

// accept notes what the parcel told.
func (d *destination) accept() {
	for _, it := range d.items {
		if !it.sealed {
			continue
		}
		id := it.Incident.ID
		switch {
		case it.Up:
			d.forget(id)
		case d.parcel.MessageID == "" || it.Cert: // there is no thread to keep
		case it.Down || (it.Reminder && d.told[id] == ""):
			d.told[id] = d.parcel.MessageID
			d.changedTold[id] = true
		}
	}
	d.remove(func(it *item) bool { return it.sealed })
}

// unseal makes a parcel that certainly reached nobody news again. What came meanwhile for the same incidents joins
// it, so that the next mail tells DOWN and UP together.
func (d *destination) unseal() {
	d.excess.join(d.parcel.excess)
	joined := make(map[*item]bool)
	for _, it := range d.items {
		if !it.sealed {
			continue
		}
		it.sealed = false
		id := it.Incident.ID
		if newer := d.waiting[id]; newer != nil {
			joined[newer] = true
			it.Incident, it.Up, it.Reminder = newer.Incident, it.Up || newer.Up, (it.Reminder || newer.Reminder) && !it.Down && !newer.Up
			if it.whole() {
				d.end(it)
			}
			d.changedItems[it.Seq] = true
		}
		d.waiting[id] = it
	}
	if len(joined) > 0 {
		d.remove(func(it *item) bool { return joined[it] })
	}
}

// forget drops the thread of an incident that is over.
func (d *destination) forget(id string) {
	if _, ok := d.told[id]; ok {
		delete(d.told, id)
		d.changedTold[id] = true
	}
}

func (p *parcel) holds(seq uint64) bool {
	_, found := slices.BinarySearch(p.Items, seq) // they are in ascending order, as d.items
	return found
}

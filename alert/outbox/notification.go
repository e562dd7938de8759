package outbox

import (
	"container/list"
	"slices"
	"time"

	"rollcall/alert/incident"
	"rollcall/probe"
)

// maxOutages bounds the incidents of one target that wait to be named one by one. A target that flaps while no mail
// leaves fills no disk: of more, the oldest are only counted.
const maxOutages = 10

// Notification is what one recipient knows of one target and has yet to get. It is never changed once it is made:
// the queue puts another in its place, so that a message can be composed from it without a lock.
type Notification struct {
	Key     probe.Key          `json:"key"`
	Outages []Outage           `json:"outages,omitempty"` // oldest first; at most the last one is open
	Cert    *incident.Incident `json:"cert,omitempty"`    // a certificate that expires soon

	since time.Time     // when the oldest of what is owed came; zero: before this process began
	place *list.Element // in the queue's list of what is owed; nil: nothing is
}

// Outage is one incident of a target as a recipient knows it.
type Outage struct {
	Incident  *incident.Incident `json:"incident"`
	Down      bool               `json:"down,omitempty"` // its beginning is owed
	Up        bool               `json:"up,omitempty"`   // its end is owed
	Reminder  bool               `json:"reminder,omitempty"`
	MessageID string             `json:"messageID,omitempty"` // of the message with its beginning; empty: there was none
}

func (o Outage) owed() bool { return o.Down || o.Up || o.Reminder }

// owed reports whether anything is.
func (n *Notification) owed() bool {
	return n.Cert != nil || slices.ContainsFunc(n.Outages, Outage.owed)
}

// Owed returns the outages of which something is owed.
func (n *Notification) Owed() []Outage {
	return slices.DeleteFunc(slices.Clone(n.Outages), func(o Outage) bool { return !o.owed() })
}

// Say appends what a message says that has all of the notification.
func (n *Notification) Say(said []Said) []Said {
	for _, o := range n.Owed() {
		s := Said{Key: n.Key, ID: o.Incident.ID, Down: o.Down, Up: o.Up}
		if o.Reminder {
			s.Reminded = o.Incident.Reminded
		}
		said = append(said, s)
	}
	if n.Cert != nil {
		said = append(said, Said{Key: n.Key, Cert: n.Cert.Since})
	}
	return said
}

// find is the place of the incident among the outages, or -1.
func (n *Notification) find(id string) int {
	return slices.IndexFunc(n.Outages, func(o Outage) bool { return o.Incident.ID == id })
}

// add returns the notification with an event added.
func (n Notification) add(e incident.Event, i *incident.Incident) *Notification {
	n.Outages = slices.Clone(n.Outages)
	if e == incident.CertExpiring {
		n.Cert = i
		return &n
	}
	at := n.find(i.ID)
	if at < 0 { // its beginning is owed, whatever came of it since
		at = len(n.Outages)
		n.Outages = append(n.Outages, Outage{Down: true})
	}
	o := &n.Outages[at]
	o.Incident = i
	switch e {
	case incident.Up:
		o.Up, o.Reminder = true, false
	case incident.StillDown:
		o.Reminder = !o.Down
	}
	return &n
}

// drop returns the notification without the oldest outage that is owed from its beginning to its end, but for the latest
// and for those that keep holds. It reports whether there was one.
func (n Notification) drop(keep func(id string) bool) (*Notification, bool) {
	at := slices.IndexFunc(n.Outages[:len(n.Outages)-1], func(o Outage) bool { return o.Down && o.Up && !keep(o.Incident.ID) })
	if at < 0 {
		return &n, false
	}
	n.Outages = slices.Delete(slices.Clone(n.Outages), at, at+1)
	return &n, true
}

// notified returns the notification after a message was delivered that said s, under that ID.
func (n Notification) notified(s Said, messageID string) *Notification {
	n.Outages = slices.Clone(n.Outages)
	if n.Cert != nil && n.Cert.Since.Equal(s.Cert) {
		n.Cert = nil
	}
	at := n.find(s.ID)
	if at < 0 {
		return &n
	}
	o := &n.Outages[at]
	if s.Down {
		o.Down, o.MessageID = false, messageID
	}
	if o.Reminder && o.Incident.Reminded.Equal(s.Reminded) {
		o.Reminder = false
	}
	// Without threads there is nothing to keep of an outage whose end is not known yet.
	if s.Up || (messageID == "" && !o.owed()) {
		n.Outages = slices.Delete(n.Outages, at, at+1)
	}
	return &n
}

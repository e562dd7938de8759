package probe

import (
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/redact"
)

// Target is a configured target: what is probed, how often, and what it is called. It is not changed once it is passed on,
// so that all that keep something of each target share one.
type Target struct {
	Module   string        // never empty
	Target   string        // as configured; what is stored or shown has no userinfo (redact.Target)
	Hostname string        // in place of the target's host, in HTTP requests and TLS; empty: none
	Name     string        // for people; empty: Target is shown
	Group    string        // empty: none
	Interval time.Duration // between two probes, at least a second
	Labels   labels.Labels // its own; none has the name of a label that rollcall sets
}

// Key is what tells the target from others.
func (t *Target) Key() Key { return Key{t.Module, t.Target, t.Hostname} }

// ID is the Key's.
func (t *Target) ID() string { return t.Key().ID() }

// Redacted is the target as it is stored and shown: itself, unless it has userinfo.
func (t *Target) Redacted() *Target {
	shown := t.Key().Redacted().Target
	if shown == t.Target {
		return t
	}
	bare := *t
	bare.Target = shown
	return &bare
}

// Title is what to call the target on a page.
func (t *Target) Title() string {
	if t.Name != "" {
		return t.Name
	}
	return redact.Target(t.Target)
}

const (
	// MaxTarget is the longest target, in bytes, of a request or an entry of the configuration: URLs with long queries fit.
	MaxTarget = 8 << 10
	// MaxHostname is the longest hostname beside a target, in bytes.
	MaxHostname = 512
)

// DefaultModule names the module for a target that came without one: tcp_connect for tcp://host:port, http_2xx
// for everything else, as with blackbox_exporter.
func DefaultModule(target string) string {
	const scheme = "tcp://"
	if strings.EqualFold(target[:min(len(target), len(scheme))], scheme) {
		return "tcp_connect"
	}
	return "http_2xx"
}

package probe

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"rollcall/redact"
)

// Key tells a target from others: two probes with the same Key are about the same thing.
type Key struct {
	Module   string `json:"module"`
	Target   string `json:"target"`
	Hostname string `json:"hostname,omitempty"`
}

// Redacted is the key as it is stored, mailed and shown: without the password that the target may carry, and as valid UTF-8.
func (k Key) Redacted() Key {
	k.Target = strings.ToValidUTF8(redact.Target(k.Target), "\uFFFD")
	return k
}

// Compare orders keys by module, target and hostname.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Module, other.Module), cmp.Compare(k.Target, other.Target), cmp.Compare(k.Hostname, other.Hostname))
}

// Title is the target and, where it has one, its hostname.
func (k Key) Title() string {
	if k.Hostname == "" {
		return k.Target
	}
	return k.Target + " (" + k.Hostname + ")"
}

// ID names the target in URLs: 16 hex digits. Userinfo in the target is no part of it.
func (k Key) ID() string { return fmt.Sprintf("%016x", k.Number()) }

// Number is the ID as a number.
func (k Key) Number() uint64 {
	k = k.Redacted()
	sum := sha256.Sum256([]byte(strings.Join([]string{k.Module, k.Target, k.Hostname}, "\x00")))
	return binary.BigEndian.Uint64(sum[:])
}

// IncidentID names an incident for good: one target's time from down to up, which begins with the result that started at
// start. It is the same wherever the same Records are read, so that a mail's link leads to the page of that incident. It
// is 24 lower-case hex digits and depends on the key as it is stored, not on the target's labels; start counts in milliseconds.
func (k Key) IncidentID(start time.Time) string {
	k = k.Redacted()
	text := fmt.Sprintf("%s\x00%s\x00%s\x00%d\x00", k.Module, k.Target, k.Hostname, start.UnixMilli())
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:12])
}

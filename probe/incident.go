package probe

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"rollcall/redact"
)

// IncidentID names an incident for good: one target's time from down to up, which begins with the result that started at
// start. It is the same wherever the same Records are read, so that a mail's link leads to the page of that incident. It
// is 24 lower-case hex digits and depends on the target's Identity, not on its labels; start counts in milliseconds.
func IncidentID(module, target, hostname string, start time.Time) string {
	h := sha256.New()
	for _, s := range []string{module, Identity(target), hostname, strconv.FormatInt(start.UnixMilli(), 10)} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Identity is how a target is known where it is stored, mailed and shown: without the password that it may carry, and as
// valid UTF-8.
func Identity(target string) string {
	if strings.IndexByte(target, '@') >= 0 {
		target = redact.Target(target)
	}
	if !utf8.ValidString(target) {
		target = strings.ToValidUTF8(target, "\uFFFD")
	}
	return target
}

package probe

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// IncidentID names an incident: the same in the mail, in Alertmanager's generatorURL and on the status page. It is 16
// hex digits. The target is hashed as given; callers pass it without userinfo (see RedactTarget), because an ID stands
// in links and a hash of a short password can be guessed.
func IncidentID(module, target, hostname string, start time.Time) string {
	words := []string{module, target, hostname, strconv.FormatInt(start.UnixNano(), 10)}
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return hex.EncodeToString(sum[:])[:16]
}

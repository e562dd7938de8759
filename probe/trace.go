package probe

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/redact"
)

// maxTraceBytes bounds what one probe may write into its Trace, whatever the remote side sends.
const maxTraceBytes = 64 << 10

// Trace collects the steps of one probe for a person: debug=true, a verbose log, or the evidence of an incident.
// Its methods do nothing on a nil Trace, but their arguments are evaluated all the same: test for nil first
// where that costs.
type Trace struct {
	ShowSent bool // what modules send may be shown; otherwise it is a secret

	mu    sync.Mutex
	steps []step
	bytes int
	sent  []string // what no step may show
}

// step is a line, or lines that are made when they are read.
type step struct {
	Step
	later func() []string
}

// Step is one line of a Trace.
type Step struct {
	Time time.Time
	Text string
}

// Step adds a line. Past the limit it adds one last line that says so.
func (t *Trace) Step(format string, args ...any) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bytes <= maxTraceBytes {
		t.add(time.Now(), redact.Text(fmt.Sprintf(format, args...), t.sent...))
	}
}

// add adds a line, or the one that says that there is no room; t.mu is held.
func (t *Trace) add(at time.Time, text string) {
	if t.bytes > maxTraceBytes {
		return
	}
	if t.bytes += len(text); t.bytes > maxTraceBytes {
		text = "further steps are left out: the trace is full"
	}
	t.steps = append(t.steps, step{Step: Step{Time: at, Text: text}})
}

// Later adds lines that are made when the probe has ended, or the steps are read, if they are kept at all: a scheduled probe
// keeps its steps only when it fails. What lines uses must not change any more.
func (t *Trace) Later(lines func() []string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bytes <= maxTraceBytes {
		t.steps = append(t.steps, step{Step: Step{Time: time.Now()}, later: lines})
	}
}

// Sending adds a line about text, which is about to be sent to the target. Unless ShowSent, it says only how long the text is,
// and later lines are without what a peer may repeat of it.
func (t *Trace) Sending(text string) {
	switch {
	case t == nil:
	case t.ShowSent || isCommand(text):
		t.Step("sending %s", Quoted(text))
	default:
		t.Step("sending %d bytes", len(text))
		t.mu.Lock()
		defer t.mu.Unlock()
		t.sent = append(t.sent, SentSecrets(text)...)
	}
}

// maxRepeated bounds, in bytes, what is looked at of a text that is sent: what a peer repeats of it is shown cut.
const maxRepeated = 4 << 10

// SentSecrets are the parts of what a module sends that no text may show: all of it, and the Credentials in it. A command
// alone, in capitals, is none.
func SentSecrets(text string) []string {
	text = strings.TrimSpace(text[:min(len(text), maxRepeated)])
	if isCommand(text) {
		return nil
	}
	return append([]string{text}, Credentials(text)...)
}

// named is a name and its value in a form, JSON, XML or a header.
var named = regexp.MustCompile(`([\w-]+)"?\s*[=:>]\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"&;,<}]+))`)

// Credentials are the parts of what a module sends that are passwords or the like: the words after one that announces a
// credential, e.g. AUTH or PASS, and the values whose names do, e.g. password=x or "token": "x".
func Credentials(text string) (secrets []string) {
	text = text[:min(len(text), maxRepeated)]
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		if !redact.IsCredential(m[1]) {
			continue
		}
		secrets = append(secrets, m[2]+m[3])
		if plain, err := strconv.Unquote(`"` + m[2] + `"`); err == nil && m[2] != "" {
			secrets = append(secrets, plain)
		}
		if plain, err := url.QueryUnescape(m[3]); err == nil {
			secrets = append(secrets, plain)
		}
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		announced := slices.IndexFunc(words, func(w string) bool { return redact.IsCredential(w) || strings.EqualFold(w, "login") })
		if announced >= 0 {
			secrets = append(secrets, slices.DeleteFunc(words[announced+1:], isCommand)...)
		}
	}
	return secrets
}

func isCommand(text string) bool { return strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ ") == "" }

// Steps returns the lines so far, oldest first.
func (t *Trace) Steps() []Step {
	if t == nil {
		return nil
	}
	t.finish()
	t.mu.Lock()
	defer t.mu.Unlock()
	steps := make([]Step, len(t.steps))
	for i, s := range t.steps {
		steps[i] = s.Step
	}
	return steps
}

// finish makes the lines that were left for later. What keeps the Trace then keeps only text, and no answer that the text is
// about.
func (t *Trace) finish() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.ContainsFunc(t.steps, func(s step) bool { return s.later != nil }) {
		return
	}
	waiting, before := t.steps, t.bytes
	t.steps, t.bytes = nil, 0
	for _, s := range waiting {
		if t.bytes > maxTraceBytes {
			break
		}
		lines := []string{s.Text}
		if s.later != nil {
			lines = s.later()
		}
		for _, text := range lines {
			t.add(s.Time, text)
		}
	}
	t.bytes = max(t.bytes, before) // one that was full stays full, though its last line is short
}

// Quoted shows the beginning of what a peer sent.
func Quoted[T string | []byte](text T) string {
	const most = 200
	if len(text) <= most {
		return strconv.Quote(string(text))
	}
	return strconv.Quote(string(text[:most])) + "…"
}

// MaxLabelValue bounds, in bytes, a label value that a remote side fills.
const MaxLabelValue = 1 << 10

// LabelValue makes s, which came from a remote side, fit for a label: valid UTF-8 without characters that control a terminal
// or the direction of text, and cut to MaxLabelValue. A terminal or a page of another program may show it unescaped.
func LabelValue(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), MaxLabelValue+utf8.UTFMax)], "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), MaxLabelValue)], "") // without half a character
}

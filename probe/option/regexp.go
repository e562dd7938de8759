package option

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"

	"rollcall/probe"
)

// Regexp is a compiled regular expression (RE2 syntax).
type Regexp struct {
	*regexp.Regexp
	size int // instructions of its program; 0: it is a plain text
}

// CompileRegexp compiles text, in RE2 syntax, and measures its program.
func CompileRegexp(text string) (Regexp, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return Regexp{}, fmt.Errorf("the regular expression does not compile: %w", err)
	}
	if _, whole := re.LiteralPrefix(); whole {
		return Regexp{re, 0}, nil
	}
	size, err := types.RegexProgramSize(text)
	if err != nil {
		return Regexp{}, fmt.Errorf("the regular expression does not compile: %w", err)
	}
	return Regexp{re, size}, nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Regexp) UnmarshalText(text []byte) (err error) {
	*r, err = CompileRegexp(string(text))
	return err
}

// LateRegexp is a Regexp that blackbox_exporter compiles when it probes, so that a wrong one makes its module unusable.
type LateRegexp struct{ Regexp }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *LateRegexp) UnmarshalText(text []byte) error {
	if err := r.Regexp.UnmarshalText(text); err != nil {
		return &Unusable{err}
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (r Regexp) MarshalText() ([]byte, error) {
	if r.Regexp == nil {
		return nil, nil
	}
	return []byte(r.String()), nil
}

// QuickSteps is how many steps, instructions of a program times bytes of text, are made without a look at the clock. A
// step takes up to 10 ns, so that is 150 ms at worst. Looking costs a long text far more than it costs a short one:
// package regexp can be stopped only where it reads runes one by one, and then it does not skip ahead.
const QuickSteps = 16 << 20

// Steps is how many steps a match in n bytes takes at most.
func (r Regexp) Steps(n int) int64 { return int64(r.size) * int64(n) }

// Matcher applies a module's regular expressions to what one target sent. Time is linear in the text, but the factor is
// the expression's size: (.{0,500}x){2} is a thousand times as slow as x. What is beyond quickSteps heeds the deadline.
type Matcher struct {
	Ctx   context.Context
	steps int64 // so far
}

// errExpired is why an expression was stopped.
var errExpired = errors.New("the time is up")

// Text reports whether re matches text. Its error is an *ExporterError, since the target did answer in time, or that the
// caller went away.
func (m *Matcher) Text(re Regexp, text string) (bool, error) {
	if m.quick(re, len(text)) {
		return re.MatchString(text), nil
	}
	return m.Bytes(re, []byte(text))
}

// Bytes is text for bytes.
func (m *Matcher) Bytes(re Regexp, text []byte) (matches bool, err error) {
	if m.quick(re, len(text)) {
		return re.Match(text), nil
	}
	r := m.reader(re, text)
	matches = re.MatchReader(r)
	return matches, m.verdict(re, r)
}

// Find returns where re and its groups match text, nil: nowhere. Its error is that of text.
func (m *Matcher) Find(re Regexp, text []byte) (match []int, err error) {
	if m.quick(re, len(text)) {
		return re.FindSubmatchIndex(text), nil
	}
	r := m.reader(re, text)
	match = re.FindReaderSubmatchIndex(r)
	return match, m.verdict(re, r)
}

func (m *Matcher) quick(re Regexp, n int) bool {
	m.steps += re.Steps(n)
	return re.size == 0 || m.steps <= QuickSteps
}

func (m *Matcher) reader(re Regexp, text []byte) *runes {
	return &runes{ctx: m.Ctx, left: text, every: max(QuickSteps/256/re.size, 1)}
}

func (m *Matcher) verdict(re Regexp, r *runes) error {
	if !r.stopped {
		return nil
	}
	return SlowExpression(m.Ctx, fmt.Errorf("matching %.200q: %w", re, errExpired))
}

// SlowExpression is the error of an expression that was not done when ctx was, err: the target had answered by then.
func SlowExpression(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &probe.ExporterError{Fault: probe.FaultExpression, Err: err}
}

// runes reads text until a context is done.
type runes struct {
	ctx     context.Context
	left    []byte
	every   int // runes between two looks at the clock
	count   int
	stopped bool
}

func (r *runes) ReadRune() (rune, int, error) {
	if r.count--; r.count < 0 {
		r.count = r.every
		r.stopped = r.stopped || r.ctx.Err() != nil
	}
	if r.stopped || len(r.left) == 0 {
		return 0, 0, io.EOF
	}
	c, size := utf8.DecodeRune(r.left)
	r.left = r.left[size:]
	return c, size, nil
}

package probe

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// httpChecks are the options that judge an answer. The first that is not content decides, in this order: status
// code, headers, the body's arrival, its text, its JSON, the version of HTTP, TLS.
type httpChecks struct {
	codes                           []int // empty: 2xx
	versions                        []HTTPVersion
	headerMatches, headerNotMatches []HeaderMatch
	bodyMatches, bodyNotMatches     []Regexp
	celMatches, celNotMatches       *CEL
	failIfTLS, failIfNotTLS         bool
}

func (c *httpChecks) usesCEL() bool { return c.celMatches != nil || c.celNotMatches != nil }

// looksAtBody reports whether a check needs to see the body.
func (c *httpChecks) looksAtBody() bool {
	return len(c.bodyMatches)+len(c.bodyNotMatches) > 0 || c.usesCEL()
}

// head judges what is known before the body.
func (c *httpChecks) head(resp *httpResponse, facts *HTTPFacts) error {
	valid := resp.status >= 200 && resp.status < 300
	if len(c.codes) > 0 {
		valid = slices.Contains(c.codes, resp.status)
	}
	if !valid {
		return c.badStatus(resp.status)
	}
	if err := c.headers(resp); err != nil {
		facts.FailedRegexp = true
		return err
	}
	return nil
}

func (c *httpChecks) badStatus(status int) error {
	if len(c.codes) == 0 {
		return failf(StageCheck, ReasonStatusCode, "the status code is %d; valid: 2xx", status)
	}
	return failf(StageCheck, ReasonStatusCode, "the status code is %d; valid: %s", status, strings.Trim(fmt.Sprint(c.codes), "[]"))
}

func (c *httpChecks) headers(resp *httpResponse) error {
	for _, m := range c.headerMatches {
		values := resp.header[m.Header]
		if len(values) == 0 && !m.AllowMissing {
			return failf(StageCheck, ReasonHeaderRegexp, "the answer has no header %s", m.Header)
		}
		if slices.ContainsFunc(values, m.Regexp.MatchString) {
			return failf(StageCheck, ReasonHeaderRegexp, "the header %s matches %q", m.Header, m.Regexp)
		}
	}
	for _, m := range c.headerNotMatches {
		values := resp.header[m.Header]
		if len(values) == 0 && !m.AllowMissing {
			return failf(StageCheck, ReasonHeaderRegexp, "the answer has no header %s", m.Header)
		}
		if len(values) > 0 && !slices.ContainsFunc(values, m.Regexp.MatchString) {
			return failf(StageCheck, ReasonHeaderRegexp, "the header %s does not match %q", m.Header, m.Regexp)
		}
	}
	return nil
}

// body judges a body that arrived whole.
func (c *httpChecks) body(ctx context.Context, body []byte, facts *HTTPFacts) error {
	for _, re := range c.bodyMatches {
		matches, err := matchBody(ctx, re, body)
		if err != nil {
			return err
		}
		if matches {
			facts.FailedRegexp = true
			return failf(StageCheck, ReasonBodyRegexp, "the body matches %q", re)
		}
	}
	for _, re := range c.bodyNotMatches {
		matches, err := matchBody(ctx, re, body)
		if err != nil {
			return err
		}
		if !matches {
			facts.FailedRegexp = true
			return failf(StageCheck, ReasonBodyRegexp, "the body does not match %q", re)
		}
	}
	if !c.usesCEL() {
		return nil
	}
	err := c.json(ctx, body)
	facts.FailedCEL = isFailure(err, ReasonBodyCEL) // not when the time ran out
	return err
}

// longBody is how long a body must be for its matching to heed the deadline: a megabyte takes a regular expression
// some 100 ms at worst, and the way that can be stopped costs more.
const longBody = 1 << 20

// matchBody ends with ctx; its error is then a timeout, or that the asker went away.
func matchBody(ctx context.Context, re Regexp, body []byte) (bool, error) {
	if len(body) < longBody {
		return re.Match(body), nil
	}
	r := runes{ctx: ctx, left: body}
	matches := re.MatchReader(&r)
	if r.stopped {
		return false, classify(ctx, StageCheck, fmt.Errorf("matching %q: %w", re, ctx.Err()))
	}
	return matches, nil
}

// runes reads text until a context is done.
type runes struct {
	ctx     context.Context
	left    []byte
	count   uint
	stopped bool
}

func (r *runes) ReadRune() (rune, int, error) {
	if r.count++; r.count%512 == 0 && r.ctx.Err() != nil {
		r.stopped = true
	}
	if r.stopped || len(r.left) == 0 {
		return 0, 0, io.EOF
	}
	c, size := utf8.DecodeRune(r.left)
	r.left = r.left[size:]
	return c, size, nil
}

func (c *httpChecks) json(ctx context.Context, body []byte) error {
	document, err := decodeJSON(body)
	if err != nil {
		return fail(StageCheck, ReasonBodyCEL, err)
	}
	for _, check := range []struct {
		expression *CEL
		fails      bool // the value that is a failure
		says       string
	}{{c.celMatches, true, "matches"}, {c.celNotMatches, false, "does not match"}} {
		if check.expression == nil {
			continue
		}
		holds, err := check.expression.holds(ctx, document)
		if ctx.Err() != nil {
			return classify(ctx, StageCheck, ctx.Err())
		}
		if err != nil {
			return fail(StageCheck, ReasonBodyCEL, err)
		}
		if holds == check.fails {
			return failf(StageCheck, ReasonBodyCEL, "the body %s CEL %q", check.says, check.expression)
		}
	}
	return nil
}

// connection judges what carried the answer.
func (c *httpChecks) connection(resp *httpResponse, tls bool) error {
	switch {
	case len(c.versions) > 0 && !slices.Contains(c.versions, HTTPVersion(resp.proto)):
		return failf(StageCheck, ReasonHTTPVersion, "the answer came over %s", resp.proto)
	case c.failIfTLS && tls:
		return failf(StageCheck, ReasonTLSPresent, "the answer came over TLS")
	case c.failIfNotTLS && !tls:
		return failf(StageCheck, ReasonTLSAbsent, "the answer did not come over TLS")
	default:
		return nil
	}
}

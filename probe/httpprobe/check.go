package httpprobe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/probe"
	"rollcall/probe/httpprobe/jsoncel"
	"rollcall/probe/option"
)

// checks are the options that judge an answer. The first that is not content decides, in this order: status
// code, headers, the body's arrival, its text, its JSON, the version of HTTP, TLS.
type checks struct {
	codes                           []int // empty: 2xx
	versions                        []Version
	headerMatches, headerNotMatches []HeaderMatch
	bodyMatches, bodyNotMatches     []option.Regexp
	celMatches, celNotMatches       *jsoncel.Expression
	failIfTLS, failIfNotTLS         bool
}

func (c *checks) usesCEL() bool { return c.celMatches != nil || c.celNotMatches != nil }

// looksAtBody reports whether a check needs to see the body.
func (c *checks) looksAtBody() bool {
	return len(c.bodyMatches)+len(c.bodyNotMatches) > 0 || c.usesCEL()
}

// head judges what is known before the body.
func (c *checks) head(m *option.Matcher, resp *response, facts *probe.HTTPFacts) error {
	valid := resp.status >= 200 && resp.status < 300
	if len(c.codes) > 0 {
		valid = slices.Contains(c.codes, resp.status)
	}
	if !valid {
		return c.badStatus(resp.status)
	}
	err := c.headers(m, resp)
	facts.FailedRegexp = probe.HasReason(err, probe.ReasonHeaderRegexp)
	return err
}

func (c *checks) badStatus(status int) error {
	if len(c.codes) == 0 {
		return probe.Failf(probe.StageCheck, probe.ReasonStatusCode, "the status code is %d; valid: 2xx", status)
	}
	return probe.Failf(probe.StageCheck, probe.ReasonStatusCode, "the status code is %d; valid: %s", status, strings.Trim(fmt.Sprint(c.codes), "[]"))
}

func (c *checks) headers(m *option.Matcher, resp *response) error {
	for i := range c.headerMatches {
		check := &c.headerMatches[i]
		matches, err := check.matches(m, resp)
		if err != nil {
			return err
		}
		if matches {
			return probe.Failf(probe.StageCheck, probe.ReasonHeaderRegexp, "the header %s matches %q", check.Header, check.Regexp)
		}
	}
	for i := range c.headerNotMatches {
		check := &c.headerNotMatches[i]
		matches, err := check.matches(m, resp)
		if err != nil {
			return err
		}
		if !matches && len(resp.header[check.Header]) > 0 {
			return probe.Failf(probe.StageCheck, probe.ReasonHeaderRegexp, "the header %s does not match %q", check.Header, check.Regexp)
		}
	}
	return nil
}

// matches reports whether one of the header's values matches. That there is none is an error unless it is allowed.
func (h *HeaderMatch) matches(m *option.Matcher, resp *response) (bool, error) {
	values := resp.header[h.Header]
	if len(values) == 0 && !h.AllowMissing {
		return false, probe.Failf(probe.StageCheck, probe.ReasonHeaderRegexp, "the answer has no header %s", h.Header)
	}
	for _, value := range values {
		if matches, err := m.Text(h.Regexp, value); err != nil || matches {
			return matches, err
		}
	}
	return false, nil
}

// body judges a body that arrived whole.
func (c *checks) body(m *option.Matcher, body []byte, facts *probe.HTTPFacts) error {
	for _, re := range c.bodyMatches {
		matches, err := m.Bytes(re, body)
		if err != nil {
			return err
		}
		if matches {
			facts.FailedRegexp = true
			return probe.Failf(probe.StageCheck, probe.ReasonBodyRegexp, "the body matches %q", re)
		}
	}
	for _, re := range c.bodyNotMatches {
		matches, err := m.Bytes(re, body)
		if err != nil {
			return err
		}
		if !matches {
			facts.FailedRegexp = true
			return probe.Failf(probe.StageCheck, probe.ReasonBodyRegexp, "the body does not match %q", re)
		}
	}
	if !c.usesCEL() {
		return nil
	}
	err := c.json(m.Ctx, body)
	facts.FailedCEL = probe.HasReason(err, probe.ReasonBodyCEL) // not when it took too long
	return err
}

func (c *checks) json(ctx context.Context, body []byte) error {
	document, err := jsoncel.Decode(body)
	if err != nil {
		return probe.Fail(probe.StageCheck, probe.ReasonBodyCEL, err)
	}
	for _, check := range []struct {
		expression *jsoncel.Expression
		fails      bool // the value that is a failure
		says       string
	}{{c.celMatches, true, "matches"}, {c.celNotMatches, false, "does not match"}} {
		if check.expression == nil {
			continue
		}
		holds, err := check.expression.Holds(ctx, document)
		if err != nil {
			return err
		}
		if holds == check.fails {
			return probe.Failf(probe.StageCheck, probe.ReasonBodyCEL, "the body %s CEL %q", check.says, check.expression)
		}
	}
	return nil
}

// connection judges what carried the answer.
func (c *checks) connection(resp *response, tls bool) error {
	switch {
	case len(c.versions) > 0 && !slices.Contains(c.versions, Version(resp.proto)):
		return probe.Failf(probe.StageCheck, probe.ReasonHTTPVersion, "the answer came over %s", resp.proto)
	case c.failIfTLS && tls:
		return probe.Failf(probe.StageCheck, probe.ReasonTLSPresent, "the answer came over TLS")
	case c.failIfNotTLS && !tls:
		return probe.Failf(probe.StageCheck, probe.ReasonTLSAbsent, "the answer did not come over TLS")
	default:
		return nil
	}
}

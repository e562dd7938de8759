// Package checks judges an answer by a module's options. It knows nothing of how the answer came.
package checks

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"rollcall/probe"
	"rollcall/probe/httpprobe/jsoncel"
	"rollcall/probe/option"
)

// HeaderMatch is a regexp for the values of one response header, whose name is canonical once it is compiled.
type HeaderMatch struct {
	Header       string        `yaml:"header"`
	Regexp       option.Regexp `yaml:"regexp"`
	AllowMissing bool          `yaml:"allow_missing,omitempty"`
}

// Checks are the options that judge an answer. The first that is not content decides, in this order: status
// code, headers, the body's arrival, its text, its JSON, the version of HTTP, TLS.
type Checks struct {
	Codes                           []int    // empty: 2xx
	Versions                        []string // empty: all
	HeaderMatches, HeaderNotMatches []HeaderMatch
	BodyMatches, BodyNotMatches     []option.Regexp
	CELMatches, CELNotMatches       *jsoncel.Expression
	FailIfTLS, FailIfNotTLS         bool
}

// UsesCEL reports whether the body must be JSON.
func (c *Checks) UsesCEL() bool { return c.CELMatches != nil || c.CELNotMatches != nil }

// LooksAtBody reports whether a check needs to see the body.
func (c *Checks) LooksAtBody() bool {
	return len(c.BodyMatches)+len(c.BodyNotMatches) > 0 || c.UsesCEL()
}

// Head judges what is known before the body.
func (c *Checks) Head(m *option.Matcher, status int, header http.Header, facts *probe.HTTPFacts) error {
	valid := status >= 200 && status < 300
	if len(c.Codes) > 0 {
		valid = slices.Contains(c.Codes, status)
	}
	if !valid {
		return c.badStatus(status)
	}
	err := c.headers(m, header)
	facts.FailedRegexp = probe.HasReason(err, probe.ReasonHeaderRegexp)
	return err
}

func (c *Checks) badStatus(status int) error {
	valid := "2xx"
	if len(c.Codes) > 0 {
		valid = strings.Trim(fmt.Sprint(c.Codes), "[]")
	}
	return probe.Failf(probe.StageCheck, probe.ReasonStatusCode, "the status code is %d; valid: %s", status, valid)
}

func (c *Checks) headers(m *option.Matcher, header http.Header) error {
	for i := range c.HeaderMatches {
		check := &c.HeaderMatches[i]
		matches, err := check.matches(m, header)
		if err != nil {
			return err
		}
		if matches {
			return probe.Failf(probe.StageCheck, probe.ReasonHeaderRegexp, "the header %s matches %q", check.Header, check.Regexp)
		}
	}
	for i := range c.HeaderNotMatches {
		check := &c.HeaderNotMatches[i]
		matches, err := check.matches(m, header)
		if err != nil {
			return err
		}
		if !matches && len(header[check.Header]) > 0 {
			return probe.Failf(probe.StageCheck, probe.ReasonHeaderRegexp, "the header %s does not match %q", check.Header, check.Regexp)
		}
	}
	return nil
}

// matches reports whether one of the header's values matches. That there is none is an error unless it is allowed.
func (h *HeaderMatch) matches(m *option.Matcher, header http.Header) (bool, error) {
	values := header[h.Header]
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

// Body judges a body that arrived whole.
func (c *Checks) Body(m *option.Matcher, body []byte, facts *probe.HTTPFacts) error {
	for _, re := range c.BodyMatches {
		matches, err := m.Bytes(re, body)
		if err != nil {
			return err
		}
		if matches {
			facts.FailedRegexp = true
			return probe.Failf(probe.StageCheck, probe.ReasonBodyRegexp, "the body matches %q", re)
		}
	}
	for _, re := range c.BodyNotMatches {
		matches, err := m.Bytes(re, body)
		if err != nil {
			return err
		}
		if !matches {
			facts.FailedRegexp = true
			return probe.Failf(probe.StageCheck, probe.ReasonBodyRegexp, "the body does not match %q", re)
		}
	}
	if !c.UsesCEL() {
		return nil
	}
	err := c.json(m.Ctx, body)
	facts.FailedCEL = probe.HasReason(err, probe.ReasonBodyCEL) // not when it took too long
	return err
}

func (c *Checks) json(ctx context.Context, body []byte) error {
	document, err := jsoncel.Decode(body)
	if err != nil {
		return probe.Fail(probe.StageCheck, probe.ReasonBodyCEL, err)
	}
	for _, check := range []struct {
		expression *jsoncel.Expression
		fails      bool // the value that is a failure
		says       string
	}{{c.CELMatches, true, "matches"}, {c.CELNotMatches, false, "does not match"}} {
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

// Connection judges what carried the answer.
func (c *Checks) Connection(proto string, tls bool) error {
	switch {
	case len(c.Versions) > 0 && !slices.Contains(c.Versions, proto):
		return probe.Failf(probe.StageCheck, probe.ReasonHTTPVersion, "the answer came over %s", proto)
	case c.FailIfTLS && tls:
		return probe.Failf(probe.StageCheck, probe.ReasonTLSPresent, "the answer came over TLS")
	case c.FailIfNotTLS && !tls:
		return probe.Failf(probe.StageCheck, probe.ReasonTLSAbsent, "the answer did not come over TLS")
	default:
		return nil
	}
}

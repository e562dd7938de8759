package dnsprobe

import (
	"context"
	"errors"
	"slices"

	"rollcall/probe"
	"rollcall/probe/option"
)

// RecordOptions is what the records of one section of an answer must look like. The regular expressions see each
// record as a line of a zone file.
type RecordOptions struct {
	FailIfMatchesRegexp     []option.LateRegexp `yaml:"fail_if_matches_regexp,omitempty"`
	FailIfAllMatchRegexp    []option.LateRegexp `yaml:"fail_if_all_match_regexp,omitempty"`
	FailIfNotMatchesRegexp  []option.LateRegexp `yaml:"fail_if_not_matches_regexp,omitempty"`
	FailIfNoneMatchesRegexp []option.LateRegexp `yaml:"fail_if_none_matches_regexp,omitempty"`
}

// empty reports whether any records will do.
func (o *RecordOptions) empty() bool {
	return len(o.FailIfMatchesRegexp)+len(o.FailIfAllMatchRegexp)+len(o.FailIfNotMatchesRegexp)+len(o.FailIfNoneMatchesRegexp) == 0
}

// dnsChecks judge an answer.
type dnsChecks struct {
	serial   bool     // it is the SOA record that was asked for
	codes    []uint16 // the valid ones
	sections [3]RecordOptions
}

func compileDNSChecks(o *Options) (dnsChecks, error) {
	c := dnsChecks{sections: [3]RecordOptions{o.ValidateAnswer, o.ValidateAuthority, o.ValidateAdditional}}
	if o.ValidRcodes == nil {
		c.codes = []uint16{0}
		return c, nil
	}
	var errs []error
	if len(o.ValidRcodes) == 0 {
		errs = append(errs, option.Unusablef("valid_rcodes", "is empty, so that no answer would do; accepted: %s", namesOf(dnsCodes)))
	}
	for i, name := range o.ValidRcodes {
		code, ok := numberOf(dnsCodes, name)
		if !ok {
			errs = append(errs, option.Unusablef(option.Index("valid_rcodes", i), "%q is unknown; accepted: %s", name, namesOf(dnsCodes)))
		}
		c.codes = append(c.codes, code)
	}
	return c, errors.Join(errs...)
}

// judge reads an answer to q whole, notes what it holds, and judges it.
func (c *dnsChecks) judge(ctx context.Context, q dnsQuery, msg []byte, text *[]byte, facts *probe.DNSFacts, trace *probe.Trace) error {
	code := uint16(msg[3] & 0xf)
	counts := [3]*int{&facts.Answers, &facts.Authorities, &facts.Additionals}
	for records := q.records(msg); ; {
		rec, more, err := records.next()
		if err == nil && !more {
			break
		}
		sound := false
		if err == nil {
			*text, sound = appendDNSRecord((*text)[:0], rec)
		}
		if !sound {
			*facts = probe.DNSFacts{}
			return probe.Fail(probe.StageResponse, probe.ReasonProtocolError, errMalformed)
		}
		*counts[records.section]++
		if trace != nil {
			trace.Step("%s: %s", dnsSections[records.section], probe.Quoted(*text))
		}
		switch {
		case rec.rtype == dnsTypeOPT && records.section == 2:
			code |= uint16(rec.ttl>>24) << 4 // RFC 6891, 6.1.3
		case c.serial && rec.rtype == dnsTypeSOA && records.section == 0:
			facts.Serial, facts.HasSerial = rec.serial(), true
		}
	}
	facts.Succeeded = true
	if trace != nil {
		trace.Step("the response code is %s", codeName(code))
	}
	if !slices.Contains(c.codes, code) {
		return probe.Failf(probe.StageCheck, probe.ReasonResponseCode, "the response code is %s", codeName(code))
	}
	m := option.Matcher{Ctx: ctx}
	for i := range c.sections {
		if !c.sections[i].empty() {
			if err := c.section(&m, i, q, msg, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// section judges the records of one section.
func (c *dnsChecks) section(m *option.Matcher, section int, q dnsQuery, msg []byte, text *[]byte) error {
	o := &c.sections[section]
	count, all, some := 0, true, false // all: match each of FailIfAllMatchRegexp; some: match one of FailIfNoneMatchesRegexp
	for records := q.records(msg); ; {
		rec, more, err := records.next()
		if err != nil || !more {
			break // err: the first reading found none
		}
		if records.section != section {
			continue
		}
		count++
		*text, _ = appendDNSRecord((*text)[:0], rec)
		if re, err := firstMatch(m, o.FailIfMatchesRegexp, *text, true); err != nil {
			return err
		} else if re != nil {
			return recordFailure(section, "%s matches %q", probe.Quoted(*text), re)
		}
		if re, err := firstMatch(m, o.FailIfNotMatchesRegexp, *text, false); err != nil {
			return err
		} else if re != nil {
			return recordFailure(section, "%s does not match %q", probe.Quoted(*text), re)
		}
		other, err := firstMatch(m, o.FailIfAllMatchRegexp, *text, false)
		if err != nil {
			return err
		}
		one, err := firstMatch(m, o.FailIfNoneMatchesRegexp, *text, true)
		if err != nil {
			return err
		}
		all, some = all && other == nil, some || one != nil
	}
	switch {
	case count == 0 && len(o.FailIfNotMatchesRegexp)+len(o.FailIfNoneMatchesRegexp) > 0:
		return recordFailure(section, "there is none, and a regular expression is to match")
	case !all:
		return recordFailure(section, "not all match fail_if_all_match_regexp")
	case !some && len(o.FailIfNoneMatchesRegexp) > 0:
		return recordFailure(section, "none matches fail_if_none_matches_regexp")
	default:
		return nil
	}
}

// firstMatch returns the first expression that matches text, or that does not; nil: there is none.
func firstMatch(m *option.Matcher, all []option.LateRegexp, text []byte, matching bool) (*option.LateRegexp, error) {
	for i := range all {
		matches, err := m.Bytes(all[i].Regexp, text)
		if err != nil {
			return nil, err
		}
		if matches == matching {
			return &all[i], nil
		}
	}
	return nil, nil
}

func recordFailure(section int, format string, args ...any) error {
	return probe.Failf(probe.StageCheck, probe.ReasonRecordRegexp, "of the "+dnsSections[section]+" records "+format, args...)
}

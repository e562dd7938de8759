package dnsprobe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/miekg/dns"

	"rollcall/probe"
	"rollcall/probe/option"
)

// RecordOptions is what the records of one section of an answer must look like. The regular expressions see each
// record as a line of a zone file, as the library writes it.
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

// checks judge an answer.
type checks struct {
	serial   bool  // the query is for an SOA record
	rcodes   []int // the valid ones
	sections [len(sections)]RecordOptions
}

func compileChecks(o *Options) (checks, error) {
	c := checks{
		serial:   o.QueryType == "SOA",
		sections: [...]RecordOptions{o.ValidateAnswer, o.ValidateAuthority, o.ValidateAdditional},
	}
	if o.ValidRcodes == nil {
		c.rcodes = []int{dns.RcodeSuccess}
		return c, nil
	}
	rcodes := maps.Clone(dns.StringToRcode)
	rcodes["BADVERS"] = dns.RcodeBadVers // the library has BADSIG for it, which has the same number
	var errs option.Collector
	if len(o.ValidRcodes) == 0 {
		errs.Unusablef("valid_rcodes", "is empty, so that no answer would do; accepted: %s", namesOf(rcodes))
	}
	for i, name := range o.ValidRcodes {
		rcode, known := rcodes[name]
		if !known {
			errs.Unusablef(option.Index("valid_rcodes", i), "%q is unknown; accepted: %s", name, namesOf(rcodes))
		}
		c.rcodes = append(c.rcodes, rcode)
	}
	return c, errs.Err()
}

func rcodeName(rcode int) string {
	if name, known := dns.RcodeToString[rcode]; known {
		return name
	}
	return strconv.Itoa(rcode)
}

// judge reads the records of a, notes in facts what they are, and judges them. What counts first is a malformed message, then
// the response code, then the sections in their order.
func (c *checks) judge(ctx context.Context, a answer, facts *probe.DNSFacts, trace *probe.Trace) error {
	var verdicts [len(sections)]sectionVerdict
	for i := range verdicts {
		verdicts[i] = sectionVerdict{RecordOptions: &c.sections[i], all: true}
	}
	matcher := option.Matcher{Ctx: ctx}
	found := probe.DNSFacts{Succeeded: true, Truncated: a.truncated}
	for records := a.reader(); ; {
		rr, err := records.next()
		if err != nil {
			return probe.Fail(probe.StageResponse, probe.ReasonProtocolError, fmt.Errorf("the answer is malformed: %w", err))
		}
		if rr == nil {
			break
		}
		if opt, is := rr.(*dns.OPT); is && records.section == additional {
			a.rcode |= opt.ExtendedRcode() // RFC 6891, 6.1.3
		}
		c.note(&found, records.section, rr)
		if trace != nil {
			trace.Step("%s: %s", sections[records.section], probe.Quoted(rr.String()))
		}
		if err := verdicts[records.section].add(&matcher, rr); err != nil {
			return err
		}
	}
	*facts = found
	if trace != nil {
		trace.Step("the response code is %s", rcodeName(a.rcode))
	}
	if !slices.Contains(c.rcodes, a.rcode) {
		return probe.Failf(probe.StageCheck, probe.ReasonResponseCode, "the response code is %s", rcodeName(a.rcode))
	}
	for i := range verdicts {
		if why := verdicts[i].failure(); why != "" {
			return probe.Failf(probe.StageCheck, probe.ReasonRecordRegexp, "of the %s records %s", sections[i], why)
		}
	}
	return nil
}

// note counts a record, and takes the serial number out of the last SOA record of the answer.
func (c *checks) note(facts *probe.DNSFacts, section int, rr dns.RR) {
	switch section {
	case additional:
		facts.Additionals++
	case authority:
		facts.Authorities++
	default:
		facts.Answers++
		if soa, is := rr.(*dns.SOA); is && c.serial {
			facts.Serial, facts.HasSerial = soa.Serial, true
		}
	}
}

// sectionVerdict is what the records of one section come to, one after the other.
type sectionVerdict struct {
	*RecordOptions
	count int
	all   bool   // each matches every FailIfAllMatchRegexp
	some  bool   // one matches one of FailIfNoneMatchesRegexp
	why   string // what a single record has failed for; empty: nothing
}

// add judges one more record. Its error is that the deadline passed meanwhile.
func (v *sectionVerdict) add(m *option.Matcher, rr dns.RR) error {
	if v.count++; v.empty() || v.why != "" {
		return nil
	}
	text := rr.String()
	if re, err := firstMatch(m, v.FailIfMatchesRegexp, text, true); err != nil {
		return err
	} else if re != nil {
		v.why = fmt.Sprintf("%s matches %q", probe.Quoted(text), re)
		return nil
	}
	if re, err := firstMatch(m, v.FailIfNotMatchesRegexp, text, false); err != nil {
		return err
	} else if re != nil {
		v.why = fmt.Sprintf("%s does not match %q", probe.Quoted(text), re)
		return nil
	}
	other, err := firstMatch(m, v.FailIfAllMatchRegexp, text, false)
	if err != nil {
		return err
	}
	one, err := firstMatch(m, v.FailIfNoneMatchesRegexp, text, true)
	v.all, v.some = v.all && other == nil, v.some || one != nil
	return err
}

// failure says why the section fails; empty: it does not.
func (v *sectionVerdict) failure() string {
	switch {
	case v.why != "":
		return v.why
	case v.count == 0 && len(v.FailIfNotMatchesRegexp)+len(v.FailIfNoneMatchesRegexp) > 0:
		return "there is none, and a regular expression is to match"
	case !v.all:
		return "not all match fail_if_all_match_regexp"
	case !v.some && len(v.FailIfNoneMatchesRegexp) > 0:
		return "none matches fail_if_none_matches_regexp"
	default:
		return ""
	}
}

// firstMatch returns the first expression that matches text, or that does not; nil: there is none.
func firstMatch(m *option.Matcher, all []option.LateRegexp, text string, matching bool) (*option.LateRegexp, error) {
	for i := range all {
		matches, err := m.Text(all[i].Regexp, text)
		if err != nil {
			return nil, err
		}
		if matches == matching {
			return &all[i], nil
		}
	}
	return nil, nil
}

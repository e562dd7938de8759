//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// reply has the values that a measurement reads from one reply.
type reply struct {
	Duration float64 // probe_duration_seconds
	Phases   float64 // the sum of probe_http_duration_seconds
}

// expectation is the content of a correct reply.
type expectation struct {
	success  string   // the value of probe_success
	families []string // every family, in the order of the exposition; nil: not checked
}

// check reads text and returns an error for a wrong verdict or a missing or extra family.
func (e expectation) check(text []byte) (reply, error) {
	var r reply
	success, seen := "", 0
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		if after, ok := bytes.CutPrefix(line, []byte("# TYPE ")); ok {
			name, _, _ := bytes.Cut(after, []byte(" "))
			if e.families != nil && (seen == len(e.families) || string(name) != e.families[seen]) {
				return r, fmt.Errorf("family %d is %s, want %s", seen, name, e.nth(seen))
			}
			seen++
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(" "))
		if !ok || name[0] == '#' {
			continue
		}
		switch {
		case string(name) == "probe_success":
			success = string(value)
		case string(name) == "probe_duration_seconds":
			v, err := strconv.ParseFloat(string(value), 64)
			if err != nil {
				return r, err
			}
			r.Duration = v
		case bytes.HasPrefix(name, []byte("probe_http_duration_seconds{")):
			v, err := strconv.ParseFloat(string(value), 64)
			if err != nil {
				return r, err
			}
			r.Phases += v
		}
	}
	if number, err := strconv.ParseFloat(success, 64); err != nil || strconv.FormatFloat(number, 'g', -1, 64) != e.success {
		return r, fmt.Errorf("probe_success is %q, want %s", success, e.success)
	}
	if e.families != nil && seen != len(e.families) {
		return r, fmt.Errorf("%d families, the next should be %s", seen, e.nth(seen))
	}
	return r, nil
}

func (e expectation) nth(i int) string {
	if i < len(e.families) {
		return e.families[i]
	}
	return "none"
}

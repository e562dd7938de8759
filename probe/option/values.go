// Package option has what the options of several probers are made of: durations, sizes, IP protocols, regular expressions,
// files that are watched for changes, and the collector of configuration errors. It knows no prober and no configuration
// file; errors carry the path of the option below its module.
package option

import (
	"fmt"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// The types in this file are single values of the configuration. Each reads itself from text and refuses what
// cannot work, so that a mistake is found at load, with its line.

// Duration is a time span written as Prometheus ("1d", "1m30s") or as Go ("1.5s") does; it is positive.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := model.ParseDuration(string(text))
	span := time.Duration(v)
	if err != nil {
		if span, err = time.ParseDuration(string(text)); err != nil {
			return fmt.Errorf("%q is not a duration; accepted: a number with a unit, e.g. 500ms, 5s, 1m30s, 1d", text)
		}
	}
	if span <= 0 {
		return fmt.Errorf("%q is not a positive duration", text)
	}
	*d = Duration(span)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Size is a number of bytes, written with a unit ("10MB"; 1 KB = 1 KiB = 1024) or as 0.
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*s = 0
		return nil
	}
	v, err := units.ParseBase2Bytes(string(text))
	if err == nil && v < 0 {
		*s = 0
		return &Warning{fmt.Errorf("%q is negative, which is no limit", text)}
	}
	if err != nil {
		return fmt.Errorf("%q is not a size; accepted: a number with a unit, e.g. 512B, 100KB, 10MB, 1GiB, or 0", text)
	}
	*s = Size(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) {
	if s == 0 {
		return []byte("0"), nil
	}
	return []byte(units.Base2Bytes(s).String()), nil
}

// IPProtocol is the preferred address family: "ip4" or "ip6". Empty means ip6, blackbox_exporter's default; another word
// is accepted with a warning, and means ip4 as there.
type IPProtocol string

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *IPProtocol) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "", "ip4", "ip6":
		*p = IPProtocol(s)
		return nil
	default:
		*p = "ip4"
		return &Warning{fmt.Errorf("%q is read as ip4; accepted: ip4, ip6", s)}
	}
}

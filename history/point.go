package history

import (
	"encoding/binary"
	"errors"

	"rollcall/probe"
)

// state of a point, and of a target's last verdict.
type state uint8

const (
	unknown state = iota
	up
	down
)

func (s state) public() State {
	switch s {
	case up:
		return StateUp
	case down:
		return StateDown
	}
	return StateUnknown
}

const phaseCount = 5

// failure is a stage and a reason. Its zero value is none.
type failure struct {
	stage  probe.Stage
	reason probe.Reason
}

// point is a turn as it is kept.
type point struct {
	time     int64 // Unix milliseconds
	interval int64 // the target's at this time
	state    state
	duration code             // fine
	phases   [phaseCount]code // coarse
	status   uint16
	failure  failure
	expiry   int64 // of the certificate, Unix seconds; 0: none
}

var errFormat = errors.New("the row is damaged")

// What a point in a stream has that the one before it has not.
const (
	hasInterval = 1 << (iota + 2) // below it: the state
	hasPhases
	hasStatus
	hasFailure
	hasExpiry
)

// appendPoint writes p after the point before. It is for what is short-lived: results of the last hours in memory, and
// the journal, where each point follows the zero one.
func appendPoint(b []byte, before, p *point) []byte {
	flags := byte(p.state)
	if p.interval != before.interval {
		flags |= hasInterval
	}
	if p.phases != [phaseCount]code{} {
		flags |= hasPhases
	}
	if p.status != before.status {
		flags |= hasStatus
	}
	if p.failure != before.failure {
		flags |= hasFailure
	}
	if p.expiry != before.expiry {
		flags |= hasExpiry
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, p.time-before.time-before.interval)
	if flags&hasInterval != 0 {
		b = binary.AppendVarint(b, p.interval)
	}
	if p.state != unknown {
		b = binary.AppendUvarint(b, uint64(p.duration))
	}
	if flags&hasPhases != 0 {
		for _, c := range p.phases {
			b = binary.AppendUvarint(b, uint64(c))
		}
	}
	if flags&hasStatus != 0 {
		b = binary.AppendUvarint(b, uint64(p.status))
	}
	if flags&hasFailure != 0 {
		b = appendString(b, string(p.failure.stage))
		b = appendString(b, string(p.failure.reason))
	}
	if flags&hasExpiry != 0 {
		b = binary.AppendVarint(b, p.expiry)
	}
	return b
}

// readPoint reads what appendPoint wrote; p is the point before and becomes the next.
func (r *reader) readPoint(p *point) {
	flags := r.byte()
	p.time += p.interval + r.varint()
	if flags&hasInterval != 0 {
		p.interval = r.interval()
	}
	p.duration, p.phases = 0, [phaseCount]code{}
	if p.state = state(flags & 3); p.state > down {
		r.bad = true
	}
	if p.state != unknown {
		p.duration = r.code()
	}
	if flags&hasPhases != 0 {
		for i := range p.phases {
			p.phases[i] = r.code()
		}
	}
	if flags&hasStatus != 0 {
		p.status = uint16(r.uvarint())
	}
	if flags&hasFailure != 0 {
		p.failure.stage = probe.Stage(r.string())
		p.failure.reason = probe.Reason(r.string())
	}
	if flags&hasExpiry != 0 {
		p.expiry = r.varint()
	}
}

// readPoints reads a stream of points to its end.
func readPoints(b []byte) ([]point, error) {
	r := reader{rest: b}
	var points []point
	var p point
	for len(r.rest) > 0 {
		if r.readPoint(&p); r.bad {
			return nil, errFormat
		}
		points = append(points, p)
	}
	return points, nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader reads a row. After an error it reads zeros, and bad is set.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() {
	r.bad, r.rest = true, nil
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		v := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// count reads a number of things that each take up at least some bytes of the rest; size 0: no bytes, limit things.
func (r *reader) count(limit int) int { return int(r.number(uint64(limit))) }

// number reads a number of at most limit.
func (r *reader) number(limit uint64) uint64 {
	n := r.uvarint()
	if n > limit {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) code() code { return code(r.count(1<<16 - 1)) }

// interval reads an interval; a negative one would make negative spans.
func (r *reader) interval() int64 {
	v := r.varint()
	if v < 0 {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

package content

import (
	"errors"
	"io"

	"rollcall/probe"
)

// Sink takes a decoded body: counts it, and keeps it when a check will look at it.
type Sink struct {
	Limit int64 // 0: none
	Keep  bool
	Size  int64 // bytes so far, at most Limit
	Kept  []byte

	Memory *probe.Limit // holds Kept; nil: no bound
}

// ErrTooLarge ends reading at the limit.
var ErrTooLarge = errors.New("the body is over the limit")

// Fill reads r to its end or to the limit, through buffer, which becomes kept when the body is kept.
func (s *Sink) Fill(r io.Reader, buffer []byte) error {
	s.Kept = buffer[:0]
	for {
		into := buffer[:cap(buffer)]
		if s.Keep {
			if len(s.Kept) == cap(s.Kept) {
				if err := s.grow(); err != nil {
					return err
				}
			}
			into = s.Kept[len(s.Kept):cap(s.Kept)]
		}
		n, err := r.Read(into)
		s.Size += int64(n)
		if s.Limit > 0 && s.Size > s.Limit {
			n -= int(s.Size - s.Limit)
			s.Size = s.Limit
			err = ErrTooLarge
		}
		if s.Keep {
			s.Kept = s.Kept[:len(s.Kept)+n]
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// grow doubles what can be kept, but not beyond the byte that is one too many.
func (s *Sink) grow() error {
	next := 2 * cap(s.Kept)
	if s.Limit > 0 && int64(next) > s.Limit {
		next = max(int(s.Limit)+1, cap(s.Kept)+1)
	}
	if err := s.Memory.Hold(int64(next - len(s.Kept))); err != nil {
		return err
	}
	s.Kept = append(make([]byte, 0, next), s.Kept...)
	return nil
}

// Limited bounds what a decompressor may take in: a stream that never yields anything must end, too.
type Limited struct {
	Reader io.Reader
	Left   int64 // negative: no bound
	Err    error // what reading Reader met, as opposed to what the decompressor made of it
}

func (c *Limited) Read(b []byte) (int, error) {
	if c.Left == 0 {
		c.Err = ErrTooLarge
		return 0, c.Err
	}
	if c.Left > 0 {
		b = b[:min(int64(len(b)), c.Left)]
	}
	n, err := c.Reader.Read(b)
	if c.Left > 0 {
		c.Left -= int64(n)
	}
	if err != nil && err != io.EOF {
		c.Err = err
	}
	return n, err
}

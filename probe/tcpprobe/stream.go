package tcpprobe

import (
	"bytes"
	"io"
	"net"

	"rollcall/probe"
)

// stream reads a connection by lines or by bytes, whichever the next turn asks for, and loses nothing that it read
// ahead. It holds to maxLine and maxConversation; passing one is a *Failure.
type stream struct {
	conn  net.Conn     // writes go straight to it
	limit *probe.Limit // holds what buf grows by
	buf   []byte
	start int // buf[start:end] has been received and not been taken
	end   int
	total int // bytes received, also before TLS started
	sent  []string
}

// secrets are the parts, by of, of what was sent.
func (s *stream) secrets(of func(sent string) []string) (all []string) {
	for _, sent := range s.sent {
		all = append(all, of(sent)...)
	}
	return all
}

// buffered is how much was received and not taken.
func (s *stream) buffered() int { return s.end - s.start }

// take hands out n buffered bytes. They are valid until the next read.
func (s *stream) take(n int) []byte {
	taken := s.buf[s.start : s.start+n]
	s.start += n
	return taken
}

// fill receives something unless something is buffered.
func (s *stream) fill() error {
	if s.buffered() > 0 {
		return nil
	}
	return s.more()
}

// line is the next line, without its LF or CRLF, valid until the next read. The last line of a stream needs none
// to end it; after it comes io.EOF.
func (s *stream) line() ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(s.buf[s.start+searched:s.end], '\n'); i >= 0 {
			line := s.take(searched + i + 1)
			return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
		}
		searched = s.buffered()
		if searched >= maxLine {
			return nil, probe.Failf(probe.StageConversation, probe.ReasonLineTooLong, "reading a line: no end after %d bytes", searched)
		}
		err := s.more()
		if err == io.EOF && searched > 0 {
			return bytes.TrimSuffix(s.take(searched), []byte("\r")), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// more receives at least one byte, behind those that are buffered.
func (s *stream) more() error {
	if s.total >= maxConversation {
		return probe.Failf(probe.StageConversation, probe.ReasonConversationTooLong, "reading: the peer sent %d bytes without what is expected", s.total)
	}
	switch {
	case s.start == s.end:
		s.start, s.end = 0, 0
	case s.end == len(s.buf) && s.start > 0:
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	if s.end == len(s.buf) {
		size := max(firstBuffer, 2*len(s.buf))
		if size > freeBuffer {
			if err := s.limit.Hold(int64(size)); err != nil {
				return err
			}
		}
		grown := make([]byte, size)
		copy(grown, s.buf[:s.end])
		s.buf = grown
	}
	n, err := s.conn.Read(s.buf[s.end:min(len(s.buf), s.end+maxConversation-s.total)])
	s.end += n
	s.total += n
	if n > 0 {
		return nil // the error, if there is one, comes again
	}
	return err
}

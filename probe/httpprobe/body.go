package httpprobe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"

	"rollcall/probe"
	"rollcall/probe/network"
)

// framedBody is an HTTP/1 body as its header delimits it (RFC 9112, section 6.3).
type framedBody struct {
	in      *bufio.Reader
	left    int64     // of a body with a length; -1: until the connection closes
	chunked io.Reader // not nil: in chunks
	source  *headReader
}

// frame finds out where resp's body ends. It is stricter than net/http where a header says two things at once: an
// answer that two readers understand differently is a broken one. Bytes after the end belong to no answer (RFC 9112,
// section 6.3); whether they are here already or still on their way decides nothing.
func (c *http1Conn) frame(req *request, resp *response) error {
	length, err := contentLength(resp.header["Content-Length"])
	if err != nil {
		return err
	}
	codings := resp.header["Transfer-Encoding"]
	chunked := len(codings) > 0 && (resp.major > 1 || resp.minor > 0)
	if chunked {
		if len(codings) > 1 || !strings.EqualFold(strings.TrimSpace(codings[0]), "chunked") {
			return textproto.ProtocolError(fmt.Sprintf("the answer's Transfer-Encoding is %q, which nobody asked for", cut(strings.Join(codings, ", "))))
		}
		if length >= 0 {
			return textproto.ProtocolError("the answer has both a Content-Length and a Transfer-Encoding")
		}
	}
	resp.contentLength = length
	c.body = framedBody{in: c.in, left: length, source: &c.head}
	resp.body = &c.body
	switch {
	case req.method == http.MethodHead:
		resp.noBody = true
	case resp.status < 200, resp.status == http.StatusNoContent, resp.status == http.StatusNotModified:
		resp.noBody, resp.contentLength = true, 0
	case chunked:
		c.body.chunked = httputil.NewChunkedReader(c.in)
		resp.end = c.readTrailer
	}
	return nil
}

// contentLength is the one length that a header names, -1 without any.
func contentLength(values []string) (int64, error) {
	length := int64(-1)
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			part = strings.TrimSpace(part)
			n, err := strconv.ParseUint(part, 10, 63)
			if err != nil || (length >= 0 && int64(n) != length) {
				return 0, textproto.ProtocolError(fmt.Sprintf("the answer's Content-Length is %q", cut(strings.Join(values, ", "))))
			}
			length = int64(n)
		}
	}
	return length, nil
}

func (b *framedBody) Read(p []byte) (int, error) {
	switch {
	case b.chunked != nil:
		n, err := b.chunked.Read(p)
		if err != nil && err != io.EOF && b.source.err == nil {
			err = textproto.ProtocolError(err.Error()) // nothing but the chunks themselves can be wrong
		}
		return n, err
	case b.left < 0:
		return b.in.Read(p)
	case b.left == 0:
		return 0, io.EOF
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0 && err == nil:
		err = io.EOF
	case b.left > 0 && (err == io.EOF || err == io.ErrUnexpectedEOF):
		err = textproto.ProtocolError(fmt.Sprintf("it ends %d bytes before its Content-Length", b.left))
	}
	return n, err
}

// readTrailer reads what follows the last chunk.
func (c *http1Conn) readTrailer() error {
	c.head.inHead, c.head.read = true, 0
	_, err := c.readHeader()
	return err
}

// bodySink takes a decoded body: counts it, and keeps it when somebody will look at it.
type bodySink struct {
	limit int64 // 0: none
	keep  bool
	size  int64
	kept  []byte

	memory *probe.BodyMemory
	held   int64 // of memory; to be given back once nobody looks at kept any more
}

// errBodyTooLarge ends reading at the limit.
var errBodyTooLarge = errors.New("the body is over the limit")

// fill reads r to its end or to the limit, through buffer, which becomes kept when the body is kept.
func (s *bodySink) fill(r io.Reader, buffer []byte) error {
	s.kept = buffer[:0]
	for {
		into := buffer[:cap(buffer)]
		if s.keep {
			if len(s.kept) == cap(s.kept) {
				if err := s.grow(); err != nil {
					return err
				}
			}
			into = s.kept[len(s.kept):cap(s.kept)]
		}
		n, err := r.Read(into)
		s.size += int64(n)
		if s.limit > 0 && s.size > s.limit {
			n -= int(s.size - s.limit)
			s.size = s.limit
			err = errBodyTooLarge
		}
		if s.keep {
			s.kept = s.kept[:len(s.kept)+n]
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
func (s *bodySink) grow() error {
	next := 2 * cap(s.kept)
	if s.limit > 0 && int64(next) > s.limit {
		next = max(int(s.limit)+1, cap(s.kept)+1)
	}
	if err := s.memory.Take(int64(next) - s.held); err != nil {
		return err
	}
	s.held = int64(next)
	s.kept = append(make([]byte, 0, next), s.kept...)
	return nil
}

// compressedReader bounds what a decompressor may take in: a stream that never yields anything must end, too.
type compressedReader struct {
	r    io.Reader
	left int64 // negative: no bound
	err  error // what reading r met, as opposed to what the decompressor made of it
}

func (c *compressedReader) Read(b []byte) (int, error) {
	if c.left == 0 {
		c.err = errBodyTooLarge
		return 0, c.err
	}
	if c.left > 0 {
		b = b[:min(int64(len(b)), c.left)]
	}
	n, err := c.r.Read(b)
	if c.left > 0 {
		c.left -= int64(n)
	}
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// readBody reads resp's body as the module says: decoded, bounded, kept only when a check looks at it. Its error is
// classified; size and kept are filled as far as it came.
func (p *prober) readBody(ctx context.Context, resp *response, sink *bodySink, buffer []byte) error {
	if resp.noBody {
		return nil
	}
	if err := p.checkCoding(resp, sink.keep); err != nil {
		return err
	}
	source := compressedReader{r: resp.body, left: -1}
	if p.limit > 0 && p.limit < 1<<40 {
		source.left = 4*p.limit + 64<<10 // stored blocks and tiny chunks take more than they yield
	}
	var err error
	if resp.contentLength != 0 {
		var decoded io.Reader
		var done func()
		if decoded, done, err = p.decoders.decode(p.compression, &source); err == nil {
			err = sink.fill(decoded, buffer)
			done()
		}
	}
	if err == nil && resp.end != nil {
		err = resp.end()
		source.err = err
	}
	return p.classifyBody(ctx, err, source.err)
}

// checkCoding compares what the answer says of its coding with what the module expects. A body that somebody looks at
// must be readable; one that is only counted may come in any coding, which RFC 9110 allows without Accept-Encoding.
func (p *prober) checkCoding(resp *response, looksAtBody bool) error {
	coding := strings.ToLower(strings.Join(resp.header["Content-Encoding"], ", "))
	coding = strings.TrimPrefix(coding, "x-") // x-gzip is gzip
	switch {
	case coding == "", coding == "identity", coding == string(p.compression):
		return nil
	case p.compression == "" && !looksAtBody && p.headers.accepts == nil:
		return nil
	case p.compression == "" && p.headers.accepts.covers(Compression(coding)) && p.headers.accepts != nil:
		return nil // the module asked for it and did not say that it wants it decoded
	default:
		return probe.Failf(probe.StageBody, probe.ReasonContentEncoding, "the body comes as %q, which the module did not ask for", cut(coding))
	}
}

// classifyBody names what went wrong with a body: err is what the reader of the decoded body met, source what
// happened before decoding.
func (p *prober) classifyBody(ctx context.Context, err, source error) error {
	var protocol textproto.ProtocolError
	switch {
	case err == nil:
		return nil
	case probe.Is[*probe.ExporterError](err):
		return err
	case errors.Is(err, errBodyTooLarge), errors.Is(source, errBodyTooLarge):
		return probe.Failf(probe.StageBody, probe.ReasonBodyTooLarge, "reading the body: it is over body_size_limit, %d bytes", p.limit)
	case errors.Is(err, errHeadTooLarge):
		return probe.Failf(probe.StageBody, probe.ReasonHeadersTooLarge, "reading the body: its trailer is over %d bytes long", maxHeadBytes)
	case source == nil && p.compression != "" && p.compression != "identity":
		return probe.Failf(probe.StageBody, probe.ReasonContentEncoding, "decoding the body: it is not %s: %w", p.compression, err)
	case source != nil:
		err = source
	}
	if errors.As(err, &protocol) {
		return probe.Failf(probe.StageBody, probe.ReasonProtocolError, "reading the body: %w", err)
	}
	return network.Classify(ctx, probe.StageBody, fmt.Errorf("reading the body: %w", err))
}

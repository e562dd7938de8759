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
	"rollcall/probe/httpprobe/content"
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
			return textproto.ProtocolError(fmt.Sprintf("the answer's Transfer-Encoding is %q, which was not asked for", cut(strings.Join(codings, ", "))))
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

// readBody reads resp's body as the module says: decoded, bounded, kept only when a check looks at it. Its error is
// classified; size and kept are filled as far as it came.
func (p *prober) readBody(ctx context.Context, resp *response, sink *content.Sink, buffer []byte) error {
	if resp.noBody {
		return nil
	}
	if err := p.checkCoding(resp, sink.Keep); err != nil {
		return err
	}
	source := content.Limited{Reader: resp.body, Left: -1}
	if p.limit > 0 && p.limit < 1<<40 {
		source.Left = 4*p.limit + 64<<10 // stored blocks and tiny chunks take more than they yield
	}
	coding := string(p.compression)
	if resp.contentLength == 0 {
		coding = "" // nothing is in no coding; over HTTP/2 and HTTP/3 something may come all the same
	}
	decoded, done, err := p.decoders.Decode(coding, &source, probe.LimitOf(ctx))
	if err == nil {
		err = sink.Fill(decoded, buffer)
		done()
	}
	if err == nil && resp.end != nil {
		err = resp.end()
		source.Err = err
	}
	return p.classifyBody(ctx, err, source.Err)
}

// checkCoding compares what the answer says of its coding with what the module expects. A body that a check looks at
// must be readable; one that is only counted may come in any coding, which RFC 9110 allows without Accept-Encoding.
func (p *prober) checkCoding(resp *response, looksAtBody bool) error {
	coding := strings.ToLower(strings.Join(resp.header["Content-Encoding"], ", "))
	coding = strings.TrimPrefix(coding, "x-") // x-gzip is gzip
	switch {
	case coding == "", coding == "identity", coding == string(p.compression):
		return nil
	case p.compression == "" && !looksAtBody && p.headers.accepts == nil:
		return nil
	case p.compression == "" && p.headers.accepts.Covers(coding) && p.headers.accepts != nil:
		return nil // the module asked for it and did not say that it wants it decoded
	default:
		return probe.Failf(probe.StageBody, probe.ReasonContentEncoding, "the body comes as %q, which the module did not ask for", cut(coding))
	}
}

// classifyBody names what went wrong with a body: err is what the reader of the decoded body met, source what
// happened before decoding.
func (p *prober) classifyBody(ctx context.Context, err, source error) error {
	switch {
	case err == nil:
		return nil
	case probe.Is[*probe.ExporterError](err):
		return err
	case errors.Is(err, content.ErrTooLarge), errors.Is(source, content.ErrTooLarge):
		return probe.Failf(probe.StageBody, probe.ReasonBodyTooLarge, "reading the body: it is over body_size_limit, %d bytes", p.limit)
	case errors.Is(err, errHeadTooLarge):
		return probe.Failf(probe.StageBody, probe.ReasonHeadersTooLarge, "reading the body: its trailer is over %d bytes long", maxHeadBytes)
	case source == nil && p.compression != "" && p.compression != "identity":
		return probe.Failf(probe.StageBody, probe.ReasonContentEncoding, "decoding the body: it is not %s: %w", p.compression, err)
	case source != nil:
		err = source
	}
	if probe.Is[textproto.ProtocolError](err) {
		return probe.Failf(probe.StageBody, probe.ReasonProtocolError, "reading the body: %w", err)
	}
	return network.Classify(ctx, probe.StageBody, fmt.Errorf("reading the body: %w", err))
}

package collector

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rollcall/probe"
)

// Replies writes the replies of /probe. The zero value is ready, and many goroutines may use it at once.
type Replies struct {
	formats formats
	pool    sync.Pool // of *reply
}

// reply is what one answer needs and the next can use again.
type reply struct {
	builder *builder
	buffer  []byte
}

// maxKeptBuffer bounds what a buffer may keep for the next reply; an ordinary reply is about 5 KB.
const maxKeptBuffer = 64 << 10

// Write answers with r's metrics in the format that accept, the request's Accept header, asks for: the text
// format 0.0.4, OpenMetrics or protobuf. The reply is never compressed: compressing two kilobytes costs more than
// the probe. A hint, one line of text, stands at the end of the text format, which people read; empty: none. The error is the
// connection's; the client has gone.
func (p *Replies) Write(w http.ResponseWriter, accept string, r *probe.Record, hint string) error {
	format := p.formats.negotiate(accept)
	reply := p.take()
	defer p.put(reply)
	if err := reply.encode(format, r); err != nil {
		return err
	}
	if hint != "" && format.ours && !format.openMetrics {
		reply.buffer = append(append(append(reply.buffer, "# "...), hint...), '\n')
	}
	header := w.Header()
	header["Content-Type"] = format.contentType
	header["Content-Length"] = []string{strconv.Itoa(len(reply.buffer))}
	_, err := w.Write(reply.buffer)
	return err
}

// AppendText appends r's metrics in the text format, for a person to read.
func (p *Replies) AppendText(buf []byte, r *probe.Record) []byte {
	reply := p.take()
	defer p.put(reply)
	reply.builder.build(r)
	return reply.builder.appendText(buf, false)
}

func (p *Replies) take() *reply {
	if kept, ok := p.pool.Get().(*reply); ok {
		return kept
	}
	return &reply{builder: newBuilder()}
}

func (p *Replies) put(r *reply) {
	if cap(r.buffer) <= maxKeptBuffer {
		p.pool.Put(r)
	}
}

func (r *reply) encode(format *format, record *probe.Record) error {
	r.builder.build(record)
	if format.ours {
		r.buffer = r.builder.appendText(r.buffer[:0], format.openMetrics)
		return nil
	}
	buffer := bytes.NewBuffer(r.buffer[:0])
	encoder := expfmt.NewEncoder(buffer, format.format)
	for _, f := range r.builder.built {
		if err := encoder.Encode(&r.builder.families[f]); err != nil {
			return err
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil { // writes the end mark of OpenMetrics
			return err
		}
	}
	r.buffer = buffer.Bytes()
	return nil
}

// formats remembers what an Accept header came to. Prometheus sends the same one with every scrape, and parsing
// it costs as much as writing the reply.
type formats struct {
	mu    sync.RWMutex
	known map[string]*format
}

// format is a negotiated format with its header value, shared by all replies and never changed.
type format struct {
	format      expfmt.Format
	openMetrics bool
	ours        bool // text.go writes it, not expfmt
	contentType []string
}

func newFormat(f expfmt.Format) *format {
	openMetrics := f.FormatType() == expfmt.TypeOpenMetrics
	text := openMetrics || f.FormatType() == expfmt.TypeTextPlain
	return &format{
		format: f, openMetrics: openMetrics,
		ours:        text && f.ToEscapingScheme() != model.DotsEscaping, // the one scheme that changes names like ours
		contentType: []string{string(f)},
	}
}

// The cache is bounded against clients that invent headers: when it is full it starts anew, and a header longer than any
// Prometheus sends is parsed each time.
const (
	maxFormats      = 32
	maxCachedAccept = 1 << 10
)

func (f *formats) negotiate(accept string) *format {
	f.mu.RLock()
	found := f.known[accept]
	f.mu.RUnlock()
	if found != nil {
		return found
	}
	found = newFormat(expfmt.NegotiateAccept(http.Header{"Accept": {accept}}, expfmt.DefaultOpenMetricsAcceptedFormats()...))
	if len(accept) > maxCachedAccept {
		return found
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= maxFormats {
		f.known = make(map[string]*format, maxFormats)
	}
	f.known[strings.Clone(accept)] = found
	return found
}

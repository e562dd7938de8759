package collector

import (
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// targetsProto writes a reply in protobuf. A family is one message that begins with its length, so each is gone through
// twice: to measure, and to write. Its series are never in memory together.
type targetsProto struct {
	output
	scheme model.EscapingScheme
	one    []byte // the series being written
}

// fieldMetric is the number of the field metric of io.prometheus.client.MetricFamily.
const fieldMetric = 4

func (r *targetsProto) write(v *view) error {
	for _, f := range targetFamilies {
		length, any := 0, false
		f.each(v, func(s *targetSeries) bool {
			any = true
			length += protowire.SizeTag(fieldMetric) + protowire.SizeBytes(len(r.encode(f, s)))
			return true
		})
		if !any {
			continue
		}
		name := f.escaped(r.scheme)
		head, err := proto.Marshal(&dto.MetricFamily{Name: &name, Help: &f.help, Type: &f.kind})
		if err != nil {
			return err
		}
		r.buf = append(protowire.AppendVarint(r.buf, uint64(len(head)+length)), head...)
		f.each(v, func(s *targetSeries) bool {
			r.buf = protowire.AppendTag(r.buf, fieldMetric, protowire.BytesType)
			r.buf = protowire.AppendBytes(r.buf, r.encode(f, s))
			r.flush(targetsBuffer / 2)
			return r.err == nil
		})
		if r.err != nil {
			return r.err
		}
	}
	r.flush(0)
	return r.err
}

// encode returns a series as a message of the kind io.prometheus.client.Metric, valid until the next call.
func (r *targetsProto) encode(f targetFamily, s *targetSeries) []byte {
	m := &dto.Metric{Label: labelPairs(s.target.allLabels(r.scheme, s.extra[:]...))}
	switch f.kind {
	case dto.MetricType_HISTOGRAM:
		m.Histogram = s.tally.histogram()
	case dto.MetricType_COUNTER:
		m.Counter = &dto.Counter{Value: &s.value, CreatedTimestamp: timestamppb.New(time.Unix(0, s.tally.start))}
		if s.incident != "" {
			m.Counter.Exemplar = &dto.Exemplar{
				Label: []*dto.LabelPair{{Name: proto.String(exemplarLabel), Value: &s.incident}}, Value: proto.Float64(1),
				Timestamp: timestamppb.New(time.Unix(0, s.tally.downAt)),
			}
		}
	default:
		m.Gauge = &dto.Gauge{Value: &s.value}
	}
	encoded, err := proto.MarshalOptions{}.MarshalAppend(r.one[:0], m)
	if err != nil { // a text that is not valid UTF-8, which Apply mends
		return nil
	}
	r.one = encoded
	return encoded
}

// histogram is the tally's durations: native, with the classic buckets beside it for a scraper that wants them.
func (t *tally) histogram() *dto.Histogram {
	h := &dto.Histogram{
		SampleCount: &t.results[resultUp], SampleSum: &t.sum, CreatedTimestamp: timestamppb.New(time.Unix(0, t.start)),
		Schema: proto.Int32(int32(t.schema)), ZeroThreshold: proto.Float64(zeroThreshold), ZeroCount: proto.Uint64(uint64(t.zero)),
	}
	below := uint64(0)
	for i := range classicBounds {
		below += uint64(t.classic[i])
		h.Bucket = append(h.Bucket, &dto.Bucket{CumulativeCount: proto.Uint64(below), UpperBound: proto.Float64(classicBounds[i])})
	}
	before, next := int64(0), int32(0) // the count of the bucket before, and its index plus one
	for i, b := range t.native {
		if gap := int32(b.index) - next; i == 0 || gap > 0 {
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(gap), Length: proto.Uint32(0)})
		}
		*h.PositiveSpan[len(h.PositiveSpan)-1].Length++
		h.PositiveDelta = append(h.PositiveDelta, int64(b.count)-before)
		before, next = int64(b.count), int32(b.index)+1
	}
	if len(t.native) == 0 && t.zero == 0 { // what tells an empty native histogram from none
		h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
	return h
}

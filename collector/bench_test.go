package collector

import (
	"net/http"
	"testing"
)

// promAccept is what Prometheus 2.42 sends, promAccept3 what Prometheus 3 sends.
const (
	promAccept  = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	promAccept3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)

// discard is a ResponseWriter that throws everything away and allocates nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

func BenchmarkReply(b *testing.B) {
	for _, test := range []struct{ name, record, accept string }{
		{"tcp/openmetrics", "tcp", promAccept},
		{"refused/openmetrics", "refused", promAccept},
		{"http/openmetrics", "http", promAccept},
		{"https/openmetrics", "https", promAccept},
		{"https/prometheus3", "https", promAccept3},
		{"https/text", "https", ""},
		{"https/protobuf", "https", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"},
	} {
		b.Run(test.name, func(b *testing.B) {
			record := records()[test.record]
			var replies Replies
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				if err := replies.Write(w, test.accept, record, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

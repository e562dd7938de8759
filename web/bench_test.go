package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// discard is a ResponseWriter that throws everything away.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// scrape is a request as Prometheus sends it.
func scrape() *http.Request {
	r := httptest.NewRequest("GET", "/probe?module=tcp_connect&target=example.org%3A443", http.NoBody)
	r.ContentLength = 0
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set(scrapeTimeoutHeader, "10")
	return r
}

// BenchmarkProbe is /probe whole, with all observers, but a prober that answers at once and no network.
func BenchmarkProbe(b *testing.B) {
	h := newFixture(b, nil)
	r := scrape()
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		h.handler.ServeHTTP(w, r)
	}
	if w.status != 0 {
		b.Fatalf("status %d", w.status)
	}
}

func BenchmarkObserve(b *testing.B) {
	h := newFixture(b, nil)
	h.do("GET", "/probe?target=x")
	record := h.recent.latest(1)[0].record
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(record)
	}
}

package prometheus

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"rollcall/history"
	"rollcall/probe"
)

// answering is a server that says the same to every query.
type answering []byte

// RoundTrip implements http.RoundTripper.
func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(a)), Request: r}, nil
}

// FuzzServer asks everything of a server that answers anything: no answer ends the process, and results are in order.
func FuzzServer(f *testing.F) {
	for _, kind := range []string{
		`"vector","result":[{"metric":{"module":"m","target":"t","stage":"connect"},"value":[1,"0"]}]`,
		`"vector","result":[{"metric":{"module":"m","target":"t"},"value":[1e300,"NaN"]}]`,
		`"matrix","result":[{"metric":{"module":"m","target":"t"},"values":[[1,"1"],[2,"+Inf"],[1,"0"]]}]`,
		`"scalar","result":[1,"1"]`,
	} {
		f.Add([]byte(`{"status":"success","data":{"resultType":` + kind + `}}`))
	}
	f.Add([]byte(`{"status":"error","error":"no"}`))
	now := time.Unix(1_700_000_000, 0)
	target := &probe.Target{Module: "m", Target: "t"}
	f.Fuzz(func(t *testing.T, answer []byte) {
		s, err := New(Options{URL: "http://prometheus.test", Client: &http.Client{Transport: answering(answer)}})
		if err != nil {
			t.Fatal(err)
		}
		s.Apply([]*probe.Target{target})
		_, _ = s.Overview(t.Context(), history.Range24h)
		_, _ = s.Series(t.Context(), target.ID(), now.Add(-time.Hour), now, time.Minute)
		_, _ = s.Incident(t.Context(), "0123456789abcdef01234567")
		results, err := s.Results(t.Context(), target.ID(), now.Add(-time.Hour), now, 100)
		for n := 1; n < len(results) && err == nil; n++ {
			if results[n].Time.After(results[n-1].Time) {
				t.Errorf("result %d is newer than the one before", n)
			}
		}
	})
}

package prometheus

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/history"
)

// TestServerThatFails: the error is returned and stands in the status until the server answers again.
func TestServerThatFails(t *testing.T) {
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		kind := "vector"
		if strings.HasSuffix(r.URL.Path, "query_range") {
			kind = "matrix"
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"`+kind+`","result":[]}}`)
	}))
	defer server.Close()
	s, err := New(Options{URL: server.URL + "/prefix"})
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	if _, err := s.Overview(t.Context(), history.Range24h); err == nil || s.Status().Problem == "" || s.Status().Since.IsZero() {
		t.Errorf("a failing server: %v, %+v", err, s.Status())
	}
	broken.Store(false)
	o, err := s.Overview(t.Context(), history.Range24h)
	if err != nil || len(o.Targets) != 0 || s.Status().Problem != "" {
		t.Errorf("an empty server: %+v, %v, %+v", o, err, s.Status())
	}
	if _, err := s.Series(t.Context(), "0123456789abcdef", time.Now().Add(-time.Hour), time.Now(), time.Minute); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("a target that the server does not know: %v", err)
	}
	if _, err := s.Incident(t.Context(), "0123456789abcdef"); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("an incident that the server does not know: %v", err)
	}
}

func TestURLs(t *testing.T) {
	for _, url := range []string{"", "prometheus:9090", "ftp://prometheus", "http://"} {
		if _, err := New(Options{URL: url}); err == nil {
			t.Errorf("%q is accepted", url)
		}
	}
}

// TestFillUnknown holds what is made of the numbers of scraped samples.
func TestFillUnknown(t *testing.T) {
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	buckets := []history.Counts{ // Unknown is what was scraped
		{},                              // before the first sample
		{Up: 20, Unknown: 20},           // it begins
		{Up: 60, Unknown: 60},           // whole
		{Up: 30, Down: 10, Unknown: 60}, // 20 without a verdict
		{Up: 15, Unknown: 15},           // rollcall was stopped for most of it
		{},                              // and for all
		{Up: 29, Unknown: 29},           // half over
		{},                              // to come
	}
	fillUnknown(buckets, from, time.Hour, from.Add(6*time.Hour+30*time.Minute))
	for i, want := range []uint32{0, 0, 0, 20, 45, 60, 0, 0} {
		if buckets[i].Unknown != want {
			t.Errorf("bucket %d: %d are unknown, want %d", i, buckets[i].Unknown, want)
		}
	}
}

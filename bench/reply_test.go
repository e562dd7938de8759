//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const goodReply = `# HELP probe_duration_seconds …
# TYPE probe_duration_seconds gauge
probe_duration_seconds 0.25
# HELP probe_http_duration_seconds …
# TYPE probe_http_duration_seconds gauge
probe_http_duration_seconds{phase="connect"} 0.125
probe_http_duration_seconds{phase="transfer"} 0.0625
# HELP probe_success …
# TYPE probe_success gauge
probe_success 1.0
# EOF
`

var goodFamilies = []string{"probe_duration_seconds", "probe_http_duration_seconds", "probe_success"}

func TestExpectationReadsAGoodReply(t *testing.T) {
	for _, families := range [][]string{goodFamilies, nil} {
		got, err := expectation{success: "1", families: families}.check([]byte(goodReply))
		if want := (reply{Duration: 0.25, Phases: 0.1875}); err != nil || got != want {
			t.Errorf("families %v: check = %+v, %v; want %+v", families, got, err, want)
		}
	}
}

func TestExpectationFindsWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		text     string
		families []string
	}{
		"down":                {strings.Replace(goodReply, "probe_success 1.0", "probe_success 0", 1), goodFamilies},
		"no verdict":          {strings.Replace(goodReply, "probe_success 1.0\n", "", 1), goodFamilies},
		"a family missing":    {strings.Replace(goodReply, "# TYPE probe_http_duration_seconds gauge\n", "", 1), goodFamilies},
		"the last missing":    {strings.Replace(goodReply, "# TYPE probe_success gauge\n", "", 1), goodFamilies},
		"a family too many":   {goodReply + "# TYPE probe_extra gauge\n", goodFamilies},
		"no number":           {strings.Replace(goodReply, "0.25", "much", 1), goodFamilies},
		"a phase's no number": {strings.Replace(goodReply, "0.125", "much", 1), goodFamilies},
		"empty":               {"", goodFamilies},
	} {
		if _, err := (expectation{success: "1", families: test.families}).check([]byte(test.text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestScraperReadsEveryKindOfBody(t *testing.T) {
	var request http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request = r.Header
		switch r.FormValue("module") {
		case "length":
			w.Header().Set("Content-Length", fmt.Sprint(len(goodReply)))
			io.WriteString(w, goodReply)
		case "chunks":
			for line := range strings.Lines(goodReply) {
				io.WriteString(w, line)
				w.(http.Flusher).Flush()
			}
		case "gzip":
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			io.WriteString(z, goodReply)
			z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed.Bytes())
		case "target":
			io.WriteString(w, r.FormValue("target"))
		default:
			http.Error(w, "unknown module", http.StatusBadRequest)
		}
	}))
	defer server.Close()
	s, err := newScraper(server.Listener.Addr().String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for range 2 { // the connection goes on
		for _, kind := range []string{"length", "chunks", "gzip"} {
			if text, err := s.scrape(kind, "x", 5*time.Second); err != nil || string(text) != goodReply {
				t.Errorf("%s: %q, %v", kind, text, err)
			}
		}
	}
	const target = "http://127.0.0.1:80/?a=b&c=d%25"
	if text, err := s.scrape("target", target, 5*time.Second); err != nil || string(text) != target {
		t.Errorf("the target arrived as %q, %v", text, err)
	}
	if request.Get("X-Prometheus-Scrape-Timeout-Seconds") != "5" || request.Get("Accept-Encoding") != "gzip" {
		t.Errorf("request headers %v", request)
	}
	if _, err := s.scrape("?", "x", 5*time.Second); err == nil || !strings.Contains(err.Error(), "unknown module") {
		t.Errorf("a refusal: %v", err)
	}
}

func TestScraperGivesUpOnASilentExporter(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s, err := newScraper(listener.Addr().String(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.scrape("http", "x", 20*time.Millisecond); err == nil {
		t.Error("a reply came from nowhere")
	}
}

package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"rollcall/probe"
)

func FuzzQuery(f *testing.F) {
	f.Add("target=example.org:443&module=tcp_connect&debug=true", "10")
	f.Add("target=%00", "NaN")
	f.Add("target=a&target=b", "1e300")
	f.Add("&&=&target=%zz;x=y", "-0")
	f.Add("target=+%2B%25&hostname=%ff", "Inf")
	f.Fuzz(func(t *testing.T, query, timeout string) {
		h := newFixture(t, nil)
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/probe", RawQuery: query}, Header: http.Header{}, Proto: "HTTP/1.1"}
		if timeout != "" {
			r.Header[scrapeTimeoutHeader] = []string{timeout}
		}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		asked := h.prober.request()
		if w.Code != 200 {
			if asked.Target != "" {
				t.Errorf("%d, yet %q was probed", w.Code, asked.Target)
			}
			return
		}
		if values, err := url.ParseQuery(query); err == nil && values.Get("target") != asked.Target {
			t.Errorf("asked for %q, the query says %q", asked.Target, values["target"])
		}
		if !printable(asked.Target) || asked.Target == "" || len(asked.Target) > probe.MaxTarget {
			t.Errorf("probed %q", asked.Target)
		}
		if kept := h.recent.latest(1); len(kept) != 1 || kept[0].record.Timeout <= 0 || kept[0].record.Timeout > maxScrapeTimeout {
			t.Errorf("kept %+v", kept)
		}
	})
}

func FuzzReport(f *testing.F) {
	f.Add("https://user:canary@example.org", "cause\x1b[0m", "step\r\n")
	f.Fuzz(func(t *testing.T, target, cause, step string) {
		h := newFixture(t, nil)
		record := &probe.Record{Module: "tcp_connect", Prober: "tcp", Target: target, Result: downResult(), Trace: new(probe.Trace)}
		record.Result.Failure.Err = errors.New(cause)
		record.Trace.Step("%s", step)
		text := string(h.report(record, h.options.Current(), true))
		for i, line := range strings.Split(text, "\n") {
			if !printable(line) {
				t.Errorf("line %d is %q", i, line)
			}
		}
		empty := *record
		empty.Target, empty.Result.Failure = "", &probe.Failure{Stage: probe.StageConnect, Reason: probe.ReasonConnectionRefused, Err: errors.New("")}
		empty.Trace = new(probe.Trace)
		empty.Trace.Step("")
		if got, want := strings.Count(text, "\n"), strings.Count(string(h.report(&empty, h.options.Current(), true)), "\n"); got != want {
			t.Errorf("what was said outside makes %d lines of %d", got, want)
		}
	})
}

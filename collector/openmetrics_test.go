package collector

import (
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"rollcall/probe"
)

// sampleEndings are what may follow a family's name in the names of its samples (OpenMetrics 1.0.0).
var sampleEndings = map[model.MetricType][]string{
	model.MetricTypeGauge:     {""},
	model.MetricTypeUnknown:   {""},
	model.MetricTypeCounter:   {"_total", "_created"},
	model.MetricTypeHistogram: {"_bucket", "_count", "_sum", "_created"},
	model.MetricTypeSummary:   {"", "_count", "_sum", "_created"},
	model.MetricTypeInfo:      {"_info"},
}

// checkExposition parses text as Prometheus does, and fails t also for what Prometheus lets pass: a family that is there
// twice or has no type, two families that could have the same sample, a sample outside its family, a repeated series.
func checkExposition(t *testing.T, name, contentType, text string) {
	t.Helper()
	parser, err := textparse.New([]byte(text), contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	openMetrics := strings.HasPrefix(contentType, "application/openmetrics-text")
	family, endings := "", []string(nil)
	families, samples, series := map[string]bool{}, map[string]string{}, map[string]bool{}
	for {
		entry, err := parser.Next()
		switch {
		case errors.Is(err, io.EOF):
			if len(series) == 0 {
				t.Errorf("%s: nothing", name)
			}
			return
		case err != nil:
			t.Fatalf("%s: %v in\n%s", name, err, text)
		case entry == textparse.EntryType:
			typed, kind := parser.Type()
			if family = string(typed); families[family] {
				t.Errorf("%s: the family %s is there twice", name, family)
			}
			families[family] = true
			if endings = sampleEndings[kind]; !openMetrics && kind == model.MetricTypeCounter {
				endings = []string{""}
			}
			for _, ending := range endings {
				if other := samples[family+ending]; other != "" {
					t.Errorf("%s: %s and %s clash in %s%s", name, other, family, family, ending)
				}
				samples[family+ending] = family
			}
		case entry == textparse.EntrySeries:
			var l labels.Labels
			parser.Labels(&l)
			if ending, inside := strings.CutPrefix(l.Get(model.MetricNameLabel), family); family == "" || !inside || !slices.Contains(endings, ending) {
				t.Errorf("%s: %s is no sample of %s", name, l, family)
			}
			if series[l.String()] {
				t.Errorf("%s: %s is there twice", name, l)
			}
			series[l.String()] = true
		}
	}
}

// textFormats are Accept headers for every text format and escaping.
var textFormats = []string{
	"", "text/plain;version=0.0.4", "text/plain;version=0.0.4;escaping=values", "text/plain;version=1.0.0;escaping=allow-utf-8",
	promAccept, promAccept3, "application/openmetrics-text;version=0.0.1", "application/openmetrics-text;version=1.0.0;escaping=dots",
	"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
}

func TestEveryPageIsValidInEveryFormat(t *testing.T) {
	e := NewExporter(func() int { return 3 })
	e.ReportReloads(func() (bool, time.Time) { return true, time.UnixMilli(1700000000500) })
	e.ReportUnusableModules(func() int { return 1 })
	e.ReportHistory(func(put func(string, float64, ...string)) { put("results", 1) })
	e.ReportDiscovery(func(put func(string, float64, ...string)) { put("failures", 1, "file") })
	e.ReportAlerts(func(put func(name string, value float64, labels ...string)) {
		put("incidents", 2)
		put("summed", 9, "email")
	})
	var targets Targets
	configured := every(time.Minute, "http_2xx", "https://www.example.com/", "https://old.example.com/")
	configured[0].Labels, configured[0].Name, configured[0].Group = labels.FromMap(map[string]string{"team": "web", "service.name": "größe"}), "Shop", "web"
	targets.Apply(configured)
	for kind, record := range records() {
		e.Observe(record)
		seen := scheduled("http_2xx", "https://www.example.com/", kind)
		seen.Result.Start = time.Now()
		targets.Observe(seen)
	}
	e.Failed(&probe.ExporterError{Fault: probe.FaultFile, Err: errors.New("x")})
	var replies Replies
	for _, accept := range textFormats {
		for range 2 { // the second has a counter of the first
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
			r.Header.Set("Accept", accept)
			e.Handler().ServeHTTP(w, r)
			checkExposition(t, "/metrics for "+accept, w.Header().Get("Content-Type"), w.Body.String())
			for _, sample := range []string{"\ngo_memstats_alloc_bytes ", "\ngo_memstats_alloc_bytes_total "} {
				if !strings.Contains(w.Body.String(), sample) {
					t.Errorf("/metrics for %s lacks%q", accept, sample)
				}
			}
		}
		w := askTargets(t, &targets, accept)
		checkExposition(t, "/metrics/targets for "+accept, w.Header().Get("Content-Type"), w.Body.String())
		for kind, record := range records() {
			w := ask(t, &replies, accept, record)
			checkExposition(t, "/probe of "+kind+" for "+accept, w.Header().Get("Content-Type"), w.Body.String())
		}
	}
}

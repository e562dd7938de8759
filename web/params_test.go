package web

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rollcall/probe"
)

func TestFirstOfRepeatedParametersCounts(t *testing.T) {
	var log bytes.Buffer
	h := newFixture(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, query := range []string{
		"target=a&target=b", "target=a&target=%zz", "module=short&module=nope&target=a", "target=a&module=&module=nope",
		"target=a&hostname=h&hostname=i", "target=a&debug=true&debug=false&module=short", "target=a&target=b",
	} {
		w := h.get("/probe?" + query)
		if got := h.prober.request(); w.Code != http.StatusOK || got.Target != "a" || got.Hostname == "i" {
			t.Errorf("%s: %d %q, probed %q with hostname %q", query, w.Code, w.Body, got.Target, got.Hostname)
		}
		if kept := h.recent.latest(1)[0].record; strings.Contains(query, "short") != (kept.Module == "short") || strings.Contains(query, "debug") != kept.Debug {
			t.Errorf("%s: probed by %s, debug %t", query, kept.Module, kept.Debug)
		}
	}
	for _, parameter := range []string{"target", "module", "hostname", "debug"} {
		if got := strings.Count(log.String(), "parameter="+parameter+"\n"); got != 1 {
			t.Errorf("%d lines of the log about %s, want one:\n%s", got, parameter, &log)
		}
	}
}

func TestLongestTargetIsProbed(t *testing.T) {
	h := newFixture(t, nil)
	target := "http://e.org/?" + strings.Repeat("ä", (probe.MaxTarget-14)/2)
	if w := h.get("/probe?target=" + url.QueryEscape(target)); len(target) != probe.MaxTarget || w.Code != http.StatusOK || h.prober.request().Target != target {
		t.Errorf("a target of %d bytes: %d %.200q", len(target), w.Code, w.Body)
	}
}

func TestUnknownModuleIsCountedWithoutATarget(t *testing.T) {
	h := newFixture(t, nil)
	if w := h.get("/probe?module=nope"); w.Code != 400 || !strings.Contains(w.Body.String(), "nope") || !h.counts("rollcall_module_unknown_total 1") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := h.get("/probe?module=short"); w.Code != 400 || !strings.Contains(w.Body.String(), "target is missing") || !h.counts("rollcall_module_unknown_total 1") {
		t.Errorf("a known one: %d %q", w.Code, w.Body)
	}
}

// TestOtherDebugValuesAreExplained: a person who asks for debug=1 sees why there is no report, and metrics stay metrics.
func TestOtherDebugValuesAreExplained(t *testing.T) {
	var log bytes.Buffer
	h := newFixture(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for value, want := range map[string]string{
		"1": "\n# debug=1 has no effect; accepted: debug=true\n", "TRUE": "\n# debug=TRUE has no effect; accepted: debug=true\n",
		"true%20": "\n# debug=true  has no effect; accepted: debug=true\n", "false": "", "0": "", "": "",
	} {
		text := h.get("/probe?target=x&debug=" + value).Body.String()
		if _, err := expfmtParse(text); err != nil || want != "" && !strings.HasSuffix(text, want) || want == "" && strings.Contains(text, "debug") {
			t.Errorf("debug=%s: %v in\n%s", value, err, text)
		}
		for _, accept := range []string{"application/openmetrics-text;version=1.0.0", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
			if text := h.get("/probe?target=x&debug="+value, "Accept", accept).Body.String(); strings.Contains(text, "debug=") {
				t.Errorf("debug=%s: %s has a comment", value, accept)
			}
		}
	}
	if strings.Count(log.String(), "another value than true") != 1 {
		t.Errorf("the log is:\n%s", &log)
	}
}

// TestUnknownParametersAreExplained: a misspelt parameter, or the rest of a target that was not encoded, is ignored like by
// blackbox_exporter, and a person sees it.
func TestUnknownParametersAreExplained(t *testing.T) {
	h := newFixture(t, nil)
	for query, want := range map[string]string{
		"target=x&modul=short":                  `# the parameter "modul" has no effect; accepted: target, module, hostname, debug; a & inside a target is written %26`,
		"target=x?a=1&b=2":                      `# the parameter "b" has no effect`,
		"target=x&%0a":                          `# the parameter "%0a" has no effect`,
		"target=x&" + strings.Repeat("a", 1000): `# the parameter "` + strings.Repeat("a", 40) + `" has no effect`,
		"target=x&module=short":                 "",
		"target=x&format=text&hostname=h":       "",
		"target=x&debug=true&modul=short":       `note: the parameter "modul" has no effect`,
		"target=x&debug=true&format=text":       "",
		"target=x&b=2&debug=1":                  "# debug=1 has no effect",
	} {
		text := h.get("/probe?" + query).Body.String()
		if want == "" && strings.Contains(text, "has no effect") || !strings.Contains(text, want) {
			t.Errorf("%s: want %q in\n%s", query, want, text)
		}
		if !strings.Contains(query, "debug=true") {
			if _, err := expfmtParse(text); err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
	}
}

func expfmtParse(text string) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(strings.NewReader(text))
}

//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func tcpRows() []row {
	expect := visit{name: "t_expect", module: `{prober: tcp, timeout: 2s, tcp: {query_response: [{expect: "^SSH-2.0-"}]}}`}
	bare := visit{name: "t_bare", module: `{prober: tcp, timeout: 2s}`}
	send := visit{name: "t_send", module: `{prober: tcp, timeout: 2s, tcp: {query_response: [{send: "hello"}, {expect: "^SSH"}]}}`}
	exactly := visit{name: "t_bytes", module: `{prober: tcp, timeout: 2s, tcp: {query_response: [{expect_bytes: "SSH-2.0-OpenSSH"}]}}`, target: "<dripssh>", alone: newer}
	label := visit{name: "t_label", module: `{prober: tcp, timeout: 2s, tcp: {query_response: [{expect: "^SSH-2.0-(.*)", labels: [{name: version, value: "${1}"}]}]}}`, target: "<notutf8>", alone: newer}
	shout := visit{name: "t_shout", module: `{prober: tcp, timeout: 2s, tcp: {query_response: [` + strings.Repeat(`{send: "`+strings.Repeat("x", 60<<10)+`"}, `, 20) + `{expect: "^never"}]}}`, target: "<deaf>"}
	to := func(v visit, target string) visit { v.target = target; return v }
	return []row{
		{17, "silence after accept", []visit{expect}, func(t *testing.T, h *hostile) {
			h.visit(t, to(expect, "<silent>"), "down conversation/timeout")
		}},
		{18, "RST after accept fails an expect, not a bare connect", []visit{bare, send}, func(t *testing.T, h *hostile) {
			h.visit(t, to(bare, "<reset>"), "up")
			h.visit(t, to(send, "<reset>"), "down conversation/connection_reset")
		}},
		{19, "an endless line is bounded and has its own reason", nil, func(t *testing.T, h *hostile) {
			began := time.Now()
			h.visit(t, to(expect, "<line>"), "down conversation/line_too_long")
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v to notice", took)
			}
		}},
		{20, "endless lines are bounded", nil, endlessLines},
		{21, "a banner that arrives byte by byte is up", []visit{exactly}, func(t *testing.T, h *hostile) {
			h.visit(t, to(expect, "<dripssh>"), "up")
			h.visit(t, exactly, "up")
		}},
		{22, "captured bytes that are not UTF-8 become a short valid label", []visit{label}, func(t *testing.T, h *hostile) {
			e := h.visit(t, label, "up")
			for _, m := range e["probe_expect_info"].GetMetric() {
				for _, l := range m.GetLabel() {
					if v := l.GetValue(); !utf8.ValidString(v) || len(v) > 1024 || !strings.Contains(v, "<script>") {
						t.Errorf("the label is %q", v)
					}
				}
			}
			if len(e["probe_expect_info"].GetMetric()) != 1 {
				t.Error("there is no probe_expect_info")
			}
		}},
		{23, "a peer that never reads", []visit{shout}, func(t *testing.T, h *hostile) {
			h.visit(t, shout, "down conversation/timeout")
		}},
		{24, "a regexp sees a bounded input", []visit{{name: "t_regexp", module: `{prober: http, timeout: 5s, http: {fail_if_body_matches_regexp: ["(x+x+)+y"]}}`, target: "<endlessbody>"}}, func(t *testing.T, h *hostile) {
			h.visit(t, visit{name: "t_regexp", target: "http://<endlessbody>/"}, "down body/body_too_large")
		}},
	}
}

func endlessLines(t *testing.T, h *hostile) {
	before := len(h.text())
	reply, err := h.get(t.Context(), probePath("module", "t_expect", "debug", "true", "target", h.park.at("lines")))
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Body) > 256<<10 {
		t.Errorf("the debug text has %d bytes", len(reply.Body))
	}
	for range 3 {
		h.probe(t, probePath("module", "t_expect", "target", h.park.at("lines")), 4*time.Second, "down conversation/conversation_too_long")
	}
	if grown := len(h.text()) - before; grown > 1<<20 {
		t.Errorf("the log grew by %d bytes", grown)
	}
}

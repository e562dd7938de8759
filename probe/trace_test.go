package probe

import (
	"strings"
	"testing"
)

func TestTraceIsBoundedAndSaysSo(t *testing.T) {
	trace := new(Trace)
	for range 1000 {
		trace.Step("%s", strings.Repeat("x", 1000))
	}
	steps := trace.Steps()
	if len(steps) != maxTraceBytes/1000+1 {
		t.Errorf("%d steps", len(steps))
	}
	if last := steps[len(steps)-1].Text; !strings.Contains(last, "left out") {
		t.Errorf("the last step is %.40q", last)
	}
	var none *Trace
	none.Step("not kept")
	if none.Steps() != nil {
		t.Error("a nil Trace has steps")
	}
}

func TestLabelValueHasNoControlCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"plain é":               "plain é",
		"a\x00b\r\nc\x1b[31md":  "a\uFFFDb\uFFFD\uFFFDc\uFFFD[31md",
		"\x7f\u0085\xff":        "\uFFFD\uFFFD\uFFFD",
		strings.Repeat("\n", 9): strings.Repeat("\uFFFD", 9),
	} {
		if got := LabelValue(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := LabelValue(strings.Repeat("\n", 2*MaxLabelValue)); len(got) > MaxLabelValue {
		t.Errorf("%d bytes", len(got))
	}
}

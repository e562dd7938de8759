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

// TestLaterLines: they are made when the steps are read, stand in their place, and are bounded, too.
func TestLaterLines(t *testing.T) {
	trace := new(Trace)
	made := 0
	trace.Step("first")
	trace.Later(func() []string { made++; return []string{"second", "third"} })
	trace.Step("fourth")
	if made != 0 {
		t.Error("lines are made that were not read")
	}
	text := ""
	for _, step := range trace.Steps() {
		if step.Time.IsZero() {
			t.Errorf("%q has no time", step.Text)
		}
		text += step.Text + " "
	}
	if text != "first second third fourth " || made != 1 {
		t.Errorf("%q, made %d times", text, made)
	}
	trace.Later(func() []string { return []string{strings.Repeat("x", maxTraceBytes), "beyond"} })
	steps := trace.Steps()
	if last := steps[len(steps)-1].Text; len(steps) != 5 || !strings.Contains(last, "left out") {
		t.Errorf("%d steps, the last is %.40q", len(steps), last)
	}
	unwanted := func() []string { t.Error("lines are made for which there is no room"); return nil }
	trace.Later(unwanted)
	if again := trace.Steps(); len(again) != 5 || made != 1 {
		t.Errorf("read again there are %d steps, and lines are made %d times", len(again), made)
	}
	filled := new(Trace)
	filled.Later(func() []string { return []string{strings.Repeat("x", maxTraceBytes)} })
	filled.Step("%s", strings.Repeat("y", maxTraceBytes))
	filled.Later(unwanted)
	filled.Step("%s", strings.Repeat("z", maxTraceBytes))
	if steps := filled.Steps(); len(steps) != 2 || !strings.Contains(steps[1].Text, "left out") {
		t.Errorf("%d steps", len(steps))
	}
	filled.Later(unwanted)
	if steps := filled.Steps(); len(steps) != 2 {
		t.Errorf("read again there are %d steps", len(steps))
	}
	var none *Trace
	none.Later(func() []string { t.Error("called for a nil Trace"); return nil })
}

func TestLabelValueHasNoControlCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"plain é":                "plain é",
		"a\x00b\r\nc\x1b[31md":   "a\uFFFDb\uFFFD\uFFFDc\uFFFD[31md",
		"\x7f\u0085\xff":         "\uFFFD\uFFFD\uFFFD",
		"pay\u202elap\u2066":     "pay\uFFFDlap\uFFFD", // reads backwards on a page
		"نمی\u200cدانم 👩\u200d🔧": "نمی\u200cدانم 👩\u200d🔧",
		strings.Repeat("\n", 9):  strings.Repeat("\uFFFD", 9),
	} {
		if got := LabelValue(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := LabelValue(strings.Repeat("\n", 2*MaxLabelValue)); len(got) > MaxLabelValue {
		t.Errorf("%d bytes", len(got))
	}
}

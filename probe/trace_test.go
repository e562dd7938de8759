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

package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func mustRegexp(text string) Regexp {
	re, err := compileRegexp(text)
	if err != nil {
		panic(err)
	}
	return re
}

// slowRegexp takes some ten thousand steps for each byte of as.
const slowRegexp = "(a{0,30}){0,30}(a{0,30}){0,30}(a{0,30}){0,30}(a{0,30}){0,30}b"

func TestLongTextsAreMatchedAsShortOnes(t *testing.T) {
	body := []byte(strings.Repeat("\xff haystäck", 1<<14) + "needle")
	for expression, want := range map[string]bool{"needle$": true, `^.?haystack`: false, `k\x{fffd}`: true, "nothing": false, "": true, "(?i)NEEDLE": true} {
		re := mustRegexp(expression)
		m := matcher{ctx: t.Context(), steps: quickSteps}
		got, err := m.bytes(re, body)
		if short := re.Match(body); err != nil || got != want || got != short {
			t.Errorf("%q: %v, %v; want %v, as %v", expression, got, err, want, short)
		}
		at, err := m.find(re, body)
		if want := re.FindSubmatchIndex(body); err != nil || (at == nil) != (want == nil) || at != nil && (at[0] != want[0] || at[1] != want[1]) {
			t.Errorf("%q is found at %v, %v; want %v", expression, at, err, want)
		}
	}
}

func TestMatchingKnowsWhatCannotTakeLong(t *testing.T) {
	page := strings.Repeat("x", 1<<20)
	for expression, quick := range map[string]bool{
		"all systems operational": true, `"status": "(ok|fine)"`: false, `\d+`: true, "[ab]c.*d": true, slowRegexp: false,
	} {
		m := matcher{}
		if got := m.quick(mustRegexp(expression), len(page)); got != quick {
			t.Errorf("%q over a megabyte: %v, want %v (%d instructions)", expression, got, quick, mustRegexp(expression).size)
		}
		if m := (matcher{}); !m.quick(mustRegexp(expression), 2<<10) && expression != slowRegexp {
			t.Errorf("%q over 2 KiB takes long", expression)
		}
	}
}

// A target that has answered in time is not down because we are slow.
func TestExpressionThatTakesTooLongIsNotTheTargetsFault(t *testing.T) {
	as := strings.Repeat("a", 1<<20)
	document := `{"text": "` + as[:500<<10] + `", "pattern": "` + slowRegexp + `", "list": [` + strings.Repeat("1,", 2000) + `1]}`
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/json" {
			io.WriteString(w, document)
			return
		}
		w.Header().Set("X-Long", as[:500<<10])
		io.WriteString(w, as)
	})
	lines := listen(t, func(c net.Conn) {
		for range 8 {
			io.WriteString(c, as[:100<<10]+"\n")
		}
		io.Copy(io.Discard, c)
	}).String()
	tcp := func(expect string) *Module {
		o := tcpOptions()
		o.QueryResponse = []QueryResponse{{Expect: mustRegexp(expect)}}
		return &Module{Prober: compiled(t, o)}
	}
	for name, c := range map[string]struct {
		module *Module
		target string
	}{
		"a body regexp":                      {httpModule(t, "fail_if_body_matches_regexp: ['"+slowRegexp+"']"), s.URL},
		"a header regexp":                    {httpModule(t, "fail_if_header_matches: [{header: X-Long, regexp: '"+slowRegexp+"'}]"), s.URL},
		"an expect":                          {tcp(slowRegexp), lines},
		"a CEL loop":                         {httpModule(t, "fail_if_body_json_matches_cel: body.list.all(a, body.list.all(b, body.list.all(c, a + b + c > 0)))"), s.URL + "/json"},
		"a CEL match":                        {httpModule(t, "fail_if_body_json_matches_cel: body.text.matches('"+slowRegexp+"')"), s.URL + "/json"},
		"a CEL match of a document's own":    {httpModule(t, "fail_if_body_json_matches_cel: matches(body.text, body.pattern)"), s.URL + "/json"},
		"CEL matches for each of a list":     {httpModule(t, "fail_if_body_json_matches_cel: body.list.exists(x, body.text.matches('[ab]+c'))"), s.URL + "/json"},
		"a CEL loop that is not a quick one": {httpModule(t, "fail_if_body_json_matches_cel: body.list.all(a, body.list.all(b, size(body.text) > 0))"), s.URL + "/json"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			record, err := new(Runner).Do(t.Context(), c.module, Request{Target: c.target, Timeout: 300 * time.Millisecond})
			if err == nil {
				t.Fatalf("a verdict: %v", record.Result.Failure)
			}
			wantFault(t, err, FaultExpression)
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			t.Logf("%v: %.150v", time.Since(start), err)
		})
	}
}

func TestMatchingEndsWhenTheAskerLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := matcher{ctx: ctx}
	if _, err := m.text(mustRegexp(slowRegexp), strings.Repeat("a", 1<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCELMatches(t *testing.T) {
	document := map[string]any{"s": "hello", "p": "^h.*o$", "bad": "(", "n": 1.0}
	for expression, want := range map[string]string{
		`body.s.matches('^h.*o$')`:                    "true",
		`matches(body.s, 'l+')`:                       "true",
		`body.s.matches(body.p)`:                      "true",
		`'abc'.matches('x')`:                          "false",
		`body.s.matches(body.bad)`:                    "does not compile",
		`body.n.matches('1')`:                         "no such overload",
		`body.s.matches(body.s + string(body.n))`:     "false",
		`[body.s].exists(x, x.matches('^' + body.s))`: "true",
	} {
		var c CEL
		if err := c.UnmarshalText([]byte(expression)); err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		holds, err := c.holds(t.Context(), document)
		got := map[bool]string{true: "true", false: "false"}[holds]
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
	if err := new(CEL).UnmarshalText([]byte(`body.s.matches('(')`)); err == nil || !strings.Contains(err.Error(), "does not compile") {
		t.Errorf("a broken constant pattern: %v", err)
	}
}

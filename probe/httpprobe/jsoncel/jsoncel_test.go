package jsoncel

import (
	"strings"
	"testing"

	"rollcall/probe"
)

func TestErrorsNameThePosition(t *testing.T) {
	var c Expression
	err := c.UnmarshalText([]byte("body.a == 1 &&\n  bdy.b"))
	if err == nil || !strings.Contains(err.Error(), "line 2, column 3") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestMatches(t *testing.T) {
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
		var c Expression
		if err := c.UnmarshalText([]byte(expression)); err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		holds, err := c.Holds(t.Context(), document)
		got := map[bool]string{true: "true", false: "false"}[holds]
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
	if err := new(Expression).UnmarshalText([]byte(`body.s.matches('(')`)); err == nil || !strings.Contains(err.Error(), "does not compile") {
		t.Errorf("a broken constant pattern: %v", err)
	}
}

// FuzzDecode reads what a server sends as JSON, and evaluates an expression over what is some.
func FuzzDecode(f *testing.F) {
	var e Expression
	if err := e.UnmarshalText([]byte(`body.list.exists(x, x == "y") || has(body.a) && body.a.b > 1`)); err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{`{"list": ["x", "y"]}`, `{"a": {"b": 1e999}}`, `[[[[`, `{"a": -0}`, "\x00", `"\ud800"`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		document, err := Decode(body)
		if err != nil {
			return
		}
		if _, err := e.Holds(t.Context(), document); err != nil && !probe.IsClassified(err) {
			t.Errorf("%q: an error without a reason: %v", body, err)
		}
	})
}

package strictyaml

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// options is what the documents of these tests may hold.
type options struct {
	Name   string             `yaml:"name"`
	Limits limits             `yaml:"limits"`
	Rules  []rule             `yaml:"rules,omitempty"`
	Groups map[string]*limits `yaml:"groups,omitempty"`
	Free   any                `yaml:"free,omitempty"`
	Link   url.URL            `yaml:"link,omitempty"`
	Extra  map[string]string  `yaml:",inline"`
}

type limits struct {
	Low    int      `yaml:"low"`
	High   int      `yaml:"high"`
	Colour colour   `yaml:"colour,omitempty"`
	Tags   []string `yaml:"tags,omitempty"`
}

func (l *limits) SetDefaults() { l.High = 10 }

func (l *limits) Validate() error {
	if l.Low > l.High {
		return errors.New("low is above high")
	}
	return nil
}

type rule struct {
	Header  string `yaml:"header"`
	Pattern string `yaml:"pattern"`
}

func (r *rule) Validate() error {
	if r.Header == "" {
		return errors.Join(optionErr{"header", errors.New("is required")})
	}
	return nil
}

// colour is read from text; grey is accepted with a warning.
type colour string

func (c *colour) UnmarshalText(text []byte) error {
	switch *c = colour(text); *c {
	case "red", "blue":
		return nil
	case "grey":
		*c = "blue"
		return warning{errors.New("grey is read as blue")}
	}
	return fmt.Errorf("%q is unknown; accepted: red, blue", text)
}

func (c colour) MarshalText() ([]byte, error) { return []byte(c), nil }

type optionErr struct {
	path string
	err  error
}

func (e optionErr) Error() string           { return e.path + ": " + e.err.Error() }
func (e optionErr) Option() (string, error) { return e.path, e.err }

var testScalars = Scalars{reflect.TypeFor[url.URL](): ScalarOf(
	func(text string) (url.URL, error) {
		u, err := url.Parse(text)
		if err != nil {
			return url.URL{}, errors.New("is no URL")
		}
		return *u, nil
	},
	func(u url.URL) string { return u.Redacted() },
)}

// decode returns what is found and every error as a line.
func decode(t *testing.T, text string) (options, *Document, Errors) {
	t.Helper()
	doc, err := Parse("f.yml", []byte(text), testScalars)
	if err != nil {
		t.Fatal(err)
	}
	var o options
	errs, _ := doc.Decode(&o)
	return o, doc, errs
}

func TestEveryErrorHasItsLineAndPath(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"all right":                {"name: a\nlimits: {low: 1}\n", ""},
		"a wrong type":             {"name: [a]\nlimits:\n  low: x\n  high: {}\n", "f.yml:1: name: is a list; accepted: text\nf.yml:3: limits.low: \"x\" is text; accepted: a whole number\nf.yml:4: limits.high: is a mapping; accepted: a whole number"},
		"an unknown key":           {"limits:\n  hihg: 3\n", `f.yml:2: limits.hihg: unknown key; did you mean "high"?`},
		"a key of the level above": {"rules:\n- header: a\n  name: x\n", "f.yml:3: rules[0].name: unknown key here; it belongs one level up"},
		"no similar key":           {"limits: {zzzzzzzz: 1}\n", "f.yml:1: limits.zzzzzzzz: unknown key; accepted: low, high, colour, tags"},
		"a duplicate key":          {"name: a\nname: b\n", "f.yml:2: name: duplicate key; it is already set at line 1"},
		"a type of its own":        {"limits: {colour: green}\n", `f.yml:1: limits.colour: "green" is unknown; accepted: red, blue`},
		"a scalar type":            {"link: 'http://['\n", "f.yml:1: link: is no URL"},
		"a verdict":                {"limits:\n  low: 11\n", "f.yml:1: limits: low is above high"},
		"a verdict on options":     {"rules:\n- pattern: a\n- header: b\n-\n- pattern: c\n", "f.yml:2: rules[0].header: is required\nf.yml:4: rules[2]: is empty and ignored\nf.yml:5: rules[3].header: is required"},
		"a map's key":              {"groups:\n  a.b: {low: x}\n", `f.yml:2: groups["a.b"].low: "x" is text; accepted: a whole number`},
		"a fraction":               {"limits: {low: 1.5}\n", `f.yml:1: limits.low: "1.5" is cut off to 1; accepted: a whole number`},
		"no mapping":               {"- a\n", "f.yml:1: is a list; accepted: a mapping with the keys name, limits, rules, groups, free, link"},
		"more documents":           {"name: a\n---\nname: b\n", "f.yml:3: only the first document is read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, errs := decode(t, test.text)
			if diff := cmp.Diff(test.want, errs.Arrange().Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWarningsKeepTheValue(t *testing.T) {
	o, _, errs := decode(t, "limits: {colour: grey, low: 2.7}\n")
	if len(errs) != 2 || !errs[0].Warning() || !errs[1].Warning() || o.Limits.Colour != "blue" || o.Limits.Low != 2 {
		t.Errorf("%v, %+v", errs, o.Limits)
	}
}

func TestNothingIsConcludedFromWhatIsNotAccepted(t *testing.T) {
	// low is void, so that the struct's own verdict and later ones about it are about nothing that the file says.
	_, doc, errs := decode(t, "limits:\n  low: x\n  colour: blue\nrules:\n- hedaer: a\n")
	root := doc.Root()
	errs = append(errs, root.Locate("limits", optionErr{"low", errors.New("is too low")})...)
	errs = append(errs, root.Locate("limits", errors.Join(optionErr{"colour", errors.New("is out of fashion")}, optionErr{"tags[1]", errors.New("is missing")}))...)
	want := `f.yml:1: limits.tags[1]: is missing
f.yml:2: limits.low: "x" is text; accepted: a whole number
f.yml:3: limits.colour: is out of fashion
f.yml:5: rules[0].hedaer: unknown key; did you mean "header"?`
	if diff := cmp.Diff(want, errs.Arrange().Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOneErrorOfAnAnchor: identity is the node and the type, whatever the texts say.
func TestOneErrorOfAnAnchor(t *testing.T) {
	_, doc, errs := decode(t, "groups:\n  a: &a\n    low: x\n  b: *a\n  c:\n    <<: *a\n    high: 1\n")
	if len(errs) != 3 {
		t.Errorf("%d errors before they are arranged: %v", len(errs), errs)
	}
	for _, group := range doc.Root().Sections("groups") {
		if len(errs.Below(group.Path())) != 1 {
			t.Errorf("%s: %v", group.Path(), errs.Below(group.Path()))
		}
		errs = append(errs, group.Locate("", optionErr{"tags", errors.New("one text")})...)
		errs = append(errs, group.Locate("", optionErr{"tags", warning{errors.New("one text")}})...)
	}
	want := `f.yml:2: groups.a.tags: one text
f.yml:2: groups.a.tags: one text
f.yml:3: groups.a.low: "x" is text; accepted: a whole number
f.yml:4: groups.b.tags: one text
f.yml:4: groups.b.tags: one text
f.yml:5: groups.c.tags: one text
f.yml:5: groups.c.tags: one text`
	if diff := cmp.Diff(want, errs.Arrange().Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSectionsKeepTheOrderOfTheFile(t *testing.T) {
	_, doc, _ := decode(t, "groups:\n  z: {low: 1}\n  a.b:\n  m: {high: 2}\n")
	var got []string
	for _, s := range doc.Root().Sections("groups") {
		got = append(got, fmt.Sprint(s.Path(), " ", s.Empty(), " ", s.Has("low")))
	}
	if diff := cmp.Diff([]string{"groups.z false true", `groups["a.b"] true false`, "groups.m false false"}, got); diff != "" {
		t.Error(diff)
	}
	if none := doc.Root().Sections("name"); none != nil {
		t.Errorf("%v", none)
	}
}

func TestEveryValueIsVisitedWithItsKey(t *testing.T) {
	_, doc, _ := decode(t, "name: &n a\nfree: {x_file: *n, files: [b, c], d: {e: f}}\n")
	var got []string
	doc.Each(func(key, value string) { got = append(got, key+"="+value) })
	if diff := cmp.Diff([]string{"name=a", "x_file=a", "files=b", "files=c", "e=f"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentsAreBounded(t *testing.T) {
	bomb := "free:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("  %c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for text, want := range map[string]string{
		bomb: "expands to too many values",
		"free: " + strings.Repeat("[", 100) + strings.Repeat("]", 100): "nested more than 64 levels deep",
		"free: &a {b: *a}":              `the anchor "a" contains itself`,
		"wrong: [\n":                    "not valid YAML",
		strings.Repeat("#", MaxBytes+1): "larger than 4 MiB",
		"":                              "is empty",
		"~":                             "is empty",
	} {
		doc, err := Parse("f.yml", []byte(text), nil)
		if err == nil {
			var errs Errors
			errs, _ = doc.Decode(new(options))
			err = errs
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	many := "groups:\n"
	for i := range 3000 {
		many += fmt.Sprintf("  g%d: {low: x}\n", i)
	}
	_, doc, errs := decode(t, many)
	if got := errs.Arrange(); len(got) != maxErrors+1 || !strings.Contains(got[maxErrors].Error(), "further errors are left out") {
		t.Errorf("%d errors, the last: %v", len(got), got[len(got)-1])
	}
	if _, complete := doc.Decode(new(options)); complete {
		t.Error("what was not decoded whole counts as complete")
	}
}

func encoder() *Encoder {
	return &Encoder{
		Scalars: testScalars,
		Hide:    func(key string, _ reflect.Type) bool { return strings.Contains(key, "secret") },
		Reveal:  func(key string) bool { return strings.HasSuffix(key, "_file") },
		Redact:  func(text string) string { return strings.ReplaceAll(text, "hunter2", "xxxxx") },
	}
}

func TestEncodeMasksSecrets(t *testing.T) {
	o, _, errs := decode(t, `
name: pass hunter2 on
link: http://user:hunter2@example.com/
my_secret: hunter2
secret_file: name
free: {secrets: [hunter2, 7, ~, {a: hunter2, b_file: c}], plain: 1}
limits: {tags: []}
`)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	want := `name: pass xxxxx on
limits:
  low: 0
  high: 10
  tags: []
free:
  plain: 1
  secrets:
    - <secret>
    - <secret>
    - null
    - a: <secret>
      b_file: c
link: http://user:xxxxx@example.com/
my_secret: <secret>
secret_file: name
`
	if diff := cmp.Diff(want, string(encoder().Encode(o))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEncodeKeepsAnOrder(t *testing.T) {
	o, _, _ := decode(t, "groups: {z: {low: 1}, a: {low: 2}}\n")
	e := encoder()
	e.Order = map[string][]string{"groups": {"z", "a"}}
	if text := string(e.Encode(o)); strings.Index(text, "z:") > strings.Index(text, "a:") {
		t.Error(text)
	}
}

// FuzzDecode holds that any bytes end in options or in errors that say something, and that what is encoded decodes to
// the same text.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("../testdata/bad/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("name: \"\\u0085 \\t\\n x\\r\\n\"\nlimits: {low: 1.5, colour: grey, tags: [~, '']}\nfree: {? [a] : b, 1: 2021-01-01, x: !!binary aGk=}\n"))
	f.Add([]byte("rules: [{header: a}, ~, {pattern: b}]\ngroups: {a.b: &a {low: 1}, c: *a, d: {<<: *a}}\nlink: http://a\nx: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse("f.yml", data, testScalars)
		var o options
		var errs Errors
		if err == nil {
			errs, _ = doc.Decode(&o)
		} else if !errors.As(err, &errs) {
			t.Fatalf("not Errors: %#v", err)
		}
		failed := false
		for _, e := range errs.Arrange() {
			failed = failed || !e.Warning()
			if e.Err.Error() == "" || e.Line < 0 || e.Line > len(data)+1 {
				t.Errorf("a poor error: %+v", e)
			}
		}
		if failed {
			return
		}
		e := &Encoder{Scalars: testScalars, Hide: func(string, reflect.Type) bool { return false }, Redact: func(s string) string { return s }}
		text := e.Encode(o)
		if strings.Contains(string(text), "xxxxx") {
			return
		}
		again, err := Parse("again.yml", text, testScalars)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		var second options
		if errs, _ := again.Decode(&second); len(errs) > 0 {
			t.Fatalf("%v\n%s", errs, text)
		}
		if diff := cmp.Diff(string(text), string(e.Encode(second))); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}

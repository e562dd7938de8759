package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/config/strictyaml"
)

// FuzzParse holds that any bytes end in a configuration or in problems that say something, and that a shown
// configuration without secrets is a configuration again.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(seeds, "default.yml", "testdata/blackbox.yml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("modules: {a: {prober: http, http: {headers: {X: \"\\u0085 \\t\\n x\\r\\n\"}, method: \"~\"}}}"))
	f.Add([]byte("modules: {? [a] : b, ? {c: d} : e, 1: {prober: 1}, ~: {}, !!binary aGk=: {}}"))
	f.Add([]byte("\xef\xbb\xbfmodules:\n  \"a.b[0]\": {prober: tcp, tcp: {query_response: [{expect: \"(\"}]}}\n"))
	f.Add([]byte("modules:\n  a:"))
	f.Add([]byte("\xff\xfem\x00o\x00d\x00u\x00l\x00e\x00s\x00:\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yml", data)
		if err != nil {
			var problems strictyaml.Errors
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("not strictyaml.Errors: %#v", err)
			}
			for _, p := range problems {
				if p.File != "fuzz.yml" || p.Err.Error() == "" || p.Line < 0 || p.Line > len(data)+1 {
					t.Errorf("a poor problem: %+v", p)
				}
			}
			return
		}
		shown := c.YAML()
		if strings.Contains(string(shown), hiddenText) || strings.Contains(string(shown), "xxxxx") {
			return
		}
		again, err := Parse("shown.yml", shown)
		if err != nil {
			t.Fatalf("the shown configuration is refused: %v\n%s", err, shown)
		}
		if got := string(again.YAML()); got != string(shown) {
			t.Errorf("shown again it differs:\n%s\nwas:\n%s", got, shown)
		}
	})
}

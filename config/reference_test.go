package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestReferenceHasEveryOption looks at the option structs: each key that the file may have stands in the tables.
func TestReferenceHasEveryOption(t *testing.T) {
	text, err := os.ReadFile("../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## The configuration file\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("docs/reference.md has no section about the configuration file")
	}
	got := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*)\\|").FindAllStringSubmatch(section, -1) {
		for _, word := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			got[word[1]] = true
		}
	}
	want := map[string]bool{}
	collectOptions(reflect.TypeFor[file](), want, map[reflect.Type]bool{})
	for key := range want {
		if !got[key] {
			t.Errorf("docs/reference.md lacks the option %s", key)
		}
	}
	for key := range got {
		if !want[key] {
			t.Errorf("docs/reference.md has %s, which is no option", key)
		}
	}
}

// collectOptions notes the YAML keys of a struct and of those below it. Keys ending in _ref name a secret in a manager
// that rollcall does not have, and are refused.
func collectOptions(typ reflect.Type, into map[string]bool, seen map[reflect.Type]bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collectOptions(typ.Elem(), into, seen)
	case reflect.Struct:
		if seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			field := typ.Field(i)
			key, flags, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			if !field.IsExported() || key == "-" || key == "" && flags == "" || strings.HasSuffix(key, "_ref") {
				continue
			}
			if key != "" {
				into[key] = true
			}
			collectOptions(field.Type, into, seen)
		}
	}
}

package config

import (
	"bytes"
	"cmp"
	"encoding"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"rollcall/redact"
)

// hiddenText stands where a secret was.
const hiddenText = "<secret>"

// YAML returns the configuration as it works: its sections with defaults in place of what they left out, "<secret>"
// in place of secrets and of headers that look like one, and "xxxxx" in place of the passwords of URLs. Those aside
// it can be loaded again.
func (c *Config) YAML() []byte {
	root := show(reflect.ValueOf(c.options), false)
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "modules" {
			orderBy(root.Content[i+1], c.names)
		}
	}
	return write(root)
}

// ModuleYAML returns one module in the same way; nil when there is none of that name.
func (c *Config) ModuleYAML(name string) []byte {
	options, ok := c.options.Modules[name]
	if !ok {
		return nil
	}
	return write(show(reflect.ValueOf(options), false))
}

// write formats a tree that show made. It cannot fail: the tree holds nothing but plain nodes.
func write(root *yaml.Node) []byte {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		panic("writing a configuration that was read: " + err.Error())
	}
	return b.Bytes()
}

// orderBy arranges the entries of a mapping by their names' order in names.
func orderBy(m *yaml.Node, names []string) {
	pairs := slices.Collect(slices.Chunk(m.Content, 2))
	slices.SortFunc(pairs, func(a, b []*yaml.Node) int {
		return cmp.Compare(slices.Index(names, a[0].Value), slices.Index(names, b[0].Value))
	})
	m.Content = slices.Concat(pairs...)
}

// show makes the tree of an option. Below a credential-like name every value is hidden.
func show(v reflect.Value, hidden bool) *yaml.Node {
	switch value := v.Interface().(type) {
	case config.Secret:
		if value == "" {
			return scalar("")
		}
		return scalar(hiddenText)
	case config.URL:
		return scalar(value.Redacted())
	case config.TLSVersion:
		return scalar((&value).String())
	case encoding.TextMarshaler:
		if v.Kind() == reflect.Pointer && v.IsNil() {
			return null()
		}
		// What was read from text can be written as text.
		text, err := value.MarshalText()
		if err != nil {
			return scalar("cannot be shown: " + err.Error())
		}
		return scalar(redacted(string(text), hidden))
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return null()
		}
		return show(v.Elem(), hidden)
	case reflect.Struct:
		return showStruct(v, hidden)
	case reflect.Map:
		return showMap(v, hidden)
	case reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v.Len() {
			list.Content = append(list.Content, show(v.Index(i), hidden))
		}
		return list
	case reflect.String:
		return scalar(redacted(v.String(), hidden))
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	}
	if hidden {
		return scalar(hiddenText)
	}
	var n yaml.Node
	if err := n.Encode(v.Interface()); err != nil {
		return scalar("cannot be shown: " + err.Error())
	}
	return &n
}

func showStruct(v reflect.Value, hidden bool) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	s := schemaOf(v.Type())
	for _, f := range s.fields {
		value := v.FieldByIndex(f.index)
		if f.omitEmpty && value.IsZero() { // an empty list is not nil, and may mean something
			continue
		}
		m.Content = append(m.Content, scalar(f.name), show(value, hidden && !isFileName(f.name)))
	}
	if s.inlineMap != nil {
		m.Content = append(m.Content, showMap(v.FieldByIndex(s.inlineMap), hidden).Content...)
	}
	return m
}

func showMap(v reflect.Value, hidden bool) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	// The names of sections, as of modules, are not names of credentials.
	free := v.Type().Elem().Kind() != reflect.Struct || v.Type().Elem() == reflect.TypeFor[config.Header]()
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	for _, key := range keys {
		name := key.String()
		hide := (hidden || free && redact.IsCredential(name)) && !isFileName(name)
		m.Content = append(m.Content, scalar(name), show(v.MapIndex(key), hide))
	}
	return m
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func null() *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"} }

// isFileName tells by its name whether an option is the name of a file.
func isFileName(name string) bool { return name == "files" || strings.HasSuffix(name, "_file") }

// userinfo is the part of a URL that may hold a password, which ends at the last @ of the authority.
var userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*):[^\s/?#]*@`)

// redacted is text without the passwords of the URLs in it, or nothing of it when it is hidden.
func redacted(text string, hidden bool) string {
	if hidden && text != "" {
		return hiddenText
	}
	return userinfo.ReplaceAllString(text, "${1}:xxxxx@")
}

package config

import (
	"reflect"
	"regexp"

	"rollcall/config/strictyaml"
	"rollcall/redact"
)

// YAML returns the configuration as it works: its sections with defaults in place of what they left out, "<secret>"
// in place of secrets and of headers that look like one, and "xxxxx" in place of the passwords of URLs. Those aside
// it can be loaded again.
func (c *Config) YAML() []byte {
	e := encoder
	e.Order = map[string][]string{"modules": c.names}
	return e.Encode(c.file)
}

// ModuleYAML returns one module in the same way; nil when there is none of that name.
func (c *Config) ModuleYAML(name string) []byte {
	options, ok := c.file.Modules[name]
	if !ok {
		return nil
	}
	e := encoder
	return e.Encode(options)
}

var encoder = strictyaml.Encoder{Scalars: scalars, Hide: isSecret, Reveal: isFileName, Redact: redactURLs}

// isSecret reports whether a key of a map, e.g. a header, names a secret. The names of modules are no such keys.
func isSecret(key string, values reflect.Type) bool {
	return values != reflect.TypeFor[moduleOptions]() && redact.IsCredential(key)
}

// userinfo is the part of a URL that may hold a password, which ends at the last @ of the authority.
var userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*):[^\s/?#]*@`)

// redactURLs is text without the passwords of the URLs in it.
func redactURLs(text string) string { return userinfo.ReplaceAllString(text, "${1}:xxxxx@") }

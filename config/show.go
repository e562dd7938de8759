package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"rollcall/config/strictyaml"
	"rollcall/redact"
)

// YAML returns the configuration as it works: its sections with defaults in place of what they left out, "<secret>"
// in place of secrets, of headers that look like one and of what is sent to targets, "***" in place of the userinfo of
// targets, and "xxxxx" in place of the passwords of other URLs. Those aside it can be loaded again.
func (c *Config) YAML() []byte { return c.yaml(withoutSent) }

// ModuleYAML returns one module in the same way; nil when there is none of that name.
func (c *Config) ModuleYAML(name string) []byte { return c.moduleYAML(withoutSent, name) }

// WithSent is a Config whose YAML and ModuleYAML also show what is sent to targets.
type WithSent struct{ *Config }

// YAML is Config's.
func (c WithSent) YAML() []byte { return c.yaml(encoder) }

// ModuleYAML is Config's.
func (c WithSent) ModuleYAML(name string) []byte { return c.moduleYAML(encoder, name) }

func (c *Config) yaml(e strictyaml.Encoder) []byte {
	e.Order = map[string][]string{"modules": c.names}
	return e.Encode(c.file)
}

func (c *Config) moduleYAML(e strictyaml.Encoder, name string) []byte {
	options, ok := c.file.Modules[name]
	if !ok {
		return nil
	}
	return e.Encode(options)
}

var (
	encoder     = strictyaml.Encoder{Scalars: scalars, Hide: isSecret, Reveal: isFileName, Redact: redactURLs, Shorten: withoutUserinfo}
	withoutSent = strictyaml.Encoder{
		Scalars: scalars, Hide: isSecret, Reveal: isFileName, Redact: redactURLs, HideOption: isSent, Shorten: withoutQuery,
	}
)

// isSent reports whether an option holds what is sent to a target or a token server, which may be a password as well as a
// greeting.
func isSent(option string) bool {
	return slices.Contains([]string{"send", "send_bytes", "body", "claims", "endpoint_params"}, option)
}

// withoutUserinfo shows targets as all pages do. A target needs no scheme, and a user name may be a token.
func withoutUserinfo(option, text string) string {
	switch option {
	case "target", "targets", "references":
		return redact.Target(text)
	}
	return text
}

// withoutQuery also hides the parameters of a token server's URL.
func withoutQuery(option, text string) string {
	if before, _, ok := strings.Cut(text, "?"); ok && option == "token_url" {
		return before + "?" + strictyaml.Hidden
	}
	return withoutUserinfo(option, text)
}

// isSecret reports whether a key of a map, e.g. a header, names a secret. The names of modules are no such keys.
func isSecret(key string, values reflect.Type) bool {
	return values != reflect.TypeFor[moduleOptions]() && redact.IsCredential(key)
}

// userinfo is the part of a URL that may hold a password, which ends at the last @ of the authority.
var userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*):[^\s/?#]*@`)

// redactURLs is text without the passwords of the URLs in it.
func redactURLs(text string) string { return userinfo.ReplaceAllString(text, "${1}:xxxxx@") }

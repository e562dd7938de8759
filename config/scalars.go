package config

import (
	"fmt"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/prometheus/common/config"

	"rollcall/config/strictyaml"
	"rollcall/probe/option"
)

// scalars are the single values of prometheus/common.
var scalars = strictyaml.Scalars{
	reflect.TypeFor[config.Secret]():     strictyaml.ScalarOf(expand, hideSecret),
	reflect.TypeFor[config.URL]():        strictyaml.ScalarOf(parseURL, config.URL.Redacted),
	reflect.TypeFor[config.TLSVersion](): strictyaml.ScalarOf(parseTLSVersion, func(v config.TLSVersion) string { return v.String() }),
}

func hideSecret(s config.Secret) string {
	if s == "" {
		return ""
	}
	return strictyaml.Hidden
}

// parseURL reads a URL. It may hold a password, so the message quotes nothing of it. A value is returned also with an
// error: an option that is there must not look as if it were missing.
func parseURL(text string) (config.URL, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		notMissing := config.URL{URL: &url.URL{Host: "invalid"}}
		return notMissing, fmt.Errorf("is not a URL; accepted: e.g. http://host:port, special characters as %%XX")
	}
	return config.URL{URL: parsed}, nil
}

func parseTLSVersion(text string) (config.TLSVersion, error) {
	v, ok := config.TLSVersions[text]
	if !ok {
		return 0, fmt.Errorf("%.80q is unknown; accepted: TLS10, TLS11, TLS12, TLS13", text)
	}
	return v, nil
}

var reference = regexp.MustCompile(`\$?\$\{[^}]*\}?`)
var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// expand replaces each ${NAME} of a secret by the environment variable; $${ stands for a plain ${. Like
// parseURL it returns a value also with an error.
func expand(text string) (config.Secret, error) {
	var failed error
	expanded := reference.ReplaceAllStringFunc(text, func(ref string) string {
		if strings.HasPrefix(ref, "$$") {
			return ref[1:]
		}
		name := variable.FindStringSubmatch(ref)
		if name == nil {
			failed = &option.Unusable{Err: fmt.Errorf("holds a ${ that names no environment variable; accepted: ${NAME}, and $${ for a plain ${")}
			return ref
		}
		value := os.Getenv(name[1])
		if value == "" {
			failed = &option.Unusable{Err: fmt.Errorf("the environment variable %s is not set or empty; $${ stands for a plain ${", name[1])}
			return ref
		}
		return value
	})
	return config.Secret(expanded), failed
}

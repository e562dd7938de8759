package config

import (
	"encoding"
	"fmt"
	"math"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"
)

// leaf returns how to decode a type that is a single value in the file whatever its kind in Go; ok is false for
// other types.
func (d *decoder) leaf(n *yaml.Node, at *place, out reflect.Value) (decode func(), ok bool) {
	var set func(text string) error
	switch p := out.Addr().Interface().(type) {
	case *config.Secret:
		set = func(text string) (err error) { *p, err = expand(text); return err }
	case *config.URL:
		set = func(text string) error { return setURL(p, text) }
	case *config.TLSVersion:
		set = func(text string) error {
			v, ok := config.TLSVersions[text]
			if !ok {
				return fmt.Errorf("%s is unknown; accepted: TLS10, TLS11, TLS12, TLS13", quoted(text))
			}
			*p = v
			return nil
		}
	case encoding.TextUnmarshaler:
		if n.Kind == yaml.MappingNode && structOf(out.Type()) != nil {
			return nil, false
		}
		if v, ok := p.(defaulter); ok {
			v.SetDefaults()
		}
		set = func(text string) error { return p.UnmarshalText([]byte(text)) }
	default:
		return nil, false
	}
	return func() {
		s, ok := text(n)
		if !ok {
			d.report(at, "is %s; accepted: a single value", describe(n))
		} else if err := set(s); err != nil {
			d.report(at, "%v", err)
		}
	}, true
}

// setURL reads a URL. A URL may hold a password, so the message quotes nothing of it.
func setURL(u *config.URL, text string) error {
	parsed, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("is not a URL; accepted: as http://host:port, special characters as %%XX")
	}
	u.URL = parsed
	return nil
}

var reference = regexp.MustCompile(`\$?\$\{[^}]*\}?`)
var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// expand replaces each ${NAME} of a secret by the environment variable; $${ stands for a plain ${.
func expand(text string) (config.Secret, error) {
	var fault error
	expanded := reference.ReplaceAllStringFunc(text, func(ref string) string {
		if strings.HasPrefix(ref, "$$") {
			return ref[1:]
		}
		name := variable.FindStringSubmatch(ref)
		if name == nil {
			fault = fmt.Errorf("holds a ${ that names no environment variable; accepted: ${NAME}, and $${ for a plain ${")
			return ""
		}
		value := os.Getenv(name[1])
		if value == "" {
			fault = fmt.Errorf("the environment variable %s is not set or empty; $${ stands for a plain ${", name[1])
		}
		return value
	})
	return config.Secret(expanded), fault
}

// decodeScalar fills a value of a basic kind as the YAML library does, with its YAML 1.1 booleans. Unlike it, a
// fraction is not cut off to make an integer.
func (d *decoder) decodeScalar(n *yaml.Node, at *place, out reflect.Value) {
	accepted := map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "true or false", reflect.Float64: "a number"}[out.Kind()]
	if accepted == "" {
		accepted = "a whole number"
	}
	if n.Kind != yaml.ScalarNode {
		d.report(at, "is %s; accepted: %s", describe(n), accepted)
		return
	}
	var number float64
	whole := out.CanInt() || out.CanUint()
	if whole && n.Decode(&number) == nil && number != math.Trunc(number) || n.Decode(out.Addr().Interface()) != nil {
		d.report(at, "%s is %s; accepted: %s", quoted(n.Value), describe(n), accepted)
		return
	}
	if out.Kind() == reflect.String && namesFile(at) && out.String() != "" {
		d.files = append(d.files, out.String())
	}
}

// namesFile tells by its key whether an option is the name of a file.
func namesFile(at *place) bool {
	if at.index >= 0 {
		at = at.parent
	}
	return isFileName(at.key)
}

// text is a scalar's value as text, by the YAML library's rules: numbers and booleans as they are written.
func text(n *yaml.Node) (string, bool) {
	var s string
	if n.Kind != yaml.ScalarNode || n.Decode(&s) != nil {
		return "", false
	}
	return s, true
}

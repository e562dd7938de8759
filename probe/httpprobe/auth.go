package httpprobe

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/prometheus/common/config"
	"golang.org/x/net/http/httpguts"

	"rollcall/probe"
	"rollcall/probe/option"
)

// authorizer yields the Authorization header of a module's requests. Its errors are *Failures and *ExporterErrors
// and hold no secret.
type authorizer interface {
	authorize(ctx context.Context, g probe.Guard) (string, error)
}

// secret is a value that is written in the file or read from another.
type secret struct {
	text string
	file *option.File // nil: text
}

// compileSecret takes at most one of an inline value, a file and a reference. References need a secret manager,
// which neither blackbox_exporter nor rollcall has.
func compileSecret(f *option.Collector, path, text, file, ref string) secret {
	if ref != "" {
		f.Unusablef(path+"_ref", "needs a secret manager, and there is none; accepted: %s, %s_file", path, path)
	}
	if file == "" {
		return secret{text: text}
	}
	if text != "" {
		f.Addf(path+"_file", "stands beside %s; accepted: one of them", path)
	}
	watched, err := option.OpenFile(file, true)
	if err != nil {
		f.Unusablef(path+"_file", "%w", err)
		return secret{}
	}
	return secret{file: watched}
}

// raw is the secret as it stands, but for white space around a file's content. An unreadable file is an
// *ExporterError.
func (s secret) raw() ([]byte, error) {
	if s.file == nil {
		return []byte(s.text), nil
	}
	content, err := s.file.Read()
	return bytes.TrimSpace(content), err
}

// get is the secret as part of a header.
func (s secret) get() (string, error) {
	if s.file == nil {
		return s.text, nil
	}
	return readField(s.file, "secret")
}

// compileAuthorization makes the authorizer of basic_auth, authorization, bearer_token and oauth2, of which a
// module may have one.
func compileAuthorization(c *config.HTTPClientConfig) (authorizer, error) {
	var f option.Collector
	var ways []string
	var made authorizer
	if b := c.BasicAuth; b != nil {
		ways = append(ways, "basic_auth")
		made = basicAuth{
			user:     compileSecret(&f, "basic_auth.username", b.Username, b.UsernameFile, b.UsernameRef),
			password: compileSecret(&f, "basic_auth.password", string(b.Password), b.PasswordFile, b.PasswordRef),
		}
	}
	if a := c.Authorization; a != nil {
		ways = append(ways, "authorization")
		scheme := strings.TrimSpace(a.Type)
		switch {
		case scheme == "":
			scheme = "Bearer"
		case strings.EqualFold(scheme, "basic"):
			f.Addf("authorization.type", "may not be Basic; accepted: basic_auth, which encodes the password")
		case !httpguts.ValidHeaderFieldValue(scheme):
			f.Unusablef("authorization.type", "holds a control character")
		}
		made = schemeAuth{scheme, compileSecret(&f, "authorization.credentials", string(a.Credentials), a.CredentialsFile, a.CredentialsRef)}
	}
	if c.BearerToken != "" || c.BearerTokenFile != "" {
		ways = append(ways, "bearer_token")
		made = schemeAuth{"Bearer", compileSecret(&f, "bearer_token", string(c.BearerToken), c.BearerTokenFile, "")}
	}
	if c.OAuth2 != nil {
		ways = append(ways, "oauth2")
		tokens, err := compileOAuth2(c.OAuth2)
		f.Join(option.Under("oauth2", err))
		made = tokens
	}
	if len(ways) > 1 {
		f.Addf(ways[len(ways)-1], "stands beside %s; accepted: one of them", strings.Join(ways[:len(ways)-1], " and "))
	}
	if s, ok := made.(schemeAuth); ok && s.credentials.file == nil && !httpguts.ValidHeaderFieldValue(s.credentials.text) {
		f.Unusablef(ways[0], "the credentials hold a control character (a line break?)")
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return made, nil
}

type basicAuth struct{ user, password secret }

func (a basicAuth) authorize(context.Context, probe.Guard) (string, error) {
	user, err := a.user.get()
	if err != nil {
		return "", err
	}
	password, err := a.password.get()
	if err != nil {
		return "", err
	}
	return basicCredentials(user, password), nil
}

type schemeAuth struct {
	scheme      string
	credentials secret
}

func (a schemeAuth) authorize(context.Context, probe.Guard) (string, error) {
	credentials, err := a.credentials.get()
	if err != nil {
		return "", err
	}
	return a.scheme + " " + credentials, nil
}

func basicCredentials(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// userinfoCredentials is the Authorization that a URL's userinfo stands for.
func userinfoCredentials(u *url.Userinfo) string {
	password, _ := u.Password()
	return basicCredentials(u.Username(), password)
}

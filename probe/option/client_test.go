package option

import (
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/config"
)

// TestClientsSecretsAreTakenOut: whatever a server of ours repeats, a log has none of it.
func TestClientsSecretsAreTakenOut(t *testing.T) {
	const secret = "canary/word"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	header := func(h config.Header) *config.Headers {
		return &config.Headers{Headers: map[string]config.Header{"X-Token": h}}
	}
	for name, c := range map[string]config.HTTPClientConfig{
		"password":              {BasicAuth: &config.BasicAuth{Username: "u", Password: secret}},
		"a file of it":          {BasicAuth: &config.BasicAuth{Username: "u", PasswordFile: file}},
		"credentials":           {Authorization: &config.Authorization{Credentials: secret}},
		"a file of them":        {Authorization: &config.Authorization{CredentialsFile: file}},
		"bearer token":          {BearerToken: secret},
		"secret header":         {HTTPHeaders: header(config.Header{Secrets: []config.Secret{secret}})},
		"a file of it, too":     {HTTPHeaders: header(config.Header{Files: []string{file}})},
		"header named for it":   {HTTPHeaders: header(config.Header{Values: []string{secret}})},
		"proxy":                 {ProxyConfig: config.ProxyConfig{ProxyURL: config.URL{URL: &url.URL{User: url.UserPassword("u", secret)}}}},
		"OAuth 2.0":             {OAuth2: &config.OAuth2{ClientSecret: secret}},
		"a file that is absent": {BasicAuth: &config.BasicAuth{PasswordFile: file + ".absent"}},
	} {
		t.Run(name, func(t *testing.T) {
			basic := base64.StdEncoding.EncodeToString([]byte("u:" + secret))
			got := RedactClient(&c, "no "+secret+", Basic "+basic+", "+url.QueryEscape(secret))
			if strings.Contains(got, "canary") || strings.Contains(got, basic) {
				t.Errorf("shown: %s", got)
			}
		})
	}
	if got := RedactClient(&config.HTTPClientConfig{}, "unknown module"); got != "unknown module" {
		t.Errorf("without secrets: %s", got)
	}
}

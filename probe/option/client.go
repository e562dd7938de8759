package option

import (
	"strings"

	"github.com/prometheus/common/config"

	"rollcall/redact"
)

// RedactClient takes what a client with the options of c sends to its server out of text, which may quote the server. Of a
// client with OAuth 2.0, or with a file that cannot be read, not all of that is known, so nothing of the text is shown.
func RedactClient(c *config.HTTPClientConfig, text string) string {
	const unknown = "(what it says is not shown, for it may repeat a secret)"
	if c.OAuth2 != nil {
		return unknown
	}
	secrets, files := []string{string(c.BearerToken)}, []string{c.BearerTokenFile}
	if a := c.Authorization; a != nil {
		secrets, files = append(secrets, string(a.Credentials)), append(files, a.CredentialsFile)
	}
	if c.HTTPHeaders != nil {
		for name, header := range c.HTTPHeaders.Headers {
			for _, secret := range header.Secrets {
				secrets = append(secrets, string(secret))
			}
			if redact.IsCredential(name) {
				for _, value := range header.Values {
					secrets = append(secrets, redact.CredentialForms(value)...)
				}
			}
			files = append(files, header.Files...)
		}
	}
	if b := c.BasicAuth; b != nil {
		secrets, files = append(secrets, string(b.Password)), append(files, b.PasswordFile)
	}
	if u := c.ProxyURL.URL; u != nil && u.User != nil {
		password, _ := u.User.Password()
		secrets = append(secrets, u.User.Username()+":"+password, password)
	}
	for _, file := range files {
		if file == "" {
			continue
		}
		content, err := ReadFile(file)
		if err != nil {
			return unknown
		}
		secrets = append(secrets, strings.TrimSpace(string(content)))
	}
	return redact.Text(text, secrets...)
}

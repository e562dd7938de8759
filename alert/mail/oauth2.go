package mail

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/alert/incident"
	"rollcall/probe/option"
	"rollcall/redact"
)

// tokenTimeout bounds how long a mail server waits for our login while the token is fetched.
const tokenTimeout = 20 * time.Second

// token gets an access token by the options of OAuth 2.0. Every session gets one of its own: mails are rare, and a
// token that was revoked is not worth keeping.
func (o *SMTPOptions) token(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	secret, err := o.clientSecret()
	if err != nil {
		return "", err
	}
	// The library has the token only as a header of a request: this one goes nowhere.
	var header string
	caught := roundTripper(func(r *http.Request) (*http.Response, error) {
		header = r.Header.Get("Authorization")
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
	})
	transport := config.NewOAuth2RoundTripper(config.NewInlineSecret(secret), o.OAuth2, caught)
	if idle, ok := transport.(interface{ CloseIdleConnections() }); ok {
		defer idle.CloseIdleConnections()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://token.invalid/", nil)
	if err == nil {
		var resp *http.Response
		if resp, err = transport.RoundTrip(req); err == nil {
			err = resp.Body.Close()
		}
	}
	if err != nil {
		secrets := append(slices.Collect(maps.Values(o.OAuth2.EndpointParams)), secret) // the former may be of another grant
		return "", fmt.Errorf("getting an OAuth 2.0 token for the mail server: %s", incident.Clean(redact.Text(err.Error(), secrets...), maxAnswer))
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return "", errors.New("getting an OAuth 2.0 token for the mail server: it is no bearer token")
	}
	return token, nil
}

// clientSecret is the client's secret, or its key where the grant is a signed one.
func (o *SMTPOptions) clientSecret() (string, error) {
	file, inline := o.OAuth2.ClientSecretFile, o.OAuth2.ClientSecret
	if file == "" && inline == "" {
		file, inline = o.OAuth2.ClientCertificateKeyFile, o.OAuth2.ClientCertificateKey
	}
	if file == "" {
		return string(inline), nil
	}
	b, err := option.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the OAuth 2.0 client's secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

package httpprobe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/common/config"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"rollcall/probe"
	"rollcall/probe/httpprobe/content"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/redact"
)

const (
	grantClientCredentials = "client_credentials"
	grantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	// maxTokenAnswer bounds the body of a token server's answer.
	maxTokenAnswer = 1 << 20
)

// tokenSource authorizes with an OAuth 2.0 token, which it fetches when there is none or it expires. The fetch is
// part of the probe: within its deadline, through its guard.
type tokenSource struct {
	options   *config.OAuth2
	url       string // of the token server, its host in its one form
	secret    secret // or the private key
	algorithm *jwt.SigningMethodRSA
	client    *prober // reaches the token server, and expects nothing

	lock  chan struct{} // holds one value during a fetch; it guards the fields below
	grant func(context.Context) oauth2.TokenSource
	key   string // the secret that grant was made with
	token *oauth2.Token
	since time.Time // when token was asked for
}

func compileOAuth2(o *config.OAuth2) (*tokenSource, error) {
	var f option.Collector
	s := &tokenSource{options: o, lock: make(chan struct{}, 1)}
	if o.ClientID == "" {
		f.Add("client_id", option.ErrRequired)
	}
	if o.TokenURL == "" {
		f.Add("token_url", option.ErrRequired)
	} else if u, err := url.Parse(o.TokenURL); err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		f.Unusablef("token_url", "is not a URL; accepted: http or https")
	} else if err := weburl.Clean(u); err != nil {
		f.Unusablef("token_url", "%w", err)
	} else {
		s.url = u.String()
	}
	switch o.GrantType {
	case "", grantClientCredentials:
		s.secret = compileSecret(&f, "client_secret", string(o.ClientSecret), o.ClientSecretFile, o.ClientSecretRef)
	case grantJWTBearer:
		s.secret = compileSecret(&f, "client_certificate_key", string(o.ClientCertificateKey), o.ClientCertificateKeyFile, o.ClientCertificateKeyRef)
		f.Join(s.compileSigning())
	default:
		f.Unusablef("grant_type", "%q is unknown; accepted: %s, %s", o.GrantType, grantClientCredentials, grantJWTBearer)
	}
	client := Options{IPProtocol: "ip4", IPProtocolFallback: true, SkipResolvePhaseWithProxy: true}
	client.HTTPClientConfig.TLSConfig, client.HTTPClientConfig.ProxyConfig = o.TLSConfig, o.ProxyConfig
	made, err := client.Compile()
	f.Join(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	s.client = made.(*prober)
	return s, nil
}

// compileSigning checks what signs the assertions of a JWT grant (RFC 7523).
func (s *tokenSource) compileSigning() error {
	var f option.Collector
	var known bool
	s.algorithm, known = jwt.GetSigningMethod(cmp.Or(s.options.SignatureAlgorithm, "RS256")).(*jwt.SigningMethodRSA)
	if !known {
		f.Addf("signature_algorithm", "%q is unknown; accepted: RS256, RS384, RS512", s.options.SignatureAlgorithm)
	}
	if key, err := s.secret.raw(); err == nil {
		if _, err := jwt.ParseRSAPrivateKeyFromPEM(key); err != nil {
			f.Unusablef("client_certificate_key", "is not an RSA key in PEM form")
		}
	}
	return f.Err()
}

// authorize implements authorizer.
func (s *tokenSource) authorize(ctx context.Context, g probe.Guard) (string, error) {
	return s.renew(ctx, g, "", time.Time{})
}

// renew is authorize where refused, an earlier one's header, was not accepted: unless the token was asked for after
// began, it is fetched anew.
func (s *tokenSource) renew(ctx context.Context, g probe.Guard, refused string, began time.Time) (string, error) {
	key, err := s.secret.raw()
	if err != nil {
		return "", err
	}
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return "", network.Classify(ctx, probe.StageRequest, fmt.Errorf("waiting for a token: %w", ctx.Err()))
	}
	if s.grant == nil || s.key != string(key) {
		s.grant, s.key, s.token = s.newGrant(key), string(key), nil
	}
	if !s.token.Valid() || s.header() == refused && s.since.Before(began) {
		s.since = time.Now()
		if s.token, err = s.fetch(ctx, g); err != nil {
			return "", err
		}
	}
	return s.header(), nil
}

func (s *tokenSource) header() string { return s.token.Type() + " " + s.token.AccessToken }

// newGrant prepares requests for tokens.
func (s *tokenSource) newGrant(key []byte) func(context.Context) oauth2.TokenSource {
	o := s.options
	parameters := make(url.Values, len(o.EndpointParams))
	for name, value := range o.EndpointParams {
		parameters.Set(name, value)
	}
	if o.GrantType != grantJWTBearer {
		c := &clientcredentials.Config{
			ClientID: o.ClientID, ClientSecret: string(key), Scopes: o.Scopes, TokenURL: s.url, EndpointParams: parameters,
		}
		return c.TokenSource
	}
	c := &config.JwtGrantTypeConfig{
		Iss: cmp.Or(o.Iss, o.ClientID), Subject: o.ClientID, Audience: o.Audience, PrivateClaims: o.Claims, Scopes: o.Scopes,
		PrivateKey: key, PrivateKeyID: o.ClientCertificateKeyID, SigningAlgorithm: s.algorithm,
		TokenURL: s.url, EndpointParams: parameters,
	}
	return c.TokenSource
}

func (s *tokenSource) fetch(ctx context.Context, g probe.Guard) (*oauth2.Token, error) {
	transport := &tokenTransport{ctx: ctx, client: s.client, guard: g, sent: []string{s.key}}
	client := &http.Client{
		Transport: transport,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Host != via[0].URL.Host || next.URL.Scheme != via[0].URL.Scheme || len(via) > maxRedirects {
				return http.ErrUseLastResponse // the request holds a secret: it is for this server only
			}
			return nil
		},
	}
	token, err := s.grant(context.WithValue(ctx, oauth2.HTTPClient, client)).Token()
	if err != nil {
		return nil, probe.Redact(tokenError(ctx, err), transport.sent...)
	}
	if token.AccessToken == "" || !httpguts.ValidHeaderFieldValue(token.Type()+token.AccessToken) {
		return nil, probe.Failf(probe.StageRequest, probe.ReasonTokenRefused, "fetching a token: the answer of the token server holds none")
	}
	return token, nil
}

// tokenError says why there is no token, without what the server's text may quote: the secret that it was sent.
func tokenError(ctx context.Context, err error) error {
	denied, isDenied := errors.AsType[*probe.DeniedError](err)
	refused, isRefused := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case probe.Is[*probe.Failure](err):
		return atStage(probe.StageRequest, "fetching a token", err)
	case isDenied:
		return probe.Failf(probe.StageRequest, probe.ReasonDenied, "fetching a token: %w", denied.Err)
	case probe.IsClassified(err):
		return err
	case ctx.Err() != nil:
		return network.Classify(ctx, probe.StageRequest, fmt.Errorf("fetching a token: %w", ctx.Err()))
	case isRefused && refused.Response != nil:
		code := refused.ErrorCode
		if !slices.Contains(tokenErrors, code) {
			code = "no reason that RFC 6749 knows"
		}
		return probe.Failf(probe.StageRequest, probe.ReasonTokenRefused, "fetching a token: the token server answers %d (%s)", refused.Response.StatusCode, code)
	default:
		return probe.Failf(probe.StageRequest, probe.ReasonTokenRefused, "fetching a token: the answer of the token server holds none")
	}
}

// tokenErrors are the error codes of RFC 6749, section 5.2.
var tokenErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

// tokenTransport carries the requests of one fetch. It holds the probe's context, because the JWT grant makes its
// requests without one.
type tokenTransport struct {
	ctx    context.Context
	client *prober
	guard  probe.Guard
	sent   []string // the secrets of its requests
}

// RoundTrip implements http.RoundTripper.
func (t *tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := weburl.Clean(r.URL); err != nil { // of a redirect
		return nil, probe.Failf(probe.StageRequest, probe.ReasonTokenRefused, "the token server's redirect leads nowhere: %w", err)
	}
	req := &request{method: r.Method, url: r.URL, host: weburl.HostHeader(r.URL), userAgent: t.client.headers.userAgent}
	for name, values := range r.Header {
		for _, value := range values {
			req.fields = append(req.fields, field{name, value})
		}
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		req.body = body
		form, _ := url.ParseQuery(string(body)) // what cannot be read is in no form
		for name, values := range form {
			if redact.IsCredential(name) { // wherever it stands: redactions looks at the beginning alone
				t.sent = append(t.sent, values...)
			}
		}
	}
	asked := run{
		p: t.client, req: probe.Request{Guard: t.guard}, result: probe.Result{HTTP: new(probe.HTTPFacts)}, target: r.URL,
		sentFields: req.fields, sentBody: req.body,
	}
	defer func() {
		t.sent = append(t.sent, asked.redactions()...)
		asked.close(true)
	}()
	if err := asked.connect(t.ctx, &hop{url: r.URL, body: req.body, sameHost: true}); err != nil {
		return nil, err
	}
	asked.throughProxy(req)
	resp, err := asked.exchange(t.ctx, req)
	if err != nil {
		return nil, err
	}
	sink := content.Sink{Limit: maxTokenAnswer, Keep: true, Memory: probe.LimitOf(t.ctx)}
	if err := t.client.readBody(t.ctx, resp, &sink, make([]byte, 0, 1024)); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: resp.status, Header: resp.header, Body: io.NopCloser(bytes.NewReader(sink.Kept)), Request: r,
	}, nil
}

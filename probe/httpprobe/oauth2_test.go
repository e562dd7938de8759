package httpprobe

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.yaml.in/yaml/v3"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// tokenServer gives numbered tokens and counts them.
func tokenServer(t testing.TB, seconds int, given *atomic.Int64, check func(r *http.Request) bool) *httptest.Server {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		if !check(r) {
			w.WriteHeader(http.StatusUnauthorized)
			json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": "not " + r.FormValue("client_secret") + "canary"})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token": "token%d", "token_type": "bearer", "expires_in": %d}`, given.Add(1), seconds)
	})
}

func oauthOptions(tokenURL, more string) string {
	return "oauth2:\n  client_id: me\n  token_url: '" + tokenURL + "'\n" + more
}

func TestOAuth2TokenIsFetchedOnceAndSent(t *testing.T) {
	var given atomic.Int64
	tokens := tokenServer(t, 3600, &given, func(r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		return user == "me" && password == "canary" && r.FormValue("scope") == "a b" && r.FormValue("extra") == "1"
	})
	var seen recorder
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.record(r) })
	m := httpModule(t, oauthOptions(tokens.URL, "  client_secret: canary\n  scopes: [a, b]\n  endpoint_params: {extra: '1'}"))
	for range 3 {
		probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL}))
		if got, _ := seen.last(); got.Header.Get("Authorization") != "Bearer token1" {
			t.Errorf("authorization %q", got.Header.Get("Authorization"))
		}
	}
	if given.Load() != 1 {
		t.Errorf("%d tokens were fetched", given.Load())
	}
}

func TestOAuth2TokenThatExpiresIsFetchedAgain(t *testing.T) {
	var given atomic.Int64
	tokens := tokenServer(t, 1, &given, func(r *http.Request) bool { return true })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	m := httpModule(t, oauthOptions(tokens.URL, "  client_secret: x"))
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL}))
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL}))
	if given.Load() != 2 {
		t.Errorf("%d tokens were fetched, want 2", given.Load())
	}
}

// A token can be revoked before it expires. That makes no target down that would accept a new one.
func TestOAuth2TokenThatIsRefusedIsFetchedAgain(t *testing.T) {
	var given, asked atomic.Int64
	tokens := tokenServer(t, 3600, &given, func(r *http.Request) bool { return true })
	var valid atomic.Value
	valid.Store("Bearer token1")
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != valid.Load() {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	m := httpModule(t, oauthOptions(tokens.URL, "  client_secret: x"))
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL}))
	valid.Store("Bearer token2")
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL}))
	if given.Load() != 2 || asked.Load() != 3 {
		t.Errorf("%d tokens were fetched, the target was asked %d times; want 2 and 3", given.Load(), asked.Load())
	}
	valid.Store("none")
	probetest.WantDown(t, probetest.Ask(t, m, probe.Request{Target: s.URL}), probe.StageCheck, probe.ReasonStatusCode)
	if given.Load() != 3 || asked.Load() != 5 {
		t.Errorf("%d tokens were fetched, the target was asked %d times; want 3 and 5", given.Load(), asked.Load())
	}

	// Where the token is of this very probe, or 401 is what is wanted, nothing is asked twice.
	for _, options := range []string{"", "\nvalid_status_codes: [401]"} {
		m := httpModule(t, oauthOptions(tokens.URL, "  client_secret: x"+options))
		asked.Store(0)
		if r := probetest.Ask(t, m, probe.Request{Target: s.URL}); r.Up() != (options != "") {
			t.Errorf("%q: %v", options, r.Failure)
		}
		if options != "" {
			probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL}))
			asked.Add(-1)
		}
		if asked.Load() != 1 {
			t.Errorf("%q: asked %d times", options, asked.Load())
		}
	}
}

// A target hangs up on who connects and then says nothing.
func TestOAuth2TokenIsThereBeforeTheTargetIsConnectedTo(t *testing.T) {
	var connected atomic.Bool
	target := rawServer(t, func(c net.Conn) {
		connected.Store(true)
		bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	var given atomic.Int64
	tokens := tokenServer(t, 3600, &given, func(r *http.Request) bool { return !connected.Load() })
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, oauthOptions(tokens.URL, "  client_secret: x")), probe.Request{Target: target}))
}

func TestOAuth2JWTGrant(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var given atomic.Int64
	tokens := tokenServer(t, 3600, &given, func(r *http.Request) bool {
		token, err := jwt.Parse(r.FormValue("assertion"), func(*jwt.Token) (any, error) { return &key.PublicKey, nil })
		if err != nil {
			return false
		}
		claims := token.Claims.(jwt.MapClaims)
		return claims["iss"] == "me" && claims["extra"] == "claim" && token.Method.Alg() == "RS384"
	})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	options, err := yaml.Marshal(map[string]any{"oauth2": map[string]any{
		"client_id": "me", "token_url": tokens.URL, "grant_type": grantJWTBearer, "signature_algorithm": "RS384",
		"client_certificate_key": string(text), "claims": map[string]string{"extra": "claim"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, string(options)), probe.Request{Target: s.URL}))
}

func TestOAuth2FailuresTellNoSecret(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	silent := serve(t, func(w http.ResponseWriter, r *http.Request) { r.ParseForm(); <-r.Context().Done() })
	var given atomic.Int64
	for name, c := range map[string]struct {
		server *httptest.Server
		reason probe.Reason
	}{
		"refused":  {tokenServer(t, 1, &given, func(*http.Request) bool { return false }), probe.ReasonTokenRefused},
		"no token": {serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"canary": 1}`)) }), probe.ReasonTokenRefused},
		"no JSON":  {serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`canary`)) }), probe.ReasonTokenRefused},
		"a token that breaks the header": {serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"access_token": "canary\r\nX: y"}`))
		}), probe.ReasonTokenRefused},
		"elsewhere": {serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere(s), http.StatusTemporaryRedirect)
		}), probe.ReasonTokenRefused},
		"silent": {silent, probe.ReasonTimeout},
	} {
		m := httpModule(t, oauthOptions(strings.Replace(c.server.URL, "//", "//x:canary@", 1), "  client_secret: canary"))
		limit := probetest.Enough
		if c.reason == probe.ReasonTimeout {
			limit = time.Second
		}
		r := probetest.Ask(t, m, probe.Request{Target: s.URL, Timeout: limit})
		if r.Up() || r.Failure.Stage != probe.StageRequest || r.Failure.Reason != c.reason {
			t.Errorf("%s: %v", name, r.Failure)
		} else if strings.Contains(r.Failure.Error(), "canary") {
			t.Errorf("%s: the failure shows a secret: %v", name, r.Failure)
		}
		if r.Duration > limit+probetest.Enough {
			t.Errorf("%s: it took %v", name, r.Duration)
		}
	}
}

func TestOAuth2WaitingForAnotherFetchEndsInTime(t *testing.T) {
	silent := serve(t, func(w http.ResponseWriter, r *http.Request) { r.ParseForm(); <-r.Context().Done() })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	m := httpModule(t, oauthOptions(silent.URL, "  client_secret: x"))
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := new(probe.Runner).Do(ctx, m, probe.Request{Target: s.URL, Timeout: 10 * time.Second})
		first <- err
	}()
	r := probetest.Ask(t, m, probe.Request{Target: s.URL, Timeout: 300 * time.Millisecond})
	probetest.WantDown(t, r, probe.StageRequest, probe.ReasonTimeout)
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled probe: %v", err)
	}
}

func TestOAuth2TokenServerIsGuarded(t *testing.T) {
	var given atomic.Int64
	tokens := tokenServer(t, 3600, &given, func(*http.Request) bool { return true })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	m := httpModule(t, oauthOptions(tokens.URL, "  client_secret: x"))
	m.Guard = denying(t, tokens.Listener.Addr().String())
	probetest.WantDown(t, probetest.Ask(t, m, probe.Request{Target: s.URL}), probe.StageRequest, probe.ReasonDenied)
	if given.Load() != 0 {
		t.Error("the token server was asked")
	}
}

// TestOAuth2TokenServerThatRepeatsSecrets breaks the protocol with all that it got, in the forms that servers use.
func TestOAuth2TokenServerThatRepeatsSecrets(t *testing.T) {
	target := serve(t, func(http.ResponseWriter, *http.Request) {})
	tokens := rawServer(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 %s %s %q\r\n\r\n", r.Header.Get("Authorization"), form.Get("password"), form.Get("assertion"))
	})
	for path, audience := range map[string]string{"/": "", "/?not=this": "", "/?long=request": strings.Repeat("a", 5000)} {
		m := httpModule(t, oauthOptions("http://"+tokens+path, "  client_secret: canary-secret\n  endpoint_params: {audience: '"+audience+"', password: canary-password, assertion: canary-assertion}"))
		trace := new(probe.Trace)
		r := probetest.Ask(t, m, probe.Request{Target: target.URL, Trace: trace, Timeout: 20 * time.Second})
		if r.Up() {
			t.Fatal("it is up without a token")
		}
		basic := base64.StdEncoding.EncodeToString([]byte("me:canary-secret"))
		for _, text := range []string{r.Failure.Error(), fmt.Sprint(trace.Steps())} {
			if strings.Contains(text, "canary") || strings.Contains(text, basic) {
				t.Errorf("a secret is shown: %s", text)
			}
		}
	}
}

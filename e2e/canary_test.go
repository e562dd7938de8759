//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// canary is the prefix of every secret in these tests. No output of rollcall may contain it.
const canary = "canary"

// secretModules has a canary in every option of a module that holds a secret. The files named by <secret> contain one.
const secretModules = `
  c_basic: {prober: http, http: {basic_auth: {username: alice, password: canary-basic}}}
  c_basic_file: {prober: http, http: {basic_auth: {username: alice, password_file: "<secret>"}}}
  c_environment: {prober: http, http: {basic_auth: {username: alice, password: "${CANARY}"}}}
  c_bearer: {prober: http, http: {bearer_token: canary-bearer}}
  c_bearer_file: {prober: http, http: {bearer_token_file: "<secret>"}}
  c_authorization: {prober: http, http: {authorization: {type: Token, credentials: canary-authorization}}}
  c_authorization_file: {prober: http, http: {authorization: {credentials_file: "<secret>"}}}
  c_oauth2: {prober: http, http: {oauth2: {client_id: x, client_secret: canary-oauth2, token_url: "http://<token>/"}}}
  c_oauth2_file: {prober: http, http: {oauth2: {client_id: x, client_secret_file: "<secret>", token_url: "http://<token>/"}}}
  c_oauth2_url: {prober: http, http: {oauth2: {client_id: x, client_secret: y, token_url: "http://u:canary-token-url@<refused>/"}}}
  c_oauth2_parameters: {prober: http, http: {oauth2: {client_id: x, client_secret: y, token_url: "http://<token>/", endpoint_params: {password: canary-parameter}}}}
  c_headers: {prober: http, http: {headers: {Authorization: Basic canary-header, Cookie: canary-cookie, X-Api-Key: canary-key, X-Auth-Token: canary-token}}}
  c_http_headers: {prober: http, http: {http_headers: {X-Secret: {secrets: [canary-http-header]}, X-File: {files: ["<secret>"]}}}}
  c_proxy: {prober: http, http: {proxy_url: "http://u:canary-proxy@<refuser>"}}
  c_proxy_header: {prober: http, http: {proxy_url: "http://<refuser>", proxy_connect_header: {Proxy-Authorization: [canary-proxy-header], X-Password: [canary-x-password]}}}
  c_key: {prober: tcp, tcp: {tls: true, tls_config: {insecure_skip_verify: true, cert: CERT, key: KEY}}}
`

// secretAlert is the same for the alert section.
const secretAlert = `
alert:
  group_wait: 100ms
  email: {to: [admin@zoo.test], from: rollcall@zoo.test, smtp: {address: "<mail>", username: u, password: canary-smtp, tls_config: {ca_file: "<ca>"}}}
  alertmanager: {urls: ["http://<refuser>/"], basic_auth: {username: u, password: canary-alertmanager}}
`

// brokenSecrets are invalid configurations with a secret near the error.
var brokenSecrets = []string{
	`{prober: http, http: {basic_auth: {username: a, password: canary, password_file: canary}}}`,
	`{prober: http, http: {basic_auth: {username: a, password: [canary]}}}`,
	`{prober: http, http: {basic_auth: {username: a, password: {canary: canary}}}}`,
	`{prober: http, http: {basic_auth: canary}}`,
	`{prober: http, http: {basic_auth: {username: a, password: "canary ${NOT_THERE}"}}}`,
	`{prober: http, http: {bearer_token: canary, authorization: {credentials: canary}}}`,
	`{prober: http, http: {authorization: {type: Basic, credentials: canary}}}`,
	`{prober: http, http: {authorization: {credentials: canary, credentials: canary2}}}`,
	`{prober: http, http: {oauth2: {client_secret: canary}}}`,
	`{prober: http, http: {oauth2: {client_id: x, client_secret: canary, token_url: "http://u:canary@[::1"}}}`,
	`{prober: http, http: {proxy_url: "http://u:canary@[::1"}}`,
	`{prober: http, http: {proxy_url: "gopher://u:canary@127.0.0.1"}}`,
	`{prober: http, http: {proxy_url: "http://u:canary@%zz"}}`,
	`{prober: http, http: {headers: {Authorization: "canary\r\nX: y"}}}`,
	`{prober: http, http: {headers: {Authorization: [canary]}}}`,
	`{prober: http, http: {http_headers: {X-A: {secrets: canary}}}}`,
	`{prober: http, http: {http_headers: {X-A: {secrets: ["canary\r\n"]}}}}`,
	`{prober: tcp, tcp: {tls: true, tls_config: {cert: canary, key: canary}}}`,
	`{prober: tcp, tcp: {tls_config: {key: canary}}}`,
}

func TestSecretsAreNeverShown(t *testing.T) {
	t.Setenv("CANARY", "canary-environment")
	p := newPark(t)
	seen := &zoo.Seen{Handler: zoo.Site()}
	site := zoo.HTTP(t, seen)
	secret := writeFile(t, "secret", "canary-file")
	fill := func(s string) string { return p.fill(strings.ReplaceAll(s, "<secret>", secret)) }
	key := canaryKey(t, p)
	modules := strings.NewReplacer("CERT", yamlFile(t, p.at("cert")), "KEY", yamlFile(t, p.at("key"))).Replace(fill(secretModules))
	ex := startExporter(t, rollcall, "modules:"+modules+fill(secretAlert), []string{"--log.level=debug", "--log.prober=debug", "--storage.path=" + t.TempDir()})

	var shown []string // every output
	look := func(path string) {
		reply, err := ex.get(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, path+"\n"+reply.Body)
	}
	names := regexp.MustCompile(`(?m)^  (c_\w+):`).FindAllStringSubmatch(secretModules, -1)
	for _, name := range names {
		for _, target := range []string{
			"http://" + site + "/status/401", "http://" + p.at("refused") + "/", "https://" + p.at("secure") + "/",
			"http://" + site + "/redirect?to=http://" + p.at("othersite") + "/", p.at("wantsclient"),
		} {
			query := strings.TrimPrefix(probePath("module", name[1], "target", target), "/probe")
			look("/probe" + query)
			look("/probe" + query + "&debug=true")
			look("/logs" + query)
		}
	}
	for _, path := range []string{"/", "/probes", "/incidents", "/incidents.atom", "/api/v1/targets", "/api/v1/incidents", "/config", "/metrics", "/metrics/targets", "/-/reload"} {
		look(path)
	}
	within(t, 20*time.Second, func() error { // until the mail and the post have been attempted
		if text := ex.text(); !strings.Contains(text, "channel=email") || !strings.Contains(text, "channel=alertmanager") {
			return errors.New("the log has no error of sending")
		}
		return nil
	})
	shown = append(shown, ex.text())
	for _, module := range brokenSecrets {
		out, err := exec.Command(rollcall, "--config.check", "--config.file="+writeFile(t, "broken.yml", "modules: {broken: "+module+"}\n")).CombinedOutput()
		if err == nil {
			t.Errorf("%s was accepted", module)
		}
		shown = append(shown, module[:20]+"\n"+string(out))
	}
	for _, text := range shown {
		for _, word := range []string{canary + "-", `"` + canary, "=" + canary, key} {
			if i := strings.Index(text, word); i >= 0 {
				t.Errorf("%s shows a secret: …%s", firstLine(text), shorten(text[max(0, i-100):]))
			}
		}
	}
	wantCanariesSent(t, seen)
}

// wantCanariesSent makes sure that the secrets were used: a test with unused secrets proves nothing.
func wantCanariesSent(t *testing.T, seen *zoo.Seen) {
	t.Helper()
	var sent strings.Builder
	for _, r := range seen.Requests() {
		user, password, _ := r.BasicAuth()
		fmt.Fprintln(&sent, r.Header, user, password)
	}
	for _, secret := range []string{"basic", "file", "environment", "bearer", "authorization", "header", "cookie", "key", "token", "http-header"} {
		if !strings.Contains(sent.String(), canary+"-"+secret) {
			t.Errorf("no request had the secret %s-%s", canary, secret)
		}
	}
}

// canaryKey is a part of the private key that occurs nowhere else.
func canaryKey(t *testing.T, p *park) string {
	t.Helper()
	text, err := os.ReadFile(p.at("key"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")[1][24:48]
}

// yamlFile returns a file's text as a quoted scalar.
func yamlFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Quote(string(text))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

package config

import (
	"cmp"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"rollcall/alert"
	"rollcall/probe/option"
	"rollcall/redact"

	"github.com/prometheus/common/config"
)

const hiddenText = "<secret>"

const canary = "canary-5f3a"

// TestNoSecretIsShownWhateverTheOption puts a canary into every secret, URL and credential-like header that the
// options can hold, by their types: a section that is added later is covered from its first day.
func TestNoSecretIsShownWhateverTheOption(t *testing.T) {
	var options file
	planted := plant(reflect.ValueOf(&options).Elem(), "")
	if planted < 20 {
		t.Fatalf("only %d canaries were planted; the options have more secrets than that", planted)
	}
	c := &Config{file: options, names: []string{"module"}}
	for what, shown := range map[string]string{"the configuration": string(c.YAML()), "a module": string(c.ModuleYAML("module"))} {
		for line := range strings.Lines(shown) {
			if strings.Contains(line, canary) {
				t.Errorf("%s shows a secret: %s", what, line)
			}
		}
		if !strings.Contains(shown, "<secret>") || !strings.Contains(shown, "user:xxxxx@") {
			t.Errorf("%s does not show that there are secrets:\n%s", what, shown)
		}
	}
}

// plant sets everything in v that must never be shown, and returns how much that was. name is the option's.
func plant(v reflect.Value, name string) int {
	switch p := v.Addr().Interface().(type) {
	case *config.Secret:
		*p = canary
		return 1
	case *config.URL:
		p.URL = &url.URL{Scheme: "http", User: url.UserPassword("user", canary), Host: "example.com"}
		return 1
	case *option.Regexp:
		return 0
	}
	n := 0
	switch v.Kind() {
	case reflect.String:
		if name == "target" || name == "targets" || name == "references" {
			v.SetString(canary + ":" + canary + "@example.com/login?next=https://x")
			return 1
		}
		if strings.Contains(name, "url") {
			v.SetString("https://user:" + canary + "@p@example.com/token")
			return 1
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return plant(v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return plant(v.Index(0), name)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		element := reflect.New(v.Type().Elem()).Elem()
		if element.Kind() == reflect.Struct && element.Type() != reflect.TypeFor[config.Header]() {
			n = plant(element, "module")
			v.SetMapIndex(reflect.ValueOf("module"), element)
			return n
		}
		for _, header := range []string{"Authorization", "proxy-authorization", "Cookie", "X-API-Key", "x-auth", "My-Token", "client_secret", "Password"} {
			v.SetMapIndex(reflect.ValueOf(header), credential(element.Type()))
			n++
		}
		return n
	case reflect.Interface: // a section of a prober that is not built in
		v.Set(reflect.ValueOf(map[string]any{
			"tls_config": map[string]any{"key": canary, "key_file": "key.pem"},
			"metadata":   map[string]any{"authorization": []any{"Bearer " + canary}},
			"proxy":      "socks5://user:" + canary + "@example.com",
		}))
		return 3
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
				n += plant(v.Field(i), cmp.Or(key, name))
			}
		}
	}
	return n
}

// credential is a value of a map that holds credentials.
func credential(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[config.Header]():
		return reflect.ValueOf(config.Header{Values: []string{canary}, Secrets: []config.Secret{canary}, Files: []string{"file"}})
	case reflect.TypeFor[[]string](): // of a query
		return reflect.ValueOf([]string{canary})
	case reflect.TypeFor[[]alert.Address](): // of a group with such a name
		return reflect.ValueOf([]alert.Address{canary})
	case reflect.TypeFor[[]config.Secret]():
		return reflect.ValueOf([]config.Secret{canary})
	}
	return reflect.ValueOf(any(canary)).Convert(t)
}

// TestSecretsAreExpandedHiddenAndOnlySecrets follows ${NAME} through a whole load.
func TestSecretsAreExpandedHiddenAndOnlySecrets(t *testing.T) {
	certificate, key := keyPair(t)
	t.Setenv("ROLLCALL_TEST_SECRET", canary)
	t.Setenv("ROLLCALL_TEST_KEY", key)
	inline := "            " + strings.ReplaceAll(strings.TrimSpace(certificate), "\n", "\n            ")
	c := load(t, `
modules:
  web:
    prober: http
    http:
      headers:
        X-Text: ${ROLLCALL_TEST_SECRET}
        X-Api-Key: plain
      basic_auth:
        username: ${ROLLCALL_TEST_SECRET}
        password: a-${ROLLCALL_TEST_SECRET}-$${NAME}-$z
      tls_config:
        cert: |
`+inline+`
        key: ${ROLLCALL_TEST_KEY}
`)
	options := c.file.Modules["web"].HTTP
	if got, want := string(options.HTTPClientConfig.BasicAuth.Password), "a-"+canary+"-${NAME}-$z"; got != want {
		t.Errorf("password: got %q, want %q", got, want)
	}
	if got, want := string(options.HTTPClientConfig.TLSConfig.Key), key; got != want {
		t.Error("the key is not the variable's value")
	}
	for what, got := range map[string]string{"a header": options.Headers["X-Text"], "a user name": options.HTTPClientConfig.BasicAuth.Username} {
		if got != "${ROLLCALL_TEST_SECRET}" {
			t.Errorf("%s is not a secret and was expanded: %q", what, got)
		}
	}
	shown := string(c.YAML())
	for _, secret := range []string{canary, "plain", "PRIVATE KEY"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%q is shown:\n%s", secret, shown)
		}
	}
	for _, text := range []string{"X-Text: ${ROLLCALL_TEST_SECRET}", "password: <secret>", "X-Api-Key: <secret>", "BEGIN CERTIFICATE"} {
		if !strings.Contains(shown, text) {
			t.Errorf("%q is not shown:\n%s", text, shown)
		}
	}
}

// TestWhatIsSentIsHiddenUnlessTheOperatorShowsIt.
func TestWhatIsSentIsHiddenUnlessTheOperatorShowsIt(t *testing.T) {
	c := load(t, `
modules:
  mail:
    prober: tcp
    tcp: {query_response: [{expect: "^220 ", send: "AUTH PLAIN `+canary+`-send"}]}
  socket: {prober: websocket, websocket: {query_response: [{send: `+canary+`-message}]}}
  web:
    prober: http
    http:
      method: POST
      body: `+canary+`-body
      oauth2:
        client_id: rollcall
        client_secret: secret
        token_url: "https://login.example.com/token?tenant=`+canary+`-query"
        endpoint_params: {assertion: `+canary+`-assertion, resource: `+canary+`-resource}
        claims: {sub: `+canary+`-claim}
`)
	for what, text := range map[string][]byte{"the configuration": c.YAML(), "mail": c.ModuleYAML("mail"), "socket": c.ModuleYAML("socket"), "web": c.ModuleYAML("web")} {
		if strings.Contains(string(text), canary) || !strings.Contains(string(text), "<secret>") {
			t.Errorf("%s shows what is sent:\n%s", what, text)
		}
	}
	shown := WithSent{c}
	for _, part := range []string{"send", "message", "body", "query", "resource", "claim"} {
		if !strings.Contains(string(shown.YAML()), canary+"-"+part) {
			t.Errorf("the %s is not shown though the operator says so:\n%s", part, shown.YAML())
		}
	}
	if !strings.Contains(string(shown.ModuleYAML("mail")), canary) || strings.Contains(string(shown.YAML()), canary+"-assertion") {
		t.Error("a module shows what it sends, and an assertion stays a secret")
	}
	if !strings.Contains(string(c.YAML()), "https://login.example.com/token?<secret>") {
		t.Errorf("the rest of a token server's URL is hidden:\n%s", c.YAML())
	}
}

// TestProblemsDoNotQuoteSecrets breaks a file in every way around its secrets.
func TestProblemsDoNotQuoteSecrets(t *testing.T) {
	for _, http := range []string{
		"basic_auth: " + canary,
		"basic_auth: {password: [" + canary + "]}",
		"basic_auth: {password: {" + canary + ": x}}",
		"authorization: {credentials: '" + canary + "${'}",
		"authorization: {type: basic, credentials: " + canary + "}",
		"bearer_token: ['" + canary + "']",
		"proxy_url: 'http://user:" + canary + " @host'",
		"proxy_url: 'http://user:" + canary + "/x@host'",
		"proxy_url: '://" + canary + "'",
		"proxy_connect_header: {Authorization: " + canary + "}",
		"http_headers: {X: {secrets: " + canary + "}}",
		"http_headers: {X: {secrets: [[" + canary + "]]}}",
		"tls_config: {cert: x, key: " + canary + "}",
		"basic_auth: {username: a, password: \"" + canary + "\\n\"}",
		"authorization: {credentials: \"" + canary + "\\n\"}",
		"headers: {Authorization: \"" + canary + "\\r\\nX: y\"}",
		"http_headers: {X-A: {secrets: [\"" + canary + "\\r\\n\"]}}",
		"proxy_url: gopher://user:" + canary + "@host",
		"oauth2: {client_id: x, client_secret: " + canary + ", token_url: 'http://user:" + canary + "\\x7f@host'}",
	} {
		_, err := Parse("test.yml", []byte("modules: {web: {prober: http, http: {"+http+", nonsense: x}}}"))
		if err == nil {
			t.Errorf("accepted: %s", http)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s\nis quoted: %v", http, err)
		}
	}
}

func TestHiddenCredentialsAreRecognizedByName(t *testing.T) {
	for name, want := range map[string]bool{
		"Authorization": true, "PROXY-AUTHORIZATION": true, "Cookie": true, "Set-Cookie": true, "x-api-key": true,
		"X-Auth-Token": true, "X-Vault-Token": true, "client_secret": true, "X-Amz-Signature": true,
		"Accept": false, "User-Agent": false, "Host": false, "Content-Type": false, "audience": false,
	} {
		if got := redact.IsCredential(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestPasswordsOfURLsAreHidden(t *testing.T) {
	for text, want := range map[string]string{
		"http://user:pass@host/":             "http://user:xxxxx@host/",
		"http://user:p@ss@host:80/a@b":       "http://user:xxxxx@host:80/a@b",
		"see https://u:p@a and ftp://u:p@b.": "see https://u:xxxxx@a and ftp://u:xxxxx@b.",
		"http://:pass@host":                  "http://:xxxxx@host",
		"http://user@host":                   "http://user@host",
		"http://host:80/a:b@c":               "http://host:80/a:b@c",
		"user:pass@host":                     "user:pass@host",
	} {
		if got := redactURLs(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

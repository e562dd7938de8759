//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// gossip is a web server that repeats the secrets it receives in every place of a response that can hold text; the path
// selects the reason phrase, a header, a broken status line or a redirect. That of /given has secrets of the server's own.
func gossip(t *testing.T) string {
	return zoo.TCP(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		var secrets []string
		for _, name := range []string{"Authorization", "Proxy-Authorization", "X-Secret", "X-File", "X-Api-Key", "Cookie"} {
			for _, value := range r.Header.Values(name) {
				secrets = append(secrets, value)
				if _, encoded, ok := strings.Cut(value, "Basic "); ok {
					plain, _ := base64.StdEncoding.DecodeString(encoded)
					secrets = append(secrets, string(plain))
				}
			}
		}
		if r.FormValue("client_secret") != "" {
			secrets = append(secrets, r.FormValue("client_secret"))
		}
		secret := strings.Join(secrets, " ")
		switch r.URL.Path {
		case "/broken":
			fmt.Fprintf(c, "HTTP/1.1 %s\r\n\r\n", secret)
		case "/length":
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", secret)
		case "/redirect":
			fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: /?%s\r\nContent-Length: 0\r\n\r\n", url.QueryEscape(secret))
		case "/given":
			fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: http://bob:canary-given@%s/?page=2&access_token=canary-given#id_token=canary-given\r\n"+
				"Set-Cookie: session=canary-given\r\nX-Auth-Token: canary-given\r\nContent-Length: 0\r\n\r\n", r.Host)
		default:
			fmt.Fprintf(c, "HTTP/1.1 401 %s\r\nX-Echo: %s\r\nWWW-Authenticate: Basic realm=%q\r\nContent-Length: %d\r\n\r\n%s", secret, secret, secret, len(secret), secret)
		}
	})
}

// gossipingMail is a mail server with TLS from the first byte that refuses the password and repeats it.
func gossipingMail(t *testing.T) string {
	return zoo.TLS(t, zoo.Config(zoo.Good()), func(c net.Conn) {
		io.WriteString(c, "220 mail.zoo.test ESMTP\r\n")
		for lines := bufio.NewScanner(c); lines.Scan(); {
			verb, rest, _ := strings.Cut(lines.Text(), " ")
			switch verb {
			case "EHLO":
				io.WriteString(c, "250-mail.zoo.test\r\n250 AUTH PLAIN\r\n")
			case "AUTH":
				_, encoded, _ := strings.Cut(rest, " ")
				plain, _ := base64.StdEncoding.DecodeString(encoded)
				fmt.Fprintf(c, "535 5.7.8 wrong password %s (%s)\r\n", bytes.ReplaceAll(plain, []byte{0}, []byte{' '}), encoded)
			default:
				io.WriteString(c, "221 bye\r\n")
			}
		}
	})
}

// TestRepeatedSecretsAreNotShown lets every peer that receives a secret repeat it wherever a response can hold text, and
// searches all outputs for the secrets.
func TestRepeatedSecretsAreNotShown(t *testing.T) {
	p, talks := newPark(t), gossip(t)
	file := func(option string) string { return writeFile(t, option, canary+"-"+option) }
	cert, err := os.ReadFile(p.at("cert"))
	if err != nil {
		t.Fatal(err)
	}
	clientKey, err := os.ReadFile(p.at("key"))
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{
		"plain":     `{}`,
		"basic":     `{basic_auth: {username: alice, password: canary-password}}`,
		"basicfile": `{basic_auth: {username: alice, password_file: "` + file("password_file") + `"}}`,
		"bearer":    `{authorization: {credentials: canary-credentials}}`,
		"bearfile":  `{authorization: {credentials_file: "` + file("credentials_file") + `"}}`,
		"token":     `{bearer_token: canary-bearer_token}`,
		"secrets":   `{http_headers: {X-Secret: {secrets: [canary-secrets]}, X-File: {files: ["` + file("files") + `"]}}}`,
		"headers":   `{headers: {Authorization: "Token canary-authorization", X-Api-Key: canary-api-key, Cookie: "session=canary-cookie"}}`,
		"oauth":     `{oauth2: {client_id: rollcall, client_secret: canary-client_secret, token_url: "http://` + p.at("token") + `/"}}`,
		"oauthtalk": `{oauth2: {client_id: rollcall, client_secret_file: "` + file("client_secret_file") + `", token_url: "http://` + talks + `/broken"}}`,
		"proxy":     `{proxy_url: "http://alice:canary-proxy_url@` + talks + `", proxy_connect_header: {Proxy-Authorization: [canary-proxy_connect_header]}}`,
		"noproxy":   `{proxy_url: "http://alice:canary-proxy_url@` + p.at("refused") + `"}`,
		"key":       `{tls_config: {ca_file: "` + p.at("ca") + `", cert: "` + quoteLines(cert) + `", key: "` + quoteLines(clientKey) + `"}}`,
	}
	var config strings.Builder
	config.WriteString("modules:\n")
	for name, options := range modules {
		fmt.Fprintf(&config, "  %s: {prober: http, timeout: 5s, http: %s}\n", name, options)
	}
	fmt.Fprintf(&config, `alert:
  group_wait: 0s
  email:
    to: [ops@example.com]
    from: rollcall@example.com
    smtp: {address: '%s', tls: implicit, tls_config: {ca_file: '%s'}, username: alice, password: canary-smtp}
  alertmanager:
    urls: ['http://%s/am', 'http://%s/']
    basic_auth: {username: alice, password: canary-alertmanager}
targets:
`, gossipingMail(t), p.at("ca"), talks, p.at("refused"))
	for name := range modules {
		fmt.Fprintf(&config, "- {target: 'http://alice:canary-target@%s/', module: %s, interval: 1s}\n- {target: 'http://%s/redirect', module: %s, interval: 1s}\n", talks, name, talks, name)
	}
	fmt.Fprintf(&config, "- {target: 'http://%s/given', module: plain, interval: 1s}\n", talks)

	storage := t.TempDir()
	path := writeFile(t, "rollcall.yml", config.String())
	e := startWithFile(t, rollcall, path, []string{"--log.level=debug", "--log.prober=debug", "--history.limit=1000", "--web.enable-pprof", "--storage.path=" + storage})

	said := map[string]string{}
	ask := func(method, path string) {
		reply, err := e.do(t.Context(), method, path, "Accept", "text/html")
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		said[method+" "+path] = fmt.Sprint(reply.Header, reply.Body)
	}
	targets := []string{
		"http://" + talks + "/", "http://" + talks + "/broken", "http://" + talks + "/length", "http://" + talks + "/redirect", "http://" + talks + "/given",
		"http://alice:canary-target@" + talks + "/", "http://alice:canary-target@" + p.at("refused") + "/",
		"http://" + p.at("refused") + "/", "https://" + p.at("wantsclient") + "/", "https://" + p.at("secure") + "/",
		p.fill("http://<site>/redirect?to=http://" + talks + "/"),
		"http://alice:canary-target@[::1/", "gopher://alice:canary-target@x/", "alice:canary-target@:x/", "http://alice:canary-target@absent.invalid:0/",
	}
	for module := range modules {
		for _, target := range targets {
			for _, debug := range []string{"", "&debug=true"} {
				ask("GET", "/probe?module="+module+"&target="+url.QueryEscape(target)+debug)
			}
		}
	}
	// The remaining outputs are read after both channels have failed.
	e.await(t, `logging in to the mail server`)
	e.await(t, `posting to Alertmanager`)
	for id := range 300 {
		ask("GET", fmt.Sprintf("/logs?id=%d", id+1))
	}
	for _, page := range historyPages(t, e) {
		ask("GET", page)
	}
	for _, page := range []string{"/", "/probes", "/config", "/metrics", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/logs?target=" + url.QueryEscape(targets[4]), "/probe?target=x&module=nonsense"} {
		ask("GET", page)
	}
	rewrite(t, path, strings.Replace(config.String(), "timeout: 5s", "timeout: canary", 1)+"nonsense: {password: canary-nonsense}\n")
	ask("POST", "/-/reload")
	rewrite(t, path, config.String())
	test := exec.CommandContext(t.Context(), rollcall, "alert", "test", "--config.file="+path)
	dialogue, err := test.CombinedOutput()
	if err == nil || !strings.Contains(string(dialogue), "535") {
		t.Errorf("rollcall alert test: %v\n%s", err, dialogue)
	}
	said["alert test"] = string(dialogue)
	check := exec.CommandContext(t.Context(), rollcall, "check", "--config.file="+path, "http", "http://alice:canary-target@"+p.at("refused")+"/", "ops@example.com")
	printed, _ := check.CombinedOutput() // the target is down, and the mail refused
	said["check"] = string(printed)
	e.stop(t)
	said["the log"], said["the storage"] = e.text(), stored(t, storage)

	for where, want := range map[string]string{
		"GET /config": "basic_auth", "the log": "reason=status_code", "GET /logs?id=50": "Steps", "GET /probes": "connection refused", "GET /": "check: status code", "GET /api/v1/targets": "status_code",
		"GET /debug/pprof/goroutine?debug=2": "goroutine ", "POST /-/reload": "timeout", "check": "DOWN",
		"the storage": `page=2\u0026access_token=***`,
	} {
		if !strings.Contains(said[where], want) {
			t.Errorf("%s has no %q, so the test looks at the wrong text:\n%s", where, want, shorten(said[where]))
		}
	}
	for where, text := range said {
		for _, found := range leaks(text, keyLine(clientKey)) {
			t.Errorf("%s: %s", where, found)
		}
	}
}

// leaks finds canaries in text, plain and as Basic credentials, with their context.
func leaks(text string, more ...string) (found []string) {
	for _, needle := range append(more, canary+"-") {
		if i := strings.Index(text, needle); i >= 0 {
			found = append(found, fmt.Sprintf("%.200q", text[max(0, i-100):]))
		}
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(" \n\r\t\"'(),;<>[]", r) }) {
		if plain, err := base64.StdEncoding.DecodeString(word); err == nil && strings.Contains(string(plain), canary+"-") {
			found = append(found, "in base64: "+word)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// keyLine returns a line from the middle of a PEM block.
func keyLine(block []byte) string { return strings.Split(string(block), "\n")[1] }

// quoteLines escapes text for a double-quoted YAML scalar.
func quoteLines(text []byte) string { return strings.ReplaceAll(string(text), "\n", `\n`) }

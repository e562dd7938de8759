package httpprobe

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rollcall/probe"
	"rollcall/probe/httpprobe/checks"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

func TestHTTPRefusesWhatCannotWork(t *testing.T) {
	for _, c := range []struct{ options, want string }{
		{"method: 'GE T'", "http.method:"},
		{"method: CONNECT", "http.method:"},
		{"valid_http_versions: [HTTP/1.1, HTTP/3.0]", "http.valid_http_versions[1]:"},
		{"headers: {'X Y': z}", "http.headers.X Y:"},
		{"headers: {X: \"a\\r\\nY: b\"}", "http.headers.X:"},
		{"headers: {Connection: Upgrade, Upgrade: websocket}\nenable_http3: true", "http.enable_http3:"},
		{"headers: {Host: 'a b'}", "http.headers.Host:"},
		{"headers: {Accept-Encoding: 'br, gzip;q=0'}\ncompression: gzip", "http.headers.Accept-Encoding:"},
		{"http_headers: {Authorization: {values: [x]}}", "http.http_headers.Authorization:"},
		{"http_headers: {X: {secrets: [\"canary\\n\"]}}", "http.http_headers.X.secrets[0]:"},
		{"http_headers: {X: {files: [/does/not/exist]}}", "http.http_headers.X.files[0]:"},
		{"body: x\nbody_file: /dev/null", "http.body_file:"},
		{"body_file: /does/not/exist", "http.body_file:"},
		{"fail_if_header_matches: [{header: '', regexp: x}]", "http.fail_if_header_matches[0].header:"},
		{"fail_if_header_not_matches: [{header: X}]", "http.fail_if_header_not_matches[0].regexp:"},
		{"basic_auth: {username: u}\nbearer_token: t", "http.bearer_token:"},
		{"basic_auth: {password: a, password_file: options_test.go}", "http.basic_auth.password_file:"},
		{"basic_auth: {password_ref: vault}", "http.basic_auth.password_ref:"},
		{"basic_auth: {username: u, password_file: /does/not/exist}", "http.basic_auth.password_file:"},
		{"authorization: {type: basic, credentials: canary}", "http.authorization.type:"},
		{"authorization: {credentials: \"canary\\n\"}", "http.authorization:"},
		{"oauth2: {client_id: x}", "http.oauth2.token_url:"},
		{"oauth2: {token_url: 'http://127.0.0.1/'}", "http.oauth2.client_id:"},
		{"oauth2: {client_id: x, token_url: 'ftp://127.0.0.1/'}", "http.oauth2.token_url:"},
		{"oauth2: {client_id: x, token_url: 'http://127.0.0.1/', grant_type: password}", "http.oauth2.grant_type:"},
		{"oauth2: {client_id: x, token_url: 'http://127.0.0.1/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key: canary}", "http.oauth2.client_certificate_key:"},
		{"oauth2: {client_id: x, token_url: 'http://127.0.0.1/', proxy_url: 'ftp://127.0.0.1'}", "http.oauth2.proxy_url:"},
		{"tls_config: {ca_file: /does/not/exist}", "http.tls_config.ca_file:"},
		{"proxy_url: 'ftp://127.0.0.1'", "http.proxy_url:"},
		{"proxy_url: 'http://127.0.0.1'\nproxy_from_environment: true", "http.proxy_from_environment:"},
		{"no_proxy: example.com", "http.no_proxy:"},
		{"proxy_connect_header: {X: [y]}", "http.proxy_connect_header:"},
		{"proxy_url: 'http://127.0.0.1'\nproxy_connect_header: {X: [\"canary\\r\"]}", "http.proxy_connect_header.X[0]:"},
		{"enable_http3: true\nproxy_url: 'http://127.0.0.1'", "http.enable_http3:"},
	} {
		_, err := compileHTTP(c.options)
		errs := probetest.OptionErrorTexts(err)
		if len(errs) != 1 || !strings.HasPrefix(errs[0], c.want) {
			t.Errorf("%s\n\tgot  %q\n\twant %q", c.options, errs, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows a secret: %v", c.options, err)
		}
	}
}

func TestHTTPWarnsOfWhatCannotWork(t *testing.T) {
	for want, o := range map[string]Options{
		"valid_status_codes[1]:":            {ValidStatusCodes: []int{200, 1000}},
		"headers.x:":                        {Headers: map[string]string{"X": "a", "x": "b"}},
		"fail_if_not_ssl:":                  {FailIfSSL: true, FailIfNotSSL: true},
		"fail_if_header_matches[0].header:": {FailIfHeaderMatchesRegexp: []checks.HeaderMatch{{Header: "a b"}}},
	} {
		if errs := probetest.OptionErrorTexts(o.Validate()); len(errs) != 1 || !strings.HasPrefix(errs[0], want) {
			t.Errorf("got %q, want %q", errs, want)
		}
	}
}

func TestHTTPReportsAllErrorsAtOnce(t *testing.T) {
	_, err := compileHTTP("method: ' '\nbody: x\nbody_file: /dev/null\nproxy_url: 'x://y'")
	if errs := probetest.OptionErrorTexts(err); len(errs) != 3 {
		t.Errorf("%d errors: %q", len(errs), errs)
	}
}

// TestMissingFilesAreNoMistakes: what may be mended without touching the configuration concerns its module alone.
func TestMissingFilesAreNoMistakes(t *testing.T) {
	for options, want := range map[string]bool{
		"body_file: /does/not/exist":                                                             true,
		"bearer_token_file: /does/not/exist":                                                     true,
		"basic_auth: {password_file: /does/not/exist}":                                           true,
		"http_headers: {X: {files: [/does/not/exist]}}":                                          true,
		"tls_config: {ca_file: /does/not/exist}":                                                 true,
		"tls_config: {cert_file: /does/not/exist, key: x}":                                       true,
		"oauth2: {client_id: a, token_url: 'http://a/', tls_config: {ca_file: /does/not/exist}}": true,
		"body: x\nbody_file: y":                                                                  false,
		"tls_config: {ca: x, ca_file: y}":                                                        false,
		"valid_http_versions: [HTTP/3.0]":                                                        false,
		"fail_if_header_matches: [{header: X}]":                                                  false,
		"authorization: {type: basic}":                                                           false,
	} {
		_, err := compileHTTP(options)
		if err == nil || isUnusable(err) != want {
			t.Errorf("%s: %v, unusable %t, want %t", options, err, isUnusable(err), want)
		}
	}
}

func isUnusable(err error) bool {
	var unusable *option.Unusable
	return errors.As(err, &unusable)
}

func TestHTTPWarnsOfWhatCannotDoWhatItSeems(t *testing.T) {
	for options, want := range map[string]string{
		"valid_status_codes: [200, 1000]":                      "valid_status_codes[1]: 1000 is no status",
		"valid_http_versions: [HTTP/1.1, HTTP/3]":              "valid_http_versions[1]: HTTP/3 needs enable_http3",
		"valid_http_versions: [HTTP/3]\nenable_http3: true":    "",
		"fail_if_ssl: true\nfail_if_not_ssl: true":             "fail_if_not_ssl: contradicts fail_if_ssl",
		"headers: {X: a, x: b}":                                "headers.x: is the same header as X, which counts",
		"fail_if_header_matches: [{header: 'a b', regexp: x}]": "fail_if_header_matches[0].header: \"a b\" is no name",
		"method: POST": "",
	} {
		o := new(Options)
		o.SetDefaults()
		if err := yaml.Unmarshal([]byte(options), o); err != nil {
			t.Fatal(err)
		}
		var got string
		var warning *option.Warning
		if err := o.Validate(); err != nil {
			got = err.Error()
			if !errors.As(err, &warning) {
				t.Errorf("%s: no warning: %v", options, err)
			}
		}
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q", options, got, want)
		}
		if _, err := o.Compile(); err != nil {
			t.Errorf("%s: %v", options, err)
		}
	}
}

func TestHTTPValuesAreRefusedWhereTheyStand(t *testing.T) {
	for _, options := range []string{
		"compression: zip", "valid_http_versions: [HTTP/4]", "fail_if_body_json_matches_cel: 'body.'",
		"fail_if_body_json_matches_cel: '\"text\"'", "fail_if_body_json_not_matches_cel: unknown == 1", "preferred_ip_protocol: ip5",
	} {
		if _, err := compileHTTP(options); err == nil {
			t.Errorf("%s is accepted", options)
		}
	}
}

func TestHTTPAcceptsWhatBlackboxAccepts(t *testing.T) {
	for _, options := range []string{
		"compression: GZIP", "compression: identity", "valid_http_versions: [HTTP/1.1, HTTP/2, HTTP/2.0]",
		"headers: {Content-Length: '5', Transfer-Encoding: chunked}", "headers: {User-Agent: ''}",
		"headers: {Accept-Encoding: 'gzip, br;q=0.5'}\ncompression: br", "headers: {Accept-Encoding: '*'}\ncompression: gzip",
		"body_size_limit: 0", "authorization: {credentials: x}", "authorization: {type: Custom}",
	} {
		if _, err := compileHTTP(options); err != nil {
			t.Errorf("%s: %v", options, err)
		}
	}
}

func TestHTTPRequestIsWhatTheModuleSays(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var seen recorder
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.record(r) })
	for _, c := range []struct {
		name, options string
		check         func(r *http.Request, body string) bool
	}{
		{"plain", "", func(r *http.Request, body string) bool {
			return r.Method == "GET" && len(r.Header) == 2 && r.UserAgent() == "rollcall" && r.Header.Get("Connection") == "close" && r.Close
		}},
		{"headers", "headers: {x-one: ' 1 ', Host: other.example}\nhttp_headers: {X-Two: {values: [a, b], secrets: [c], files: ['" + write("h", "d\n") + "']}}", func(r *http.Request, body string) bool {
			return r.Header.Get("X-One") == "1" && r.Host == "other.example" && strings.Join(r.Header["X-Two"], "") == "abcd"
		}},
		{"user agent", "headers: {User-Agent: mine}", func(r *http.Request, body string) bool { return r.UserAgent() == "mine" }},
		{"no user agent", "headers: {User-Agent: ''}", func(r *http.Request, body string) bool { _, ok := r.Header["User-Agent"]; return !ok }},
		{"body", "method: POST\nbody: hello", func(r *http.Request, body string) bool { return body == "hello" && r.ContentLength == 5 }},
		{"body file", "method: POST\nbody_file: '" + write("b", "from a file\n") + "'", func(r *http.Request, body string) bool { return body == "from a file\n" }},
		{"long body", "method: PUT\nbody: " + strings.Repeat("x", wholeRequest+1), func(r *http.Request, body string) bool { return len(body) == wholeRequest+1 }},
		{"empty post", "method: POST", func(r *http.Request, body string) bool { return r.Header.Get("Content-Length") == "0" }},
		{"compression", "compression: br", func(r *http.Request, body string) bool { return r.Header.Get("Accept-Encoding") == "br" }},
		{"basic auth", "basic_auth: {username_file: '" + write("u", "me\n") + "', password_file: '" + write("p", "pw\n") + "'}", func(r *http.Request, body string) bool {
			u, p, _ := r.BasicAuth()
			return u == "me" && p == "pw"
		}},
		{"bearer", "bearer_token: t", func(r *http.Request, body string) bool { return r.Header.Get("Authorization") == "Bearer t" }},
		{"authorization", "authorization: {type: Key, credentials_file: '" + write("k", "k1") + "'}", func(r *http.Request, body string) bool { return r.Header.Get("Authorization") == "Key k1" }},
		{"own authorization", "headers: {Authorization: mine}\nbasic_auth: {username: u}", func(r *http.Request, body string) bool {
			return strings.Join(r.Header["Authorization"], ",") == "mine"
		}},
	} {
		r := probetest.Ask(t, httpModule(t, c.options), probe.Request{Target: s.URL})
		if !r.Up() {
			t.Errorf("%s: %v", c.name, r.Failure)
			continue
		}
		if got, body := seen.last(); !c.check(got, body) {
			t.Errorf("%s: %s %s, host %s, length %d, body %.40q, header %v", c.name, got.Method, got.URL, got.Host, got.ContentLength, body, got.Header)
		}
	}
}

func TestHostnameReplacesTheHost(t *testing.T) {
	var seen recorder
	s, options := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) { seen.record(r) })
	options = strings.Replace(options, "server_name: example.com", "server_name: ''", 1)
	m := httpModule(t, options)
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: s.URL, Hostname: "example.com:8443"}))
	if got, _ := seen.last(); got.Host != "example.com:8443" || got.TLS.ServerName != "example.com" {
		t.Errorf("host %q, TLS name %q", got.Host, got.TLS.ServerName)
	}
	probetest.WantDown(t, probetest.Ask(t, m, probe.Request{Target: s.URL, Hostname: "other.example"}), probe.StageTLS, probe.ReasonCertificateName)
	for _, c := range []struct{ options, hostname string }{{"headers: {Host: a.example}", "b.example"}, {"", "a\r\nb"}, {"", "a b"}} {
		_, err := new(probe.Runner).Do(t.Context(), httpModule(t, c.options), probe.Request{Target: s.URL, Hostname: c.hostname})
		if _, ok := err.(*probe.TargetError); !ok {
			t.Errorf("%q beside %q: %v", c.hostname, c.options, err)
		}
	}
}

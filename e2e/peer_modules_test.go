//go:build unix

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

// verdicts is what a probe of a target by a module must come to, by module: the target, and the verdict if it is not up.
type verdicts map[string][2]string

// TestBuiltInModulesWork probes a server by each module that rollcall has without a file, which are those of
// blackbox_exporter's own file.
func TestBuiltInModulesWork(t *testing.T) {
	p := newPark(t)
	p.known["pop3s"] = zoo.TLS(t, starttls(zoo.Good), zoo.SayAndClose("+OK ready\r\n"))
	e := start(t, "env", "SSL_CERT_FILE="+p.at("ca"), rollcall, "--web.listen-address=127.0.0.1:0")
	address := "http://" + e.await(t, `msg="rollcall listens" address=(\S+)`)[1]
	verdicts{
		"http_2xx": {"http://<site>/"}, "http_post_2xx": {"http://<site>/want/method?is=POST"}, "http_3xx": {"https://<secureh3>/"},
		"tcp_connect": {"<silent>"}, "pop3s_banner": {"<pop3s>"}, "postgresql": {"<postgresql>"},
		"ssh_banner": {"<ssh>"}, "ssh_banner_extract": {"<ssh>"}, "irc_banner": {"<irc>"},
		"grpc": {"<securehealth>"}, "grpc_plain": {"<health>"}, "websocket": {"ws://<websocket>/"},
		"icmp": {"127.0.0.1"}, "icmp_ttl5": {"127.0.0.1"},
	}.check(t, p, address)
}

// TestPeersExamplesWork probes a server by each module of blackbox_exporter's example.yml, with the files and addresses that
// it names replaced. Those whose expressions contradict each other are down for that reason.
func TestPeersExamplesWork(t *testing.T) {
	p := newPark(t)
	p.known["example"] = zoo.HTTP(t, exampleSite())
	p.known["imap"] = zoo.TCP(t, upgrading("* OK [CAPABILITY STARTTLS] ready\r\n", map[string]string{".": ". OK begin TLS now\r\n"}, map[string]string{".": "* CAPABILITY IMAP4rev1\r\n"}))
	p.known["smtp"] = zoo.TCP(t, upgrading("220 mail.zoo.test ESMTP ready\r\n", map[string]string{"EHLO": "250-STARTTLS\r\n", "STARTTLS": "220 go ahead\r\n"}, map[string]string{"EHLO": "250-AUTH\r\n"}))
	p.known["amqp"] = zoo.TLS(t, starttls(zoo.Good), zoo.Dialogue("", map[string]string{"HELO": "AMQP\x00\x00\x09\x01\n", "": ""}))
	text, err := os.ReadFile("../config/testdata/blackbox/02-peer-examples.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(
		"/files/body.txt", "<body>", "/path/to/api-key.txt", "<body>", "/certs/my_cert.crt", "<ca>", "/etc/blackbox_exporter/CA_cert.crt", "<ca>",
		"http://127.0.0.1:3128", "http://<proxy>", "https://api.example.com/token", "http://<example>/token",
	).Replace(string(text))
	e := startExporter(t, rollcall, p.fill(config), nil, "env", "SSL_CERT_FILE="+p.at("ca"))
	verdicts{
		"http_2xx_example": {"http://<example>/"}, "http_with_proxy": {"http://<site>/"}, "http_with_proxy_and_headers": {"https://<secure>/"},
		"http_post_2xx": {"http://<site>/want/body?is={}"}, "http_post_body_file": {"http://<site>/want/body?is=ping"},
		"http_basic_auth_example": {"http://<example>/login"}, "http_json_cel_match": {"http://<example>/json"},
		"http_2xx_oauth_client_credentials": {"http://<site>/want/bearer"}, "http_custom_ca_example": {"https://<secure>/"},
		"http_gzip": {"http://<site>/encoded/gzip"}, "http_gzip_with_accept_encoding": {"http://<site>/encoded/gzip"},
		"http_with_header_from_files": {"http://<site>/want/header?X-API-Key=ping"},
		"tls_connect":                 {"<securessh>"}, "tcp_connect_example": {"<silent>"}, "imap_starttls": {"<imap>"}, "smtp_starttls": {"<smtp>"},
		"irc_banner_example": {"<irc>"}, "rabbitmq": {"<amqp>"}, "rabbitmq_insecure": {"<amqp>"},
		"postgresql":   {"<postgresql>", "down conversation/connection_closed"}, // its newline is an error there
		"icmp_example": {"127.0.0.1"}, "unix_socket_ping": {"<unixping>"},
		"dns_udp_example": {"<names>", "down check/record_regexp"}, // its expressions contradict each other
		"dns_soa":         {"<names>"}, "dns_tcp_example": {"<names>"},
		"websocket_example_basic_auth":   {"ws://<websocket>/", "down conversation/no_match"}, // it wants a quotation mark
		"websocket_example_bearer_token": {"ws://<websocket>/", "down conversation/no_match"},
	}.check(t, p, e.URL)
}

// check probes by each module at the exporter's address, which must have no other module.
func (all verdicts) check(t *testing.T, p *park, address string) {
	modules := strings.Count(get(t, address+"/config"), "\n    prober:")
	if modules != len(all) {
		t.Errorf("%d modules, %d are probed", modules, len(all))
	}
	for module, c := range all {
		t.Run(module, func(t *testing.T) {
			reply := get(t, address+"/probe?module="+module+"&target="+url.QueryEscape(p.fill(c[0])))
			e, err := parseExposition(reply)
			if err != nil {
				t.Fatal(err)
			}
			want := c[1]
			if want == "" {
				want = "up"
			}
			if got := e.verdict(); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// exampleSite is what the modules of example.yml look for.
func exampleSite() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("vhost.example.com/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == "example.com" && r.Header.Get("Accept-Language") == "en-US" {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			fmt.Fprintln(w, "Download the latest version here")
		}
	})
	mux.HandleFunc("login.example.com/login", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "username" || password != "mysecret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"foo": "bar", "baz": "qux"}`) })
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token": "secret", "token_type": "Bearer", "expires_in": 60}`)
	})
	return mux
}

// upgrading is a server that starts TLS after the line with STARTTLS, and then answers by other lines.
func upgrading(greeting string, plain, secured map[string]string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, greeting)
		line := make([]byte, 256)
		for {
			n, err := c.Read(line)
			if err != nil {
				return
			}
			words := strings.Fields(string(line[:n]))
			io.WriteString(c, plain[words[0]])
			if words[len(words)-1] != "STARTTLS" {
				continue
			}
			zoo.TLSPeer(starttls(zoo.Good), zoo.Dialogue("", secured))(c)
			return
		}
	}
}

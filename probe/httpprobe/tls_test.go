package httpprobe

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/probetest"
	"rollcall/probe/tlsclient"
)

func TestTLSOffersWhatTheProbeNeeds(t *testing.T) {
	const quick, all = false, true
	for name, test := range map[string]struct {
		options string
		accepts []tls.CurveID // nil: everything
		user    string
		offers  []bool
	}{
		"no secret": {offers: []bool{quick}},
		"no secret, the peer insists on strength": {accepts: []tls.CurveID{tls.X25519MLKEM768}, offers: []bool{quick, all}},
		"no secret, the peer is old":              {accepts: []tls.CurveID{tls.CurveP256}, offers: []bool{quick}},
		"a public header":                         {options: "headers: {Accept-Language: en}", offers: []bool{quick}},
		"a header of its own":                     {options: "headers: {X-Token: secret}", offers: []bool{all}},
		"a cookie":                                {options: "headers: {Cookie: secret}", offers: []bool{all}},
		"a password":                              {options: "basic_auth: {username: u, password: secret}", offers: []bool{all}},
		"a password in the target":                {user: "u:secret@", offers: []bool{all}},
		"a body":                                  {options: "{method: POST, body: secret}", offers: []bool{all}},
	} {
		t.Run(name, func(t *testing.T) {
			var s probetest.TLSOffers
			ca := probetest.NewAuthority(t)
			addr := probetest.Listen(t, probetest.TLSServer(s.Config(ca.Issue(), test.accepts...), answerOK))
			m := httpModule(t, test.options)
			client, err := tlsclient.Compile("tls_config", &config.TLSConfig{CA: ca.PEM})
			if err != nil {
				t.Fatal(err)
			}
			m.Prober.(*prober).tls = client
			probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: "https://" + test.user + addr.String()}))
			s.Want(t, test.offers...)
		})
	}
}

// TestTLSKeepsTheSecretOfATokenRequest holds that what a module says to its token server is taken for secret.
func TestTLSKeepsTheSecretOfATokenRequest(t *testing.T) {
	var s probetest.TLSOffers
	ca := probetest.NewAuthority(t)
	token := func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			const answer = `{"access_token": "t", "token_type": "Bearer"}`
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		}
	}
	tokens := probetest.Listen(t, probetest.TLSServer(s.Config(ca.Issue()), token))
	target := probetest.Listen(t, answerOK)
	root, err := json.Marshal(ca.PEM) // which is YAML, too
	if err != nil {
		t.Fatal(err)
	}
	m := httpModule(t, oauthOptions("https://"+tokens.String(), "  client_secret: secret\n  tls_config: {ca: "+string(root)+"}"))
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: "http://" + target.String()}))
	s.Want(t, true)
}

// answerOK answers an HTTP request on a connection.
func answerOK(c net.Conn) {
	if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}
}

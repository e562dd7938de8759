package probe

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// choosy is a server with a certificate of ca that accepts only some key exchanges and notes what it was offered.
type choosy struct {
	mu     sync.Mutex
	offers [][]tls.CurveID
}

func (s *choosy) config(cert tls.Certificate, accepts ...tls.CurveID) *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{cert}, CurvePreferences: accepts}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.offers = append(s.offers, hello.SupportedCurves)
		return nil, nil
	}
	return c
}

// wantOffers checks how many times the server was asked, and which of these offers had the post-quantum exchange.
func (s *choosy) wantOffers(t *testing.T, postQuantum ...bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []bool
	for _, offer := range s.offers {
		got = append(got, slices.Contains(offer, tls.X25519MLKEM768))
	}
	if !slices.Equal(got, postQuantum) {
		t.Errorf("offers with X25519MLKEM768: %v, want %v", got, postQuantum)
	}
}

// answerOK answers an HTTP request on a connection.
func answerOK(c net.Conn) {
	if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}
}

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
		"no secret, the peer is of yesterday":     {accepts: []tls.CurveID{tls.CurveP256}, offers: []bool{quick}},
		"a header for anybody":                    {options: "headers: {Accept-Language: en}", offers: []bool{quick}},
		"a header of its own":                     {options: "headers: {X-Token: secret}", offers: []bool{all}},
		"a cookie":                                {options: "headers: {Cookie: secret}", offers: []bool{all}},
		"a password":                              {options: "basic_auth: {username: u, password: secret}", offers: []bool{all}},
		"a password in the target":                {user: "u:secret@", offers: []bool{all}},
		"a body":                                  {options: "{method: POST, body: secret}", offers: []bool{all}},
	} {
		t.Run(name, func(t *testing.T) {
			var s choosy
			ca := newAuthority(t)
			addr := listen(t, secureServer(s.config(ca.issue(), test.accepts...), answerOK))
			m := httpModule(t, test.options)
			m.Prober.(*httpProber).tls = compiled(t, tlsOptions(ca.pem)).tls
			wantUp(t, ask(t, m, Request{Target: "https://" + test.user + addr.String()}))
			s.wantOffers(t, test.offers...)
		})
	}
}

func TestTLSOverTCPOffersWhatTheProbeNeeds(t *testing.T) {
	const quick, all = false, true
	for name, test := range map[string]struct {
		turns   []QueryResponse
		accepts []tls.CurveID
		offers  []bool
	}{
		"no secret": {offers: []bool{quick}},
		"no secret, the peer insists on strength": {accepts: []tls.CurveID{tls.X25519MLKEM768}, offers: []bool{quick, all}},
		"something is sent":                       {turns: []QueryResponse{{Send: "LOGIN u secret"}}, offers: []bool{all}},
	} {
		t.Run(name, func(t *testing.T) {
			var s choosy
			ca := newAuthority(t)
			addr := listen(t, secureServer(s.config(ca.issue(), test.accepts...), drain))
			r := probeTCP(t, tlsOptions(ca.pem, test.turns...), addr.String(), enough)
			wantUp(t, r)
			s.wantOffers(t, test.offers...)
			if r.TCP == nil || r.TLS == nil {
				t.Errorf("facts are missing: %+v", r)
			}
		})
	}
}

// TestTLSRefusalIsOneVerdict holds that a peer with which no handshake succeeds is down for the reason that it gives,
// however often it is asked.
func TestTLSRefusalIsOneVerdict(t *testing.T) {
	var s choosy
	ca := newAuthority(t)
	server := s.config(ca.issue())
	server.MaxVersion, server.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
	addr := listen(t, secureServer(server, drain))
	wantDown(t, probeTCP(t, tlsOptions(ca.pem), addr.String(), enough), StageTLS, ReasonTLSHandshake)
	s.wantOffers(t, false, true)
}

// TestTLSKeepsTheSecretOfATokenRequest holds that what a module says to its token server is taken for secret.
func TestTLSKeepsTheSecretOfATokenRequest(t *testing.T) {
	var s choosy
	ca := newAuthority(t)
	token := func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			const answer = `{"access_token": "t", "token_type": "Bearer"}`
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		}
	}
	tokens := listen(t, secureServer(s.config(ca.issue()), token))
	target := listen(t, answerOK)
	root, err := json.Marshal(ca.pem) // which is YAML, too
	if err != nil {
		t.Fatal(err)
	}
	m := httpModule(t, oauthOptions("https://"+tokens.String(), "  client_secret: secret\n  tls_config: {ca: "+string(root)+"}"))
	wantUp(t, ask(t, m, Request{Target: "http://" + target.String()}))
	s.wantOffers(t, true)
}

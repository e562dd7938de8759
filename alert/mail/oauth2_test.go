package mail

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/config"

	"rollcall/alert/outbox"
)

func TestSMTPLogsInWithAToken(t *testing.T) {
	secure, ca := selfSigned(t)
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		id, secret, ok := r.BasicAuth()
		if !ok || id != "rollcall-client" || secret != "s3cret" || r.FormValue("scope") != "smtp" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"not with %s"}`, secret)
			return
		}
		fmt.Fprint(w, `{"access_token":"t0ken","token_type":"Bearer","expires_in":60}`)
	}))
	defer tokens.Close()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		offers, secret, file string
		want                 string // what the server saw
		verdict              outbox.Verdict
	}{
		"inline":            {"AUTH PLAIN XOAUTH2", "s3cret", "", "XOAUTH2 encrypted=true ok=true", outbox.Delivered},
		"from a file":       {"AUTH XOAUTH2", "", file, "XOAUTH2 encrypted=true ok=true", outbox.Delivered},
		"a wrong secret":    {"AUTH XOAUTH2", "wr0ng", "", "", outbox.Postponed},
		"it is not offered": {"AUTH PLAIN", "s3cret", "", "", outbox.Postponed},
	} {
		t.Run(name, func(t *testing.T) {
			server := (&mailServer{secure: secure, user: "rollcall", password: "t0ken", extension: []string{"STARTTLS", c.offers}}).start(t)
			m := client(server, TLSStart)
			m.options.TLSConfig.CA = ca
			m.options.Username = "rollcall"
			m.options.OAuth2 = &config.OAuth2{
				ClientID: "rollcall-client", ClientSecret: config.Secret(c.secret), ClientSecretFile: c.file, TokenURL: tokens.URL, Scopes: []string{"smtp"},
			}
			r := m.deliver(t.Context(), "ops@example.com", testMessage, io.Discard)
			server.mu.Lock()
			defer server.mu.Unlock()
			if saw := strings.Join(server.secrets, "; "); r.Verdict != c.verdict || saw != c.want {
				t.Errorf("verdict %v (%v), the server saw %q; want %v and %q", r.Verdict, r.Err, saw, c.verdict, c.want)
			}
			if r.Err != nil && (strings.Contains(r.Err.Error(), "wr0ng") || strings.Contains(r.Err.Error(), "t0ken")) {
				t.Errorf("the error shows a secret: %v", r.Err)
			}
		})
	}
}

func TestTokenOptionsAreJudgedAtLoad(t *testing.T) {
	for want, change := range map[string]func(*SMTPOptions){
		"":                                 func(*SMTPOptions) {},
		"oauth2: cannot stand beside":      func(o *SMTPOptions) { o.Password = "p" },
		"username: goes together":          func(o *SMTPOptions) { o.Username = "" },
		"tls: none would send":             func(o *SMTPOptions) { o.TLS = TLSNone },
		"oauth2: oauth2 client_id must be": func(o *SMTPOptions) { o.OAuth2.ClientID = "" },
		"oauth2: reading the OAuth 2.0":    func(o *SMTPOptions) { o.OAuth2.ClientSecret, o.OAuth2.ClientSecretFile = "", "/none" },
	} {
		o := SMTPOptions{Address: "mail.example.com:587", TLS: TLSStart, Username: "u"}
		o.OAuth2 = &config.OAuth2{ClientID: "c", ClientSecret: "s", TokenURL: "https://login.example.com/token"}
		change(&o)
		err := o.validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

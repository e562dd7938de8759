package witness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/guard"
)

var question = Question{Module: "web", Target: "http://shop/?a=b c", Hostname: "shop.example.com", Timeout: 5 * time.Second}

// serve is an exporter that answers as f does.
func serve(t *testing.T, f http.HandlerFunc) Options {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	o := Options{URL: server.URL + "/prefix/"}
	o.SetDefaults()
	return o
}

// says is an exporter with that reply.
func says(t *testing.T, status int, reply string) Options {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, reply)
	})
}

func ask(t *testing.T, g probe.Guard, entries ...Options) Answer {
	t.Helper()
	for n := range entries {
		entries[n].Name = fmt.Sprint(n)
	}
	p, err := New(entries, g)
	if err != nil {
		t.Fatal(err)
	}
	return p.Ask(t.Context(), question)
}

func TestAnswers(t *testing.T) {
	const metrics = "# HELP probe_success Displays\n# TYPE probe_success gauge\nprobe_success %d\nprobe_duration_seconds 0.1\n"
	a := ask(t, nil,
		says(t, 200, fmt.Sprintf(metrics, 1)), says(t, 200, fmt.Sprintf(metrics, 0)), says(t, 200, fmt.Sprintf(metrics, 0)),
		says(t, 500, fmt.Sprintf(metrics, 1)), says(t, 400, `Unknown module "web"`), says(t, 200, "<html>probe_success"),
		says(t, 200, "probe_success NaN\n"), says(t, 200, strings.Repeat("x", 2*maxReply)+"\nprobe_success 1\n"),
	)
	if !slices.Equal(a.Up, []string{"0"}) || !slices.Equal(a.Down, []string{"1", "2"}) {
		t.Errorf("up %q, down %q", a.Up, a.Down)
	}
	for _, want := range []string{"3: it answers with status 500", `4: it answers with status 400: Unknown module "web"`, "5: its reply has no probe_success", "6: its reply", "7: its reply"} {
		if !strings.Contains(fmt.Sprint(a.Err), want) {
			t.Errorf("the errors lack %q: %v", want, a.Err)
		}
	}
}

func TestQuestion(t *testing.T) {
	asked := make(chan *http.Request, 1)
	ask(t, nil, serve(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r }))
	r := <-asked
	want := url.Values{"module": {"web"}, "target": {question.Target}, "hostname": {"shop.example.com"}}
	if r.URL.Path != "/prefix/probe" || r.URL.RawQuery != want.Encode() || r.Header.Get(Header) == "" {
		t.Errorf("asked %s with %v", r.URL, r.Header)
	}
	if got := r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"); got != "6" {
		t.Errorf("the time limit is %s s", got)
	}
}

// TestOptionsOfTheClient: a password and a token reach the witness, and no other host.
func TestOptionsOfTheClient(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "abc", "token_type": "bearer"}`)
	}))
	defer tokens.Close()
	wants := func(header string) Options {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != header {
				w.WriteHeader(http.StatusUnauthorized)
			}
			fmt.Fprint(w, "probe_success 1\n")
		})
	}
	basic, token := wants("Basic bWU6c2VjcmV0"), wants("Bearer abc")
	basic.HTTPClientConfig.BasicAuth = &config.BasicAuth{Username: "me", Password: "secret"}
	token.HTTPClientConfig.OAuth2 = &config.OAuth2{ClientID: "me", ClientSecret: "secret", TokenURL: tokens.URL}
	if a := ask(t, nil, basic, token); len(a.Up) != 2 {
		t.Errorf("%+v", a)
	}

	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no: secret", http.StatusForbidden)
	}))
	defer refusing.Close()
	token.HTTPClientConfig.OAuth2.TokenURL = refusing.URL
	if a := ask(t, nil, token); !strings.Contains(fmt.Sprint(a.Err), "403") || strings.Contains(a.Err.Error(), "secret") {
		t.Errorf("the error is %v", a.Err)
	}

	for _, says := range []string{"HTTP/1.1 401 no\r\n\r\n%s", "HTTP/1.1 %s\r\n\r\n", "HTTP/1.1 200 no\r\nContent-Length: %s\r\n\r\n", "%s\r\n\r\n"} {
		repeats := serve(t, func(w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(c, says, r.Header.Get("Authorization"))
				c.Close()
			}
		})
		repeats.HTTPClientConfig.Authorization = &config.Authorization{Type: "Bearer", Credentials: "canary"}
		if a := ask(t, nil, repeats); a.Err == nil || strings.Contains(a.Err.Error(), "canary") {
			t.Errorf("%q: the error is %v", says, a.Err)
		}
	}

	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") })
	moved := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	if a := ask(t, nil, moved); a.Err == nil {
		t.Error("it followed a redirect to another host")
	}
}

func TestGuardJudgesWitnesses(t *testing.T) {
	o := says(t, 200, "probe_success 1\n")
	o.URL = strings.Replace(o.URL, "127.0.0.1", "localhost", 1)
	g, err := guard.Options{Deny: []string{"127.0.0.0/8", "::1"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, g, o); !strings.Contains(fmt.Sprint(a.Err), "denied by guard") {
		t.Errorf("%+v", a)
	}
	u, _ := url.Parse(o.URL)
	allows, err := guard.Options{Allow: []string{"localhost:" + u.Port()}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, allows, o); len(a.Up) != 1 {
		t.Errorf("%+v", a)
	}
}

// TestSilentWitnessesEnd: one that accepts and says nothing, and one that never ends its reply.
func TestSilentWitnessesEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	if _, err := New([]Options{{URL: "http://" + l.Addr().String()}, endless}, nil); err == nil {
		t.Fatal("two witnesses have the same name")
	}
	endless.Name = "endless"
	p, err := New([]Options{{URL: "http://" + l.Addr().String()}, endless}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	if a := p.Ask(ctx, question); len(a.Up)+len(a.Down) > 0 || a.Err == nil {
		t.Errorf("%+v", a)
	}
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestOptionsAreJudged(t *testing.T) {
	for text, want := range map[string]string{
		"paris:9115":             "witnesses[0].url: is not an http",
		"ftp://paris":            "witnesses[0].url: is not an http",
		"http://paris/?a=b":      "witnesses[0].url: is not an http",
		"http://me:secret@paris": "witnesses[0].url: holds a user name",
	} {
		var o Options
		if err := o.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := New([]Options{o}, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := New(make([]Options, MaxWitnesses+1), nil); err == nil || !strings.Contains(err.Error(), "at most 16") {
		t.Errorf("too many: %v", err)
	}
	for text, want := range map[string]string{"http://paris.example.com:9115": "paris.example.com", "https://[2001:db8::1]:9115/x/": "2001:db8::1"} {
		p, err := New([]Options{{URL: text}}, nil)
		if err != nil || p[0].name != want {
			t.Errorf("%s is called %q (%v), want %q", text, p[0].name, err, want)
		}
	}
}

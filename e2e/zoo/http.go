package zoo

import (
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
)

// HTTP starts a web server without TLS on 127.0.0.1 and returns its address.
func HTTP(t testing.TB, h http.Handler) string { return HTTPOn(t, "127.0.0.1", nil, h) }

// HTTPS starts a web server with TLS; it offers HTTP/2 if config.NextProtos does.
func HTTPS(t testing.TB, config *tls.Config, h http.Handler) string {
	return HTTPOn(t, "127.0.0.1", config, h)
}

// H2 makes a Config offer HTTP/2.
func H2(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }

// HTTPOn starts a web server on the given loopback address; nil config means no TLS.
func HTTPOn(t testing.TB, ip string, config *tls.Config, h http.Handler) string {
	t.Helper()
	l := Listen(t, ip)
	server := &http.Server{
		Handler: h, TLSConfig: config, ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // many cases break the handshake
	}
	var running sync.WaitGroup
	running.Go(func() {
		if config != nil {
			server.ServeTLS(l, "", "")
		} else {
			server.Serve(l)
		}
	})
	t.Cleanup(func() {
		server.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// Site is a correct web server. The path selects its response:
//
//	/                          200, "hello"
//	/status/CODE               that code
//	/header?NAME=VALUE…        response headers
//	/bytes/N                   N bytes of "x"
//	/unsized                   200 without Content-Length
//	/json                      {"status":"ok","count":3}
//	/modified                  a Last-Modified header
//	/redirect?to=URL&code=302  a redirect; no "to": without Location
//	/hops/N                    N relative redirects, then 200
//	/loop                      a redirect to itself
//	/encoded/NAME              "hello" in gzip, br, deflate (zlib) or raw-deflate
//	/cookie                    sets a cookie and redirects to /want/cookie
//	/want/…                    200 if the request is as described, see want
func Site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") })
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code := number(r.PathValue("code"))
		w.WriteHeader(code)
		if code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified {
			fmt.Fprintln(w, http.StatusText(code))
		}
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			w.Header()[name] = values
		}
	})
	mux.HandleFunc("/bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		n := number(r.PathValue("n"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		io.WriteString(w, strings.Repeat("x", n))
	})
	mux.HandleFunc("/unsized", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hel")
		w.(http.Flusher).Flush()
		io.WriteString(w, "lo\n")
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"ok","count":3}`)
	})
	mux.HandleFunc("/modified", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Last-Modified", date(2024).Format(http.TimeFormat))
	})
	mux.HandleFunc("/redirect", redirect)
	mux.HandleFunc("/hops/{n}", func(w http.ResponseWriter, r *http.Request) {
		next := "/"
		if n := number(r.PathValue("n")); n > 1 {
			next = fmt.Sprintf("/hops/%d", n-1)
		}
		w.Header().Set("Location", next)
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/loop")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/encoded/{name}", encoded)
	mux.HandleFunc("/cookie", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "zoo", Value: "lion"})
		w.Header().Set("Location", "/want/cookie")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/want/{what}", want)
	return mux
}

func redirect(w http.ResponseWriter, r *http.Request) {
	code := http.StatusFound
	if c := r.FormValue("code"); c != "" {
		code = number(c)
	}
	if to := r.FormValue("to"); to != "" {
		w.Header().Set("Location", to)
	}
	w.WriteHeader(code)
	io.WriteString(w, "elsewhere\n")
}

func encoded(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	header := name
	var body io.WriteCloser
	switch name {
	case "gzip":
		body = gzip.NewWriter(w)
	case "br":
		body = brotli.NewWriter(w)
	case "deflate":
		body = zlib.NewWriter(w)
	case "raw-deflate":
		header = "deflate"
		body, _ = flate.NewWriter(w, flate.BestSpeed) // the level is valid
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Encoding", header)
	io.WriteString(body, "hello\n")
	body.Close()
}

// want answers 200 if the request matches its path and query, and 400 otherwise:
//
//	/want/method?is=POST   the method
//	/want/body?is=TEXT     the whole body
//	/want/header?NAME=V    the headers in the query; an empty value means that the header must be absent
//	/want/agent?is=NAME    the User-Agent without its version
//	/want/basic            user "alice", password "secret" (otherwise 401)
//	/want/bearer           token "secret" (otherwise 401)
//	/want/cookie           the cookie that /cookie sets
//	/want/host?is=NAME     the Host header without its port
//	/want/coding?is=NAME   the Accept-Encoding (otherwise 400; 204 without a body)
//	/want/close            Connection: close and no Accept
func want(w http.ResponseWriter, r *http.Request) {
	ok, refuse := false, http.StatusBadRequest
	query := r.URL.Query()
	switch r.PathValue("what") {
	case "method":
		ok = r.Method == query.Get("is")
	case "body":
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		ok = err == nil && string(body) == query.Get("is")
	case "header":
		ok = true
		for name, values := range query {
			ok = ok && r.Header.Get(name) == values[0]
		}
	case "agent":
		agent, _, _ := strings.Cut(r.UserAgent(), "/")
		ok = agent == query.Get("is")
	case "basic":
		user, password, given := r.BasicAuth()
		ok, refuse = given && user == "alice" && password == "secret", http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="zoo"`)
	case "bearer":
		ok, refuse = r.Header.Get("Authorization") == "Bearer secret", http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Bearer realm="zoo"`)
	case "cookie":
		c, err := r.Cookie("zoo")
		ok = err == nil && c.Value == "lion"
	case "host":
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		ok = host == query.Get("is")
	case "coding":
		if r.Header.Get("Accept-Encoding") == query.Get("is") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
	case "close":
		ok = r.Close && r.Header.Get("Accept") == ""
	}
	if !ok {
		w.WriteHeader(refuse)
		fmt.Fprintf(w, "%s %s\n", r.Method, r.URL)
		return
	}
	io.WriteString(w, "as wanted\n")
}

// number reads a number in a test's path; an invalid one is 0.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// Seen keeps the requests that a handler received.
type Seen struct {
	Handler http.Handler

	mu       sync.Mutex
	requests []*http.Request
}

func (s *Seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	s.Handler.ServeHTTP(w, r)
}

// Requests returns the requests so far, with their bodies read.
func (s *Seen) Requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.requests...)
}

// Token is an OAuth 2.0 token endpoint that returns the token "secret" for the client "rollcall" with the password "secret",
// and an error otherwise.
func Token() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, password, given := r.BasicAuth()
		if !given {
			id, password = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		w.Header().Set("Content-Type", "application/json")
		if id != "rollcall" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"you sent %s"}`, password)
			return
		}
		io.WriteString(w, `{"access_token":"secret","token_type":"Bearer","expires_in":3600}`)
	})
}

//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

func httpRows() []row {
	web := visit{name: "w_http", module: `{prober: http, timeout: 2s, http: {tls_config: {ca_file: "<ca>"}}}`}
	var bombs []visit
	for _, c := range []string{"gzip", "br", "deflate"} {
		bombs = append(bombs, visit{name: "w_" + c, module: `{prober: http, timeout: 8s, http: {compression: ` + c + `, fail_if_body_matches_regexp: [goodbye]}}`, target: "http://<" + c + "bomb>/"})
	}
	gzip := visit{name: "w_badgzip", module: `{prober: http, timeout: 2s, http: {compression: gzip}}`, target: "http://<badgzip>/"}
	secrets := visit{name: "w_secrets", module: `{prober: http, timeout: 2s, http: {basic_auth: {username: alice, password: secret}, headers: {X-Module: secret, Cookie: "session=secret"}}}`}
	to := func(who string) visit { return visit{name: "w_http", target: "http://<" + who + ">/"} }
	toSecure := func(who string) visit { return visit{name: "w_http", target: "https://<" + who + ">/"} }
	return []row{
		{32, "compression bombs stay small", bombs, func(t *testing.T, h *hostile) { compressionBombs(t, h, bombs) }},
		{33, "an endless body, chunked or not", []visit{web}, func(t *testing.T, h *hostile) {
			h.visit(t, to("endlessbody"), "down body/body_too_large")
			h.visit(t, to("endlesschunks"), "down body/body_too_large", "down body/timeout")
		}},
		{34, "a dripping body stops at the deadline", nil, func(t *testing.T, h *hostile) {
			began := time.Now()
			h.visit(t, to("trickle"), "down body/timeout")
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("a probe limited to 2s took %v", took)
			}
		}},
		{35, "a flood of headers and a header line of a megabyte", nil, func(t *testing.T, h *hostile) {
			h.visit(t, to("headerflood"), "down response/headers_too_large")
			h.visit(t, to("longheader"), "up", "down response/headers_too_large")
			h.visit(t, to("longerheader"), "down response/headers_too_large")
		}},
		{36, "endless interim responses", nil, func(t *testing.T, h *hostile) {
			h.visit(t, to("interim"), "down response/too_many_interim_responses")
			h.visit(t, to("oneinterim"), "up")
		}},
		{37, "a redirect loop stops", nil, func(t *testing.T, h *hostile) {
			e := h.visit(t, visit{name: "w_http", target: "http://<site>/loop"}, "down redirect/too_many_redirects")
			if n, _ := e.value("probe_http_redirects"); n != 11 {
				t.Errorf("%v redirects were counted", n)
			}
		}},
		{38, "the guard checks each hop of a redirect", nil, guardedHops},
		{39, "no secret follows a redirect to another host", []visit{secrets}, func(t *testing.T, h *hostile) { secretsStayHome(t, h, http.StatusFound) }},
		{40, "a wrong content length", nil, func(t *testing.T, h *hostile) {
			h.visit(t, to("shortbody"), "down body/protocol_error")
			h.visit(t, to("longbody"), "up") // what follows the body belongs to no answer
			h.visit(t, to("twolengths"), "down response/protocol_error")
			h.visit(t, to("lengthchunked"), "down response/protocol_error")
			h.visit(t, to("badchunk"), "down body/protocol_error")
			h.visit(t, to("cutchunk"), "down body/connection_closed", "down body/protocol_error")
		}},
		{41, "broken gzip and an encoding that was not requested", []visit{gzip}, func(t *testing.T, h *hostile) {
			h.visit(t, gzip, "down body/content_encoding")
			h.visit(t, to("oddencoding"), "up") // the body is not decoded
		}},
		{42, "broken status lines, odd codes, HTTP/0.9", nil, func(t *testing.T, h *hostile) {
			h.visit(t, to("badstatus"), "down response/protocol_error")
			h.visit(t, to("http09"), "down response/protocol_error")
			h.visit(t, to("nothttp"), "down response/protocol_error")
			h.visit(t, to("status000"), "down check/status_code", "down response/protocol_error")
			h.visit(t, to("status999"), "down check/status_code")
		}},
		{43, "a flood of cookies", nil, func(t *testing.T, h *hostile) {
			h.visit(t, to("cookieflood"), "down response/headers_too_large")
			h.visit(t, to("manycookies"), "down redirect/too_many_redirects", "down response/headers_too_large")
		}},
		{44, "HTTP/2 floods", nil, func(t *testing.T, h *hostile) {
			h.visit(t, toSecure("goaway"), "down response/connection_closed", "down response/protocol_error")
			h.visit(t, toSecure("resetstream"), "down response/connection_reset", "down response/protocol_error")
			before := len(h.text())
			for _, who := range []string{"settings", "pings", "resets", "unknown"} {
				h.visit(t, toSecure(who), "down response/timeout", "down response/protocol_error", "down response/connection_closed")
			}
			if grown := len(h.text()) - before; grown > 64<<10 {
				t.Errorf("the log grew by %d bytes", grown)
			}
			h.visit(t, toSecure("continuation"), "down response/headers_too_large", "down response/protocol_error")
			h.visit(t, toSecure("endlessdata"), "down body/body_too_large", "down body/timeout", "down body/protocol_error")
		}},
		{45, "a challenge gets no credential", nil, func(t *testing.T, h *hostile) {
			for _, code := range []int{401, 407} {
				secretsStayHome(t, h, code)
			}
		}},
	}
}

func compressionBombs(t *testing.T, h *hostile, bombs []visit) {
	for _, bomb := range bombs {
		h.resetPeak(t)
		before := h.residentKiB(t, "VmRSS")
		h.probe(t, bomb.query(h.park), 20*time.Second, "down body/body_too_large", "down body/timeout")
		grown := h.residentKiB(t, "VmHWM") - before
		t.Logf("%s: %d KiB more resident", bomb.name, grown)
		if grown > 50<<10 {
			t.Errorf("%s: %d KiB more resident, the limit is 50 MiB", bomb.name, grown)
		}
	}
}

func guardedHops(t *testing.T, h *hostile) {
	seen := &zoo.Seen{Handler: zoo.Site()}
	denied := zoo.HTTPOn(t, "127.0.0.2", nil, seen)
	site, secure := h.park.at("site"), h.park.at("secure")
	for _, target := range []string{
		"http://" + site + "/redirect?to=http://" + denied + "/",
		"http://" + site + "/redirect?to=http://[::ffff:127.0.0.2]:" + portOf(denied) + "/",
		"http://" + site + "/redirect?to=/redirect%3Fto=http://" + denied + "/",
		"https://" + secure + "/redirect?to=http://" + denied + "/", // from https to http
	} {
		h.probe(t, probePath("module", "w_http", "target", target), 4*time.Second, "down redirect/denied", "down connect/denied")
	}
	if got := seen.Requests(); len(got) != 0 {
		t.Errorf("the denied address got a request for %s", got[0].RequestURI)
	}
	for _, scheme := range []string{"file:///etc/passwd", "gopher://127.0.0.1/", "javascript:alert(1)"} {
		h.probe(t, probePath("module", "w_http", "target", "http://"+site+"/redirect?to="+scheme), 4*time.Second, "down redirect/bad_redirect")
	}
}

// secretsStayHome probes a server that redirects with code to another host, which must not get a secret.
func secretsStayHome(t *testing.T, h *hostile, code int) {
	seen := &zoo.Seen{Handler: zoo.Site()}
	elsewhere := zoo.HTTPOn(t, "127.0.0.3", nil, seen)
	site := zoo.TCP(t, zoo.RawHTTP(fmt.Sprintf("HTTP/1.1 %d x\r\nLocation: http://%s/\r\nWWW-Authenticate: Basic realm=x\r\nProxy-Authenticate: Basic realm=x\r\nSet-Cookie: a=secret\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", code, elsewhere)))
	want := "down check/status_code"
	if code == http.StatusFound {
		want = "up"
	}
	h.probe(t, probePath("module", "w_secrets", "target", "http://"+site+"/?q=secret"), 4*time.Second, want)
	requests := seen.Requests()
	if wanted := code == http.StatusFound; (len(requests) > 0) != wanted {
		t.Errorf("after a %d the other host got %d requests", code, len(requests))
	}
	for _, r := range requests {
		for name, values := range r.Header {
			if text := strings.Join(values, " "); strings.Contains(text, "secret") && name != "Referer" || name == "Authorization" {
				t.Errorf("another host got %s: %s", name, text)
			}
		}
	}
}

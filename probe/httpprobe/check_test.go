package httpprobe

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/probe"
	"rollcall/probe/httpprobe/jsoncel"
	"rollcall/probe/probetest"
)

func TestChecksHaveTheirReasons(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Many"] = []string{"one", "two"}
		if r.URL.Path == "/404" {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Write([]byte(`{"status": "ok", "count": 3, "list": [1]}`))
	})
	const up = probe.Reason("")
	for _, c := range []struct {
		path, options string
		want          probe.Reason
		regexp, cel   bool
	}{
		{"/", "", up, false, false},
		{"/404", "", probe.ReasonStatusCode, false, false},
		{"/404", "valid_status_codes: [404]", up, false, false},
		{"/", "valid_status_codes: [404]", probe.ReasonStatusCode, false, false},
		{"/", "valid_http_versions: [HTTP/1.1]", up, false, false},
		{"/", "valid_http_versions: [HTTP/2.0]", probe.ReasonHTTPVersion, false, false},
		{"/", "fail_if_ssl: true", up, false, false},
		{"/", "fail_if_not_ssl: true", probe.ReasonTLSAbsent, false, false},
		{"/", "fail_if_body_matches_regexp: [nothing, ok]", probe.ReasonBodyRegexp, true, false},
		{"/", "fail_if_body_matches_regexp: [nothing]", up, false, false},
		{"/", "fail_if_body_not_matches_regexp: [ok, nothing]", probe.ReasonBodyRegexp, true, false},
		{"/", "fail_if_body_not_matches_regexp: [ok]", up, false, false},
		{"/", "fail_if_header_matches: [{header: x-many, regexp: two}]", probe.ReasonHeaderRegexp, true, false},
		{"/", "fail_if_header_matches: [{header: x-many, regexp: three}]", up, false, false},
		{"/", "fail_if_header_matches: [{header: x-none, regexp: two}]", probe.ReasonHeaderRegexp, true, false},
		{"/", "fail_if_header_matches: [{header: x-none, regexp: two, allow_missing: true}]", up, false, false},
		{"/", "fail_if_header_not_matches: [{header: x-many, regexp: two}]", up, false, false},
		{"/", "fail_if_header_not_matches: [{header: x-many, regexp: three}]", probe.ReasonHeaderRegexp, true, false},
		{"/", "fail_if_header_not_matches: [{header: x-none, regexp: two}]", probe.ReasonHeaderRegexp, true, false},
		{"/", "fail_if_header_not_matches: [{header: x-none, regexp: two, allow_missing: true}]", up, false, false},
		{"/", `fail_if_body_json_matches_cel: body.status == "ok"`, probe.ReasonBodyCEL, false, true},
		{"/", `fail_if_body_json_matches_cel: body.status != "ok"`, up, false, false},
		{"/", `fail_if_body_json_not_matches_cel: body.count == 3 && size(body.list) == 1`, up, false, false},
		{"/", `fail_if_body_json_not_matches_cel: body.count == 4`, probe.ReasonBodyCEL, false, true},
		{"/", `fail_if_body_json_not_matches_cel: body.missing == 4`, probe.ReasonBodyCEL, false, true},
		{"/", `fail_if_body_json_not_matches_cel: body.status`, probe.ReasonBodyCEL, false, true},

		// The first that is not content decides, and nothing after it is judged.
		{"/404", "fail_if_body_matches_regexp: [ok]\nfail_if_header_matches: [{header: x-many, regexp: two}]", probe.ReasonStatusCode, false, false},
		{"/", "fail_if_body_matches_regexp: [ok]\nfail_if_header_matches: [{header: x-many, regexp: two}]", probe.ReasonHeaderRegexp, true, false},
		{"/", "fail_if_body_matches_regexp: [ok]\nfail_if_body_json_matches_cel: 'true'", probe.ReasonBodyRegexp, true, false},
		{"/", "fail_if_body_json_matches_cel: 'true'\nvalid_http_versions: [HTTP/2.0]", probe.ReasonBodyCEL, false, true},
		{"/", "valid_http_versions: [HTTP/2.0]\nfail_if_not_ssl: true", probe.ReasonHTTPVersion, false, false},
		// A regexp and CEL both see the body.
		{"/", "fail_if_body_not_matches_regexp: [ok]\nfail_if_body_json_not_matches_cel: body.count == 3", up, false, false},
	} {
		r := probetest.Ask(t, httpModule(t, c.options), probe.Request{Target: s.URL + c.path})
		got := up
		if r.Failure != nil {
			got = r.Failure.Reason
		}
		if got != c.want || r.HTTP.FailedRegexp != c.regexp || r.HTTP.FailedCEL != c.cel || r.HTTP.HasCEL != strings.Contains(c.options, "_cel") {
			t.Errorf("%s with %s: %v, want %q; facts %+v", c.path, c.options, r.Failure, c.want, r.HTTP)
		}
		if r.HTTP.UncompressedBodyLength != 41 || r.HTTP.ContentLength != 41 {
			t.Errorf("%s with %s: body length %d, content length %d", c.path, c.options, r.HTTP.UncompressedBodyLength, r.HTTP.ContentLength)
		}
	}
}

func TestTLSPresentIsAReason(t *testing.T) {
	s, options := serveTLS(t, true, func(w http.ResponseWriter, r *http.Request) {})
	probetest.WantDown(t, probetest.Ask(t, httpModule(t, options+"fail_if_ssl: true"), probe.Request{Target: s.URL}), probe.StageCheck, probe.ReasonTLSPresent)
	probetest.WantUp(t, probetest.Ask(t, httpModule(t, options+"fail_if_not_ssl: true"), probe.Request{Target: s.URL}))
}

func TestCELSeesOnlyJSON(t *testing.T) {
	for body, up := range map[string]bool{
		`[1, 2]`: true, `"text"`: true, `hello`: false, ``: false, `{"a": `: false, `{} {}`: false,
		strings.Repeat("[", 20_000): false, "[" + strings.Repeat("1,", jsoncel.MaxValues) + "1]": false,
	} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(body)) })
		r := probetest.Ask(t, httpModule(t, "fail_if_body_json_not_matches_cel: size(body) > 0"), probe.Request{Target: s.URL})
		if r.Up() != up {
			t.Errorf("%.40q: %v", body, r.Failure)
		}
		if !up {
			probetest.WantDown(t, r, probe.StageCheck, probe.ReasonBodyCEL)
		}
	}
}

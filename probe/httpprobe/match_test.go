package httpprobe

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/probetest"
	"rollcall/probe/tcpprobe"
)

// A target that has answered in time is not down because we are slow.
func TestExpressionThatTakesTooLongIsNotTheTargetsFault(t *testing.T) {
	as := strings.Repeat("a", 1<<20)
	document := `{"text": "` + as[:500<<10] + `", "pattern": "` + probetest.SlowRegexp + `", "list": [` + strings.Repeat("1,", 2000) + `1]}`
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/json" {
			io.WriteString(w, document)
			return
		}
		w.Header().Set("X-Long", as[:500<<10])
		io.WriteString(w, as)
	})
	lines := probetest.Listen(t, func(c net.Conn) {
		for range 8 {
			io.WriteString(c, as[:100<<10]+"\n")
		}
		io.Copy(io.Discard, c)
	}).String()
	tcp := func(expect string) *probe.Module {
		p, err := (&tcpprobe.Options{IPProtocolFallback: true, SessionOptions: tcpprobe.SessionOptions{QueryResponse: []tcpprobe.QueryResponse{{Expect: probetest.MustRegexp(expect)}}}}).Compile()
		if err != nil {
			t.Fatal(err)
		}
		return &probe.Module{Prober: p}
	}
	for name, c := range map[string]struct {
		module *probe.Module
		target string
	}{
		"a body regexp":                      {httpModule(t, "fail_if_body_matches_regexp: ['"+probetest.SlowRegexp+"']"), s.URL},
		"a header regexp":                    {httpModule(t, "fail_if_header_matches: [{header: X-Long, regexp: '"+probetest.SlowRegexp+"'}]"), s.URL},
		"an expect":                          {tcp(probetest.SlowRegexp), lines},
		"a CEL loop":                         {httpModule(t, "fail_if_body_json_matches_cel: body.list.all(a, body.list.all(b, body.list.all(c, a + b + c > 0)))"), s.URL + "/json"},
		"a CEL match":                        {httpModule(t, "fail_if_body_json_matches_cel: body.text.matches('"+probetest.SlowRegexp+"')"), s.URL + "/json"},
		"a CEL match of a document's own":    {httpModule(t, "fail_if_body_json_matches_cel: matches(body.text, body.pattern)"), s.URL + "/json"},
		"CEL matches for each of a list":     {httpModule(t, "fail_if_body_json_matches_cel: body.list.exists(x, body.text.matches('[ab]+c'))"), s.URL + "/json"},
		"a CEL loop that is not a quick one": {httpModule(t, "fail_if_body_json_matches_cel: body.list.all(a, body.list.all(b, size(body.text) > 0))"), s.URL + "/json"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			record, err := new(probe.Runner).Do(t.Context(), c.module, probe.Request{Target: c.target, Timeout: time.Second})
			if err == nil {
				t.Fatalf("a verdict: %v", record.Result.Failure)
			}
			probetest.WantExporterError(t, err, probe.FaultExpression)
			if took := time.Since(start); took > probetest.Enough {
				t.Errorf("it took %v", took)
			}
			t.Logf("%v: %.150v", time.Since(start), err)
		})
	}
}

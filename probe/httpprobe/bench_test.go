package httpprobe

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func BenchmarkHTTP(b *testing.B) {
	page := []byte(strings.Repeat("0123456789abcdef", 64))
	answer := func(w http.ResponseWriter, r *http.Request) { w.Write(page) }
	plain := serve(b, answer)
	secure, trusting := serveTLS(b, false, answer)
	secure2, trusting2 := serveTLS(b, true, answer)
	for _, c := range []struct{ name, options, target string }{
		{"plain", "", plain.URL},
		{"regexp", "fail_if_body_not_matches_regexp: [abcdef]", plain.URL},
		{"tls", trusting + "enable_http2: false", secure.URL},
		{"http2", trusting2, secure2.URL},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := httpModule(b, c.options)
			b.ReportAllocs()
			for b.Loop() {
				probetest.WantUp(b, probetest.Ask(b, m, probe.Request{Target: c.target}))
			}
		})
	}
}

//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"
)

func nameRows() []row {
	tcp := visit{name: "n_tcp", module: `{prober: tcp, timeout: 2s}`}
	web := visit{name: "n_http", module: `{prober: http, timeout: 2s}`}
	return []row{
		{13, "NXDOMAIN, SERVFAIL, no answer and no address are four reasons", []visit{tcp, web}, fourReasons},
		{14, "a name that changes its address is resolved once and that address is checked", nil, rebinding},
		{15, "thousands of addresses and an endless alias are bounded", nil, manyAddresses},
		{16, "a blackholed first address ends by the deadline", nil, blackholedFirst},
	}
}

func fourReasons(t *testing.T, h *hostile) {
	for name, want := range map[string]string{
		"absent": "down resolve/no_such_host", "servfail": "down resolve/dns_failure",
		"silent": "down resolve/timeout", "empty": "down resolve/no_address",
	} {
		h.probe(t, probePath("module", "n_tcp", "target", name+".zoo.test:80"), 4*time.Second, want)
		h.probe(t, probePath("module", "n_http", "target", "http://"+name+".zoo.test/"), 4*time.Second, want)
	}
}

func rebinding(t *testing.T, h *hostile) {
	site := "rebind.zoo.test:" + portOf(h.park.at("site"))
	h.probe(t, probePath("module", "n_tcp", "target", site), 4*time.Second, "up")
	// The name server now answers 127.0.0.2, which the guard denies and which must not be dialled.
	h.status(t, "GET", probePath("module", "n_tcp", "target", site), 403)
	h.status(t, "GET", probePath("module", "n_http", "target", "http://"+site+"/"), 403)
}

func manyAddresses(t *testing.T, h *hostile) {
	port := portOf(h.park.at("site"))
	e := h.probe(t, probePath("module", "n_tcp", "target", "many.zoo.test:"+port), 4*time.Second, "up")
	if n := len(e["probe_ip_protocol"].GetMetric()); n != 1 {
		t.Errorf("%d addresses were reported", n)
	}
	h.probe(t, probePath("module", "n_tcp", "target", "loop.zoo.test:"+port), 4*time.Second, "down resolve/no_address", "down resolve/dns_failure")
	h.status(t, "GET", probePath("module", "n_tcp", "target", strings.Repeat("a.", 200)+"zoo.test:80"), 200, 400)
}

func blackholedFirst(t *testing.T, h *hostile) {
	port := portOf(h.park.at("blackhole6"))
	began := time.Now()
	e := h.probe(t, probePath("module", "n_tcp", "target", "dual.zoo.test:"+port), 4*time.Second, "down connect/timeout")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a probe limited to 2s took %v", took)
	}
	if protocol, _ := e.value("probe_ip_protocol"); protocol != 6 {
		t.Errorf("the preferred family is 6, %v was tried", protocol)
	}
}

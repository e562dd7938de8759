//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
	"rollcall/probe"
)

const injected = "INJECTED-LINE"

func requestRows() []row {
	web := visit{name: "r_http", module: `{prober: http, timeout: 2s}`}
	tcp := visit{name: "r_tcp", module: `{prober: tcp, timeout: 2s}`}
	return []row{
		{1, "control characters in target or module are refused", []visit{web, tcp}, controlCharacters},
		{2, "a missing or huge target is refused, and of a repeated one the first counts", nil, missingTarget},
		{3, "a target is decoded once", nil, decodedOnce},
		{4, "other schemes are refused and userinfo is never shown", nil, schemesAndUserinfo},
		{5, "the guard checks the address that is dialled", nil, oddAddresses},
		{6, "impossible ports are refused", nil, impossiblePorts},
		{7, "a nonsense scrape timeout never fails a probe", nil, nonsenseTimeouts},
		{8, "an unknown module is refused and counted once", nil, unknownModule},
		{9, "HTML is escaped on every page", []visit{{name: "r_html", module: `{prober: tcp, timeout: 2s, tcp: {query_response: [{expect: "^POP3"}]}}`}}, htmlEscaped},
		{10, "a client that disconnects cancels its probe, without a result", []visit{{name: "r_slow", module: `{prober: http, timeout: 30s}`}}, hangUp},
		{11, "ten thousand probes at once are answered or shed", nil, tenThousand},
		{12, "every endpoint keeps to its methods and parameters", nil, methodsAndParameters},
	}
}

func controlCharacters(t *testing.T, h *hostile) {
	for _, c := range []string{"\x00", "\r", "\n", "\x01", "\x1b", "\x7f"} {
		text := "127.0.0.1:80" + c + injected
		h.status(t, "GET", probePath("module", "r_http", "target", text), 400)
		h.status(t, "GET", probePath("module", "r_tcp", "target", text), 400)
		h.status(t, "GET", probePath("module", "r_http"+c+injected, "target", "127.0.0.1:80"), 400)
		h.status(t, "GET", probePath("module", "r_http", "target", "127.0.0.1:80", "hostname", "a"+c+injected), 400)
	}
	for line := range strings.Lines(h.text()) {
		if strings.HasPrefix(line, injected) {
			t.Errorf("a request wrote a line of the log: %q", line)
		}
	}
}

func missingTarget(t *testing.T, h *hostile) {
	h.status(t, "GET", probePath("module", "r_http"), 400)
	h.status(t, "GET", probePath("module", "r_http", "target", ""), 400)
	site := h.park.at("site")
	h.probe(t, probePath("module", "r_http", "module", "r_tcp", "target", site, "target", "127.0.0.1:2"), 5*time.Second, "up")
	h.probe(t, probePath("module", "r_http", "target", longTarget(site, probe.MaxTarget)), 5*time.Second, "up")
	h.status(t, "GET", probePath("module", "r_http", "target", longTarget(site, probe.MaxTarget+1)), 400)
	h.status(t, "GET", probePath("module", "r_http", "target", "http://127.0.0.1:1/"+strings.Repeat("a", 64<<10)), 400)
}

// longTarget is a URL of site of n bytes.
func longTarget(site string, n int) string {
	target := "http://" + site + "/?q="
	return target + strings.Repeat("ä", (n-len(target))/2) + strings.Repeat("a", (n-len(target))%2)
}

func decodedOnce(t *testing.T, h *hostile) {
	seen := &zoo.Seen{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	site := zoo.HTTP(t, seen)
	for _, path := range []string{"/?q=a+b%25", "/?q=a%2Bb", "/a%20b", "/a%2Fb?x=%26", "/?q=100%2525"} {
		h.probe(t, probePath("module", "r_http", "target", "http://"+site+path), 5*time.Second, "up")
		requests := seen.Requests()
		if len(requests) == 0 {
			t.Errorf("%s was never requested", path)
		} else if got := requests[len(requests)-1].RequestURI; got != path {
			t.Errorf("the request was for %s, the target got %s", path, got)
		}
	}
}

func schemesAndUserinfo(t *testing.T, h *hostile) {
	site := h.park.at("site")
	for _, target := range []string{"file:///etc/passwd", "gopher://" + site + "/", "ftp://" + site + "/", "javascript:alert(1)", "unix:///run/x.sock", "//" + site, "http:///path", "http://"} {
		h.status(t, "GET", probePath("module", "r_http", "target", target), 400)
	}
	const canary = "canary-in-userinfo"
	h.probe(t, probePath("module", "r_http", "target", "http://alice:secret@"+site+"/want/basic"), 5*time.Second, "up")
	target := "http://alice:" + canary + "@" + site + "/want/basic"
	h.probe(t, probePath("module", "r_http", "target", target), 5*time.Second, "down check/status_code")
	h.status(t, "GET", probePath("module", "r_http", "target", "http://alice:"+canary+"@[::1/"), 400)
	shown := []string{h.text()}
	for _, path := range []string{"/", "/logs?" + strings.TrimPrefix(probePath("module", "r_http", "target", target), "/probe?"), probePath("module", "r_http", "debug", "true", "target", target), probePath("module", "r_http", "target", "http://alice:"+canary+"@[::1/")} {
		reply, err := h.get(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, reply.Body)
	}
	for _, text := range shown {
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("the output shows the password of a target: …%s", shorten(text[max(0, i-100):]))
		}
	}
}

func oddAddresses(t *testing.T, h *hostile) {
	// 127.0.0.2 is denied. Every spelling of it is either recognised (403) or not an address.
	seen := &zoo.Seen{Handler: zoo.Site()}
	denied := portOf(zoo.HTTPOn(t, "127.0.0.2", nil, seen))
	for _, host := range []string{"127.0.0.2", "[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[0:0:0:0:0:ffff:127.0.0.2]"} {
		h.status(t, "GET", probePath("module", "r_http", "target", "http://"+host+":"+denied+"/"), 403)
		h.status(t, "GET", probePath("module", "r_tcp", "target", host+":"+denied), 403)
	}
	for _, host := range []string{"0x7f.2", "127.2", "2130706434", "0177.0.0.2", "0x7f000002", "127.0.0.02", "127.0.0.2."} {
		for _, path := range []string{probePath("module", "r_http", "target", "http://"+host+":"+denied+"/"), probePath("module", "r_tcp", "target", host+":"+denied)} {
			reply := h.status(t, "GET", path, 200, 400, 403)
			if e, err := parseExposition(reply.Body); reply.Status == 200 && (err != nil || !strings.HasPrefix(e.verdict(), "down resolve/")) {
				t.Errorf("%s: %s (%v), want down resolve/…", path, e.verdict(), err)
			}
		}
	}
	if got := seen.Requests(); len(got) != 0 {
		t.Errorf("the denied address got a request for %s", got[0].RequestURI)
	}
	six := portOf(h.park.at("site6"))
	h.probe(t, probePath("module", "r_http", "target", "http://[::1%25lo]:"+six+"/"), 5*time.Second, "up")
	h.probe(t, probePath("module", "r_tcp", "target", "[::1%lo]:"+six), 5*time.Second, "up")
	h.probe(t, probePath("module", "r_tcp", "target", "[::ffff:127.0.0.1]:"+portOf(h.park.at("site"))), 5*time.Second, "up")
}

func impossiblePorts(t *testing.T, h *hostile) {
	for _, target := range []string{"127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:no-such-service", "127.0.0.1:+80", "127.0.0.1:", "127.0.0.1", "127.0.0.1:1:2", "::1:80", ":80", "[::1]"} {
		h.status(t, "GET", probePath("module", "r_tcp", "target", target), 400)
	}
	for _, target := range []string{"http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:-1/", "http://127.0.0.1:x/", "http://::1:80:/"} {
		h.status(t, "GET", probePath("module", "r_http", "target", target), 400)
	}
}

func nonsenseTimeouts(t *testing.T, h *hostile) {
	path := probePath("module", "r_http", "target", h.park.at("site"))
	for _, timeout := range []string{"NaN", "Inf", "-Inf", "-1", "0", "1e300", "1e-300", "abc", "", "0.5", "5s", "0x10"} {
		reply, err := h.get(t.Context(), path, "X-Prometheus-Scrape-Timeout-Seconds", timeout)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := parseExposition(reply.Body); reply.Status != 400 && (reply.Status != 200 || err != nil || e.verdict() != "up") && !h.peer {
			t.Errorf("a scrape timeout of %q: status %d, %s (%v)", timeout, reply.Status, e.verdict(), err)
		} else if h.peer && reply.Status != 400 && !strings.Contains(reply.Body, "\nprobe_success 1") {
			t.Errorf("a scrape timeout of %q: status %d, not up", timeout, reply.Status)
		}
	}
}

func unknownModule(t *testing.T, h *hostile) {
	before := h.metric(t, "rollcall_module_unknown_total")
	for i := range 10 {
		h.status(t, "GET", probePath("module", fmt.Sprintf("absent-%d", i), "target", "127.0.0.1:1"), 400)
	}
	if h.peer {
		return
	}
	if got := h.metric(t, "rollcall_module_unknown_total") - before; got < 10 {
		t.Errorf("ten unknown modules were counted as %v", got)
	}
	reply, err := h.get(t.Context(), "/metrics")
	if err != nil || strings.Contains(reply.Body, "absent-") {
		t.Errorf("an unknown module has a series of its own (%v)", err)
	}
}

func htmlEscaped(t *testing.T, h *hostile) {
	const evil = `<script>alert(1)</script>`
	banner := zoo.TCP(t, zoo.SayAndClose("220 "+evil+"\r\n"))
	header := zoo.TCP(t, zoo.RawHTTP("HTTP/1.1 500 "+evil+"\r\nServer: "+evil+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	certificate := zoo.HTTPS(t, zoo.Config(zoo.NamedBy(evil, "x.zoo.test")), zoo.Site())
	pages := []string{"/", "/config"}
	for _, pair := range [][2]string{
		{"r_http", "http://127.0.0.1:1/" + evil}, {"r_html", banner}, {"r_http", "http://" + header + "/"}, {"r_http", "https://" + certificate + "/"},
		{"r_tcp", evil + ":80"}, {evil, "127.0.0.1:1"}, {"r_http", "gopher://" + evil},
	} {
		path := probePath("module", pair[0], "target", pair[1])
		if _, err := h.get(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		pages = append(pages, path+"&debug=true", strings.Replace(path, "/probe?", "/logs?", 1))
	}
	for _, path := range pages {
		reply, err := h.get(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		kind := reply.Header.Get("Content-Type")
		if strings.HasPrefix(kind, "text/html") && strings.Contains(reply.Body, evil) {
			t.Errorf("%s is HTML and contains %s unescaped", path, evil)
		}
		if kind == "" || reply.Header.Get("X-Content-Type-Options") != "nosniff" && !strings.Contains(kind, "version=") {
			t.Errorf("%s: browsers may guess its type (Content-Type %q, no nosniff)", path, kind)
		}
	}
}

func hangUp(t *testing.T, h *hostile) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	slow := zoo.TCP(t, zoo.AfterRequest(func(c net.Conn) {
		close(arrived)
		io.Copy(io.Discard, c)
		close(gone)
	}))
	path := probePath("module", "r_slow", "target", "http://"+slow+"/")
	ctx, hangUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := h.get(ctx, path)
		ended <- err
	}()
	await(t, arrived, "the probe never reached its target")
	hangUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the request ended with %v", err)
	}
	await(t, gone, "the probe continued after its client was gone")
	reply := h.status(t, "GET", strings.Replace(path, "/probe?", "/logs?", 1), 404)
	if strings.Contains(reply.Body, "down") {
		t.Errorf("a cancelled probe was recorded: %s", reply.Body)
	}
}

func await(t *testing.T, c <-chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(5 * time.Second):
		t.Error(otherwise)
	}
}

func tenThousand(t *testing.T, h *hostile) {
	const limit = 50
	hold := visit{name: "hold", module: `{prober: http, timeout: 20s}`}
	args := []string{fmt.Sprintf("--probe.max-in-flight=%d", limit)}
	bin := rollcall
	if h.peer {
		bin, args = peer(t), nil
	}
	p := startExporter(t, bin, modulesFile(h.park, []visit{hold}), args)
	ctx, release := context.WithCancel(t.Context())
	var held sync.WaitGroup
	defer held.Wait()
	defer release()
	slow := probePath("module", "hold", "target", "http://"+h.park.at("slowhead")+"/")
	for range limit {
		held.Go(func() { p.get(ctx, slow) })
	}
	if !h.peer {
		within(t, 10*time.Second, func() error {
			if got := p.metric(t, "rollcall_probes_in_flight"); got != limit {
				return fmt.Errorf("%v probes are in flight, want %d", got, limit)
			}
			return nil
		})
		for range 20 {
			began := time.Now()
			reply, err := p.get(t.Context(), slow)
			if took := time.Since(began); err != nil || reply.Status != 503 || reply.Header.Get("Retry-After") == "" || took > 5*time.Second {
				t.Errorf("over the limit: status %d, Retry-After %q after %v (%v)", reply.Status, reply.Header.Get("Retry-After"), took, err)
			}
		}
	}
	n := min(10000, descriptorLimit(t)-2000)
	up := probePath("module", "hold", "target", "http://"+h.park.at("site")+"/")
	statuses := storm(p, n, up)
	if statuses["down"] > 0 || statuses["no answer"] > 0 {
		t.Errorf("of %d probes at once: %v", n, statuses)
	}
	if !h.peer {
		if shed := p.metric(t, "rollcall_probes_shed_total"); shed < 20+float64(statuses["503"]) {
			t.Errorf("%v were counted as shed, %d were", shed, 20+statuses["503"])
		}
	}
	t.Logf("%d probes at once: %v", n, statuses)
}

// storm sends n requests for the same probe at once and counts the replies by status; a 200 counts as up or down.
func storm(p *exporter, n int, path string) map[string]int {
	var (
		asking sync.WaitGroup
		mu     sync.Mutex
		counts = make(map[string]int)
	)
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	for range n {
		asking.Go(func() {
			reply, err := p.get(ctx, path)
			outcome := strconv.Itoa(reply.Status)
			switch {
			case err != nil:
				outcome = "no answer"
			case strings.Contains(reply.Body, "\nprobe_success 0\n"):
				outcome = "down"
			case strings.Contains(reply.Body, "\nprobe_success 1\n"):
				outcome = "up"
			}
			mu.Lock()
			counts[outcome]++
			mu.Unlock()
		})
	}
	asking.Wait()
	return counts
}

func descriptorLimit(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(min(limit.Cur, 1<<20))
}

func methodsAndParameters(t *testing.T, h *hostile) {
	site := h.park.at("site")
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/-/reload", 405}, {"DELETE", "/-/reload", 405}, {"HEAD", "/-/reload", 405},
		{"POST", "/-/reload?x=1", 200}, {"PUT", "/-/reload", 200},
		{"GET", "/logs", 400}, {"GET", "/logs?id=x", 400}, {"GET", "/logs?id=-1", 404}, {"GET", "/logs?id=99999999999999999999", 400},
		{"GET", "/logs?id=99999999", 404}, {"GET", "/logs?target=absent&module=r_http", 404}, {"POST", "/logs?id=1", 405},
		{"DELETE", "/config", 405}, {"POST", "/config", 405}, {"POST", "/metrics", 405}, {"POST", "/metrics/targets", 405}, {"POST", "/-/healthy", 405}, {"POST", "/", 405},
		{"GET", "/nowhere", 404}, {"GET", "/probe/", 404}, {"GET", "/debug/pprof/", 404}, {"GET", "/debug/vars", 404},
		{"POST", probePath("module", "r_http", "target", site), 200},
		{"GET", probePath("module", "r_http", "target", site, "hostname", "a b"), 400},
		{"GET", probePath("module", "r_http", "target", site, "hostname", strings.Repeat("a", 1<<16)), 400},
		{"GET", probePath("module", "r_http", "target", site, "hostname", "a", "hostname", "b"), 200},
		{"GET", probePath("module", "r_http", "module", "r_tcp", "target", site), 200},
		{"GET", probePath("module", "r_http", "target", site, "debug", "TRUE"), 200},
		{"GET", "/probe?target=%zz", 400},
		{"GET", "/probe?module=r_http;target=" + site, 400},
	} {
		h.status(t, c.method, c.path, c.want)
	}
}

//go:build unix

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// ready is a peer that answers correctly after a while: it holds a connection, and its probes are never down.
func ready(after time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		c.SetReadDeadline(time.Now().Add(after))
		io.Copy(io.Discard, c) // ends with the deadline, or with the peer
		io.WriteString(c, "ready\r\n")
	}
}

const readyModule = `{prober: tcp, timeout: 30s, tcp: {query_response: [{expect: "^ready"}]}}`

// mailbox is a replacement for sendmail that keeps the mails.
type mailbox struct{ program, file string }

func newMailbox(t *testing.T) mailbox {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mails")
	program := writeFile(t, "sendmail", fmt.Sprintf("#!/bin/sh\n{ echo \"=== $*\"; cat; } >>'%s'\n", file))
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	return mailbox{program, file}
}

// section is an alert section that sends mail at once.
func (m mailbox) section() string {
	return fmt.Sprintf("alert:\n  email: {to: [ops@example.com], from: rollcall@example.com, sendmail: '%s'}\n"+
		"  group_wait: 0s\n  group_interval: 0s\n  max_mails_per_hour: 1000\n", m.program)
}

// mails returns everything that was sent.
func (m mailbox) mails(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(m.file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

// TestOurselves46WithoutDescriptorsNothingIsDown lets scheduled probes use all file descriptors. Whatever is requested
// meanwhile, no target is reported as down.
func TestOurselves46WithoutDescriptorsNothingIsDown(t *testing.T) {
	prlimit := find(t, "prlimit", "util-linux")
	for _, limit := range []int{64, 256} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			t.Parallel()
			withoutDescriptors(t, limit, prlimit)
		})
	}
}

func withoutDescriptors(t *testing.T, limit int, prlimit string) {
	p, mail := newPark(t), newMailbox(t)
	modules := "modules:\n" + p.fill(`  tcp: {prober: tcp}
  http: {prober: http}
  https: {prober: http, http: {tls_config: {ca_file: "<ca>"}}}
  proxy: {prober: http, http: {proxy_url: "http://<proxy>"}}
  proxyname: {prober: http, http: {proxy_url: "http://localhost:<proxy port>"}}
  oauth: {prober: http, http: {oauth2: {client_id: rollcall, client_secret: secret, token_url: "http://<token>/"}}}
  body: {prober: http, http: {method: POST, body_file: "<body>"}}
`)
	var holders, targets strings.Builder
	holding := zoo.TCP(t, ready(2*time.Second))
	for i := range 2 * limit {
		fmt.Fprintf(&holders, "  hold%d: %s\n", i, readyModule)
		fmt.Fprintf(&targets, "- {target: '%s', module: hold%d, interval: 3s}\n", holding, i)
	}
	file := writeFile(t, "rollcall.yml", modules+mail.section())
	e := startWithFile(t, rollcall, file, []string{
		"--probe.max-in-flight=10000", "--log.prober=info", "--storage.path=" + t.TempDir(),
	}, prlimit, fmt.Sprintf("--nofile=%d:%[1]d", limit))
	before := e.footprint(t)

	rewrite(t, file, modules+holders.String()+"targets:\n"+targets.String()+mail.section())
	reload(t, e)
	e.await(t, `rollcall itself cannot probe.*fault=descriptors`)

	visits := map[string]string{
		"tcp":   p.fill("tcp=<site>"),
		"name":  p.fill("tcp=localhost:<site port>"),
		"http":  p.fill("http=http://<site>/"),
		"https": p.fill("https=https://<secure>/"), "named https": p.fill("https=https://localhost:<secure port>/"),
		"proxy": p.fill("proxy=http://<site>/"), "proxy by name": p.fill("proxyname=http://<site>/"),
		"oauth": p.fill("oauth=http://<site>/want/bearer"),
		"body":  p.fill("body=http://<site>/want/body?is=ping"),
	}
	until := time.Now().Add(4 * time.Second)
	used := cpuTime(t, e)
	var (
		asking sync.WaitGroup
		mu     sync.Mutex
		seen   = make(map[string]int)
	)
	for _, v := range visits {
		module, target, _ := strings.Cut(v, "=")
		path := "/probe?" + url.Values{"module": {module}, "target": {target}}.Encode()
		for range 3 {
			asking.Go(func() {
				for time.Now().Before(until) {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					reply, err := e.get(ctx, path)
					cancel()
					outcome := "no reply"
					if err == nil {
						outcome = strconv.Itoa(reply.Status)
						if reply.Status == http.StatusOK && !strings.Contains(reply.Body, "\nprobe_success 1\n") {
							outcome = "a lie"
							t.Errorf("%s is reported as down:\n%s", v, reply.Body)
						}
					}
					mu.Lock()
					seen[outcome]++
					mu.Unlock()
				}
			})
		}
	}
	asking.Wait()
	t.Logf("outcomes: %v", seen)
	if seen["500"] == 0 {
		t.Errorf("no reply reported missing descriptors; outcomes: %v", seen)
	}
	for outcome := range seen {
		if !slices.Contains([]string{"200", "500", "503", "no reply", "a lie"}, outcome) {
			t.Errorf("unexpected outcome %s", outcome)
		}
	}
	if used = cpuTime(t, e) - used; used > 2500*time.Millisecond {
		t.Errorf("it used %v of CPU time within 4 s: it spins instead of waiting", used)
	}

	rewrite(t, file, modules+mail.section())
	within(t, patience, func() error {
		reply, err := e.do(t.Context(), http.MethodPost, "/-/reload")
		if err == nil && reply.Status != http.StatusOK {
			err = fmt.Errorf("reload: %d %s", reply.Status, reply.Body)
		}
		return err
	})
	e.awaitFootprint(t, before)
	for name, v := range visits {
		module, target, _ := strings.Cut(v, "=")
		reply, err := e.get(t.Context(), "/probe?"+url.Values{"module": {module}, "target": {target}}.Encode())
		if err != nil || reply.Status != http.StatusOK || !strings.Contains(reply.Body, "\nprobe_success 1\n") {
			t.Errorf("%s does not recover: %v %d\n%s", name, err, reply.Status, reply.Body)
		}
	}
	if n := e.metric(t, "rollcall_exporter_errors_total", `reason="descriptors"`); n == 0 {
		t.Error("no exporter error is counted for descriptors")
	}
	if n := e.metric(t, "rollcall_probes_total", `result="down"`); n != 0 {
		t.Errorf("%v probes were recorded as down", n)
	}
	if text := mail.mails(t); text != "" {
		t.Errorf("a mail was sent:\n%s", text)
	}
	// A target that is really down does send a mail.
	if _, err := e.get(t.Context(), "/probe?module=tcp&target="+zoo.Refused(t)); err != nil {
		t.Error(err)
	}
	within(t, patience, func() error {
		if text := mail.mails(t); strings.Count(text, "===") != 1 || !strings.Contains(text, "is down") {
			return fmt.Errorf("no mail for a target that is down: %q", text)
		}
		return nil
	})
}

// cpuTime returns the CPU time that the process has used.
func cpuTime(t *testing.T, e *exporter) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks time.Duration
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func reload(t *testing.T, e *exporter) {
	t.Helper()
	reply, err := e.do(t.Context(), http.MethodPost, "/-/reload")
	if err != nil || reply.Status != http.StatusOK {
		t.Fatalf("reload: %v %d %s", err, reply.Status, reply.Body)
	}
}

// TestOurselves11SlowClients fills the port with clients that never finish; a probe is still answered.
func TestOurselves11SlowClients(t *testing.T) {
	prlimit := find(t, "prlimit", "util-linux")
	site := zoo.HTTP(t, zoo.Site())
	holding := zoo.TCP(t, ready(3*time.Second))
	e := startExporter(t, rollcall, "modules: {http_2xx: {prober: http}, ready: "+readyModule+"}\n", nil, prlimit, "--nofile=64:64")
	before := e.footprint(t)
	held := make(chan answer, 1)
	go func() {
		reply, err := e.get(t.Context(), "/probe?module=ready&target="+holding)
		if err != nil {
			reply.Body = err.Error()
		}
		held <- reply
	}()
	var slow []net.Conn
	for _, request := range []string{
		"",                                     // sends nothing
		"GET /probe?target=x HTTP/1.1\r\nHost", // stops within the header
		"POST /probe?target=x HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", // stops within the body
		strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 50),           // never reads
	} {
		for range 20 {
			c, err := net.Dial("tcp", strings.TrimPrefix(e.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, request)
			slow = append(slow, c)
		}
	}
	for range 5 {
		start := time.Now()
		reply, err := e.get(t.Context(), "/probe?module=http_2xx&target="+site)
		if err != nil || !strings.Contains(reply.Body, "\nprobe_success 1\n") {
			t.Fatalf("after %v: %v %d %s", time.Since(start), err, reply.Status, reply.Body)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("a probe had to wait %v", took)
		}
	}
	if reply := <-held; !strings.Contains(reply.Body, "\nprobe_success 1\n") {
		t.Errorf("the probe in flight was aborted: %d %s", reply.Status, reply.Body)
	}
	for _, c := range slow {
		c.Close()
	}
	e.awaitFootprint(t, before)
}

// TestOurselves11TenThousandProbes opens 10,000 connections and sends a request on each. Requests above the limit are refused
// at once; the others get their result; no target is reported as down.
func TestOurselves11TenThousandProbes(t *testing.T) {
	const probes, limit = 10_000, 500
	var descriptors syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &descriptors); err != nil {
		t.Fatal(err)
	}
	if descriptors.Cur < probes+limit+1000 {
		t.Fatalf("this test opens %d connections and may open %d files (ulimit -n)", probes, descriptors.Cur)
	}
	target := zoo.TCP(t, ready(3*time.Second))
	e := startExporter(t, rollcall, "modules: {ready: "+readyModule+"}\n", []string{fmt.Sprintf("--probe.max-in-flight=%d", limit)})
	before := e.footprint(t)
	connections := make([]net.Conn, probes)
	for i := range connections {
		c, err := net.Dial("tcp", strings.TrimPrefix(e.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		connections[i] = c
	}
	request := "GET /probe?module=ready&target=" + target + " HTTP/1.1\r\nHost: rollcall\r\n\r\n"
	outcomes := make([]struct {
		status string
		took   time.Duration
	}, probes)
	var asking sync.WaitGroup
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	began := time.Now()
	for i, c := range connections {
		if i%10 == 0 {
			<-pace.C
		}
		asking.Go(func() {
			start := time.Now()
			c.SetDeadline(start.Add(patience))
			io.WriteString(c, request)
			reply, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				outcomes[i].status = err.Error()
				return
			}
			outcomes[i].took = time.Since(start)
			body, err := io.ReadAll(reply.Body)
			switch {
			case err != nil:
				outcomes[i].status = err.Error()
			case reply.StatusCode == http.StatusOK && strings.Contains(string(body), "\nprobe_success 1\n"):
				outcomes[i].status = "up"
			case reply.StatusCode == http.StatusServiceUnavailable && reply.Header.Get("Retry-After") != "":
				outcomes[i].status = "shed"
			default:
				outcomes[i].status = fmt.Sprintf("%d %s", reply.StatusCode, body)
			}
		})
	}
	asking.Wait()
	all := time.Since(began)
	seen := make(map[string]int)
	var shed []time.Duration
	for _, o := range outcomes {
		seen[o.status]++
		if o.status == "shed" {
			shed = append(shed, o.took)
		}
	}
	slices.Sort(shed)
	if seen["up"] < limit || seen["up"]+seen["shed"] != probes || len(shed) == 0 {
		t.Fatalf("outcomes: %v", seen)
	}
	t.Logf("in %v: %v; a refusal took %v (median), %v (99th of 100), %v at most", all, seen, shed[len(shed)/2], shed[len(shed)*99/100], shed[len(shed)-1])
	if median := shed[len(shed)/2]; median > 5*time.Second {
		t.Errorf("half of the refusals took longer than %v", median)
	}
	if n := e.metric(t, "rollcall_probes_shed_total"); int(n) != len(shed) {
		t.Errorf("rollcall_probes_shed_total is %v, %d were refused", n, len(shed))
	}
	if n := e.metric(t, "rollcall_probes_total", `result="down"`); n != 0 {
		t.Errorf("%v probes were recorded as down", n)
	}
	for _, c := range connections {
		c.Close()
	}
	e.awaitFootprint(t, before)
}

package e2e

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rollcall/e2e/zoo"
)

// place is a network namespace of its own.
type place struct {
	t   *testing.T
	pid string // of a process in it
}

func newPlace(t *testing.T) place {
	t.Helper()
	command := exec.Command("sleep", "infinity")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	p := place{t, strconv.Itoa(startCommand(t, command).cmd.Process.Pid)}
	p.ip("link set lo up")
	return p
}

// args are what runs a command in the namespace.
func (p place) args(args ...string) []string { return append([]string{"-t", p.pid, "-n"}, args...) }

func (p place) ip(text string) {
	p.t.Helper()
	if out, err := exec.CommandContext(p.t.Context(), "nsenter", p.args(append([]string{"ip"}, strings.Fields(text)...)...)...).CombinedOutput(); err != nil {
		p.t.Fatalf("ip %s (Debian packages iproute2 and util-linux): %v\n%s", text, err, out)
	}
}

// serve starts a rollcall in the namespace that listens on these addresses.
func (p place) serve(config string, addresses ...string) *process {
	p.t.Helper()
	args := p.args(rollcall, "--config.file="+config)
	for _, a := range addresses {
		args = append(args, "--web.listen-address="+a)
	}
	served := start(p.t, "nsenter", args...)
	served.await(p.t, `msg="rollcall listens"`)
	return served
}

// connect lays a cable between two namespaces, with a network of its own.
func connect(a, b place, network string) {
	a.ip(fmt.Sprintf("link add to%s type veth peer name to%s netns %s", b.pid, a.pid, b.pid))
	a.ip(fmt.Sprintf("address add %s.1/24 dev to%s", network, b.pid))
	b.ip(fmt.Sprintf("address add %s.2/24 dev to%s", network, a.pid))
	a.ip("link set to" + b.pid + " up")
	b.ip("link set to" + a.pid + " up")
}

// TestSecondOpinion is in three networks and ours: a Rollcall with a witness, and a target and references that both reach.
func TestSecondOpinion(t *testing.T) {
	if !zoo.Apart(t) {
		return
	}
	here, paris, far := place{t, strconv.Itoa(syscall.Getpid())}, newPlace(t), newPlace(t)
	connect(here, far, "10.0.1")
	connect(paris, far, "10.0.2")
	connect(here, paris, "10.0.3")
	for _, address := range []string{"10.9.9.1", "10.9.9.2", "10.9.9.3"} {
		far.ip("address add " + address + "/32 dev lo")
		here.ip("route add " + address + " via 10.0.1.2")
		paris.ip("route add " + address + " via 10.0.2.2")
	}
	const module = "modules: {tcp: {prober: tcp, timeout: 1s}}\n"
	plain := writeFile(t, "plain.yml", module)
	far.serve(plain, "10.9.9.2:53", "10.9.9.3:53")
	target := far.serve(plain, "10.9.9.1:80")
	paris.serve(plain, "10.0.3.2:9115")
	mail := newPostbox(t, nil)
	base, exporter := startRollcall(t, "--storage.path="+t.TempDir(), "--config.file="+writeFile(t, "rollcall.yml", module+fmt.Sprintf(`
defaults: {module: tcp, interval: 1s}
targets: ["10.9.9.1:80", "10.9.9.2:53", {target: "10.9.9.3:53", name: third}]
alert:
  email: {to: [ops@example.com], smtp: {address: %q, tls: none}}
  group_wait: 0s
  group_interval: 0s
  settle_after: 0s
  hold: 3s
  witnesses: [{url: "http://10.0.3.2:9115", name: paris}]
  references: ["10.9.9.2:53", third]
`, mail.address)))
	letters := 0
	// next wants the next mail to say that of the target.
	next := func(want string) letter {
		t.Helper()
		letters++
		l := awaitLetters(t, mail, letters)[letters-1]
		if !strings.HasSuffix(l.subject, ": TCP 10.9.9.1:80 "+want) {
			t.Fatalf("mail %d is %q, want %q", letters, l.subject, want)
		}
		return l
	}
	says := func(pattern, metrics string) {
		t.Helper()
		eventually(t, func() (bool, string) {
			text := get(t, base+metrics)
			return strings.Contains(text, pattern), text
		})
	}
	awaitUp := func() { t.Helper(); says(`probe_success{module="tcp",target="10.9.9.1:80"} 1`, "/metrics/targets") }
	awaitUp()

	// The path of one is cut: that from the target to here.
	far.ip("rule add from 10.9.9.1 to 10.0.1.1 lookup 99")
	far.ip("route add blackhole default table 99")
	l := next("is down from here only")
	if !strings.Contains(l.body, "down from here only; up from paris") {
		t.Errorf("the mail says\n%s", l.body)
	}
	says(`rollcall_alert_incidents_by_scope{scope="here"} 1`, "/metrics")
	says("down from here only; up from paris", "/")
	says(`probe_success{module="tcp",target="10.9.9.1:80"} 0`, "/metrics/targets")
	link := incidentLink(t, l)
	says("down from here only; up from paris", link)
	far.ip("rule del from 10.9.9.1 to 10.0.1.1 lookup 99")
	next("is up again")
	says("was down", link)
	says("down from here only; up from paris", link)

	// The target dies.
	target.stop(t)
	if l = next("is down"); !strings.Contains(l.body, "down from here and from paris") {
		t.Errorf("the mail says\n%s", l.body)
	}
	target = far.serve(plain, "10.9.9.1:80")
	next("is up again")

	// The witness is silent.
	paris.ip("route add blackhole 10.0.3.1")
	target.stop(t)
	if l = next("is down"); !strings.Contains(l.body, "no witness answers") {
		t.Errorf("the mail says\n%s", l.body)
	}
	paris.ip("route del blackhole 10.0.3.1")
	far.serve(plain, "10.9.9.1:80")
	next("is up again")

	// Our own line is cut: nothing is known of the target.
	far.ip("route add blackhole 10.0.1.1")
	eventually(t, func() (bool, string) {
		metrics := get(t, base+"/metrics")
		return strings.Contains(metrics, `rollcall_alert_incidents_by_scope{scope="isolated"} 2`) &&
			!strings.Contains(metrics, `rollcall_exporter_errors_total{reason="isolated"} 0`), metrics
	})
	far.ip("route del blackhole 10.0.1.1")
	awaitUp()
	says("rollcall_alert_incidents 0", "/metrics")
	says(`rollcall_alert_outbox_pending{channel="email"} 0`, "/metrics")
	var after []string
	for _, l := range mail.kept()[letters:] {
		after = append(after, l.subject)
		if strings.Contains(l.body, "10.9.9.1:80") {
			t.Errorf("a mail is about the target:\n%s", l.body)
		}
	}
	if all := strings.Join(after, "\n"); !strings.Contains(all, "our own line is cut") {
		t.Errorf("the mails do not say that our line was cut:\n%s", all)
	}
	exporter.stop(t)
}

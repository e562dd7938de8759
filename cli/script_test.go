package cli

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/e2e/zoo"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rollcall": Main})
}

// TestScripts runs testdata/script: the program as its users meet it. In the scripts $HTTP and $TCP are host:port of
// servers that are up, $SLOW of one that never answers, and $REFUSED of none.
func TestScripts(t *testing.T) {
	web := zoo.HTTP(t, zoo.Site())
	tcp := zoo.TCP(t, zoo.Say("220 zoo ready\r\n"))
	slow := zoo.TCP(t, zoo.Silent)
	refused := zoo.Refused(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("HTTP", web)
			env.Setenv("TCP", tcp)
			env.Setenv("SLOW", slow)
			env.Setenv("REFUSED", refused)
			env.Setenv("LF", "\n")
			env.Values[daemonsKey{}] = daemons{}
			return writeCertificate(env.WorkDir)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"appears": appears, "exits": exits, "start": start, "log": waitLog, "admin": adminAddress, "signal": sendSignal, "ended": waitExit, "get": getPage, "fetch": fetchLater, "busy": awaitInFlight,
		},
	})
}

// writeCertificate puts server.crt and server.key into dir.
func writeCertificate(dir string) error {
	certificate := zoo.Good()
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]},
		"server.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// patience bounds every wait of a script; on a busy machine a process may take seconds to start.
const patience = 20 * time.Second

type daemonsKey struct{}

// daemons are the processes and requests that a script has under way, by their names.
type daemons map[string]*daemon

// daemon is a rollcall in the background, or a request to one.
type daemon struct {
	cmd  *exec.Cmd     // nil: a request
	log  zoo.Output    // or the reply's body
	done chan struct{} // closed when it has ended
	code int           // then: the exit code, or the status
}

// await returns the first match of re in the log and its groups; nil when it does not come.
func (d *daemon) await(re *regexp.Regexp) []string { return d.log.Await(re, d.done, patience) }

func find(ts *testscript.TestScript, name string) *daemon {
	d := ts.Value(daemonsKey{}).(daemons)[name]
	if d == nil {
		ts.Fatalf("nothing was started as %q", name)
	}
	return d
}

// exits CODE PROGRAM [ARGUMENT...] runs a program to its end and compares the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT...]")
	}
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with %d, want %s", args[1], code, args[0])
	}
}

// start NAME [ARGUMENT...] starts rollcall on a free port of 127.0.0.1 and waits until it listens; $NAME is then its
// host:port.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: start NAME [ARGUMENT...]")
	}
	name, args := args[0], args[1:]
	if !slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "--web.listen-address") }) {
		args = append(args, "--web.listen-address=127.0.0.1:0")
	}
	program, err := lookPath(ts.Getenv("PATH"), "rollcall")
	ts.Check(err)
	d := &daemon{cmd: exec.Command(program, args...), done: make(chan struct{})}
	d.cmd.Dir = ts.MkAbs(".")
	d.cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"))
	d.cmd.Stderr = &d.log
	ts.Check(d.cmd.Start())
	go func() {
		defer close(d.done)
		_ = d.cmd.Wait() // the code tells
		d.code = d.cmd.ProcessState.ExitCode()
	}()
	ts.Defer(func() {
		_ = d.cmd.Process.Kill() // it may have ended already
		<-d.done
		ts.Logf("log of %s:\n%s", name, d.log.String())
	})
	ts.Value(daemonsKey{}).(daemons)[name] = d
	listening := d.await(regexp.MustCompile(`msg="rollcall listens" address=(\S+)`))
	if listening == nil {
		ts.Fatalf("%s does not listen", name)
	}
	ts.Setenv(name, listening[1])
}

func lookPath(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, name); isProgram(file) {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s is not on the path %s", name, path)
}

func isProgram(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode()&0o111 != 0 && !info.IsDir()
}

// log NAME REGEXP waits for a line of the log; ! log says that there is none so far.
func waitLog(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] log NAME REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	d := find(ts, args[0])
	if neg {
		if line := re.FindString(d.log.String()); line != "" {
			ts.Fatalf("the log of %s has %q", args[0], line)
		}
	} else if d.await(re) == nil {
		ts.Fatalf("%s does not log %q", args[0], args[1])
	}
}

// admin NAME VARIABLE sets the variable to the host:port of the administrator's address.
func adminAddress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: admin NAME VARIABLE")
	}
	match := find(ts, args[0]).await(regexp.MustCompile(`msg="rollcall listens for its administrator" address=(\S+)`))
	if match == nil {
		ts.Fatalf("%s has no address for its administrator", args[0])
	}
	ts.Setenv(args[1], match[1])
}

// signal NAME HUP|TERM|INT sends it.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT}
	if neg || len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME HUP|TERM|INT")
	}
	ts.Check(find(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// ended NAME CODE waits until it has ended with the exit code; a request ends with the HTTP status. A process that a
// signal ended has -1.
func waitExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ended NAME CODE")
	}
	d := find(ts, args[0])
	select {
	case <-d.done:
	case <-time.After(patience):
		ts.Fatalf("%s does not end", args[0])
	}
	if got := strconv.Itoa(d.code); got != args[1] {
		ts.Fatalf("%s ended with %s, want %s", args[0], got, args[1])
	}
	fmt.Fprint(ts.Stdout(), d.log.String())
}

// get [METHOD] URL writes the reply's body to stdout. It fails when the status is not 2xx; ! get when it is.
func getPage(ts *testscript.TestScript, neg bool, args []string) {
	method := http.MethodGet
	if len(args) == 2 {
		method, args = args[0], args[1:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: [!] get [METHOD] URL")
	}
	status, err := request(method, args[0], ts.Stdout())
	ts.Check(err)
	if good := status/100 == 2; good == neg {
		ts.Fatalf("%s %s: %d", method, args[0], status)
	}
}

// fetch NAME URL asks in the background; ended NAME STATUS waits for the reply.
func fetchLater(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch NAME URL")
	}
	d := &daemon{done: make(chan struct{})}
	go func() {
		defer close(d.done)
		var err error
		if d.code, err = request(http.MethodGet, args[1], &d.log); err != nil {
			fmt.Fprintln(&d.log, err)
		}
	}()
	ts.Defer(func() { <-d.done })
	ts.Value(daemonsKey{}).(daemons)[args[0]] = d
}

// busy NAME N waits until that many probes are in flight.
func awaitInFlight(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: busy NAME N")
	}
	find(ts, args[0])
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		var metrics strings.Builder
		_, err := request(http.MethodGet, "http://"+ts.Getenv(args[0])+"/metrics", &metrics)
		ts.Check(err)
		if strings.Contains(metrics.String(), "\nrollcall_probes_in_flight "+args[1]+"\n") {
			return
		}
		<-tick.C
	}
	ts.Fatalf("%s has never %s probes in flight", args[0], args[1])
}

// appears FILE waits until it exists.
func appears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: appears FILE")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not appear", args[0])
}

// request asks on a connection of its own, so that none stays open.
func request(method, url string, body io.Writer) (status int, err error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{Timeout: patience}).DialContext,
	}}
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(body, resp.Body)
	return resp.StatusCode, err
}

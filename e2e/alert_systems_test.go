//go:build unix

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// TestMailThroughRealSystems is the whole way to a local mailbox: by the mail system's program and by SMTP with STARTTLS,
// for the exporter, the one-shot check and the test of the mail settings.
func TestMailThroughRealSystems(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *mailSystem{"postfix": startPostfix, "exim": startExim} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mailThrough(t, start(t))
		})
	}
}

func mailThrough(t *testing.T, server *mailSystem) {
	refused := zoo.Refused(t)
	for name, email := range map[string]string{
		"by sendmail": fmt.Sprintf("{to: [root, ops@example.test], from: rollcall@example.test, sendmail: %s}", server.sendmail),
		"by SMTP": fmt.Sprintf("{to: [root@example.test, ops@example.test], from: rollcall@example.test, smtp: {address: %q, tls_config: {ca_file: %q}}}",
			server.address, server.certificate),
	} {
		t.Run(name, func(t *testing.T) {
			server.empty(t)
			file := writeFile(t, "rollcall.yml", fmt.Sprintf(`
modules: {tcp_connect: {prober: tcp}}
targets: [{target: %q, module: tcp_connect, interval: 1s}]
alert:
  email: %s
  group_wait: 100ms
`, refused, email))
			base, exporter := startRollcall(t, "--config.file="+file, "--storage.path="+t.TempDir())
			letters := server.await(t, 2)
			for _, l := range letters {
				wantDown(t, l, "TCP", refused)
			}
			eventually(t, func() (bool, string) {
				metrics := get(t, base+"/metrics")
				return strings.Contains(metrics, `rollcall_alert_notifications_total{channel="email",outcome="sent"} 2`), metrics
			})
			exporter.stop(t)

			server.empty(t)
			check := exec.CommandContext(t.Context(), rollcall, "check", "--config.file="+file, "tcp", refused, "admin@example.test")
			if out, err := check.CombinedOutput(); check.ProcessState.ExitCode() != 1 {
				t.Fatalf("check: %v\n%s", err, out)
			}
			l := server.await(t, 1)[0]
			wantDown(t, l, "TCP", refused)
			if l.to != "admin@example.test" {
				t.Errorf("the check's mail went to %s", l.to)
			}

			server.empty(t)
			test := exec.CommandContext(t.Context(), rollcall, "alert", "test", "--config.file="+file, "ops@example.test")
			if out, err := test.CombinedOutput(); err != nil {
				t.Fatalf("alert test: %v\n%s", err, out)
			}
			if l := server.await(t, 1)[0]; !strings.HasSuffix(l.subject, ": rollcall can send mail") {
				t.Errorf("the test mail's subject is %q", l.subject)
			}
		})
	}
}

// wantDown demands the old script's subject and text.
func wantDown(t *testing.T, l letter, test, target string) {
	t.Helper()
	at, rest, _ := strings.Cut(l.subject, ": ")
	if _, err := time.ParseInLocation("Mon Jan _2 15:04:05 2006", at, time.Local); err != nil || rest != test+" "+target+" is down" {
		t.Errorf("the subject is %q (%v)", l.subject, err)
	}
	first, _, _ := strings.Cut(l.body, "\n\n")
	first = strings.ReplaceAll(first, "\n", " ") // a mail wraps it
	if want := "Server Monitor: Performed a health-check running a " + test + " test against " + target + ". The server is down."; !strings.HasPrefix(first, want) {
		t.Errorf("the text begins %q, want %q", first, want)
	}
}

// newMailSystem makes the directory, the certificate and the port of one.
func newMailSystem(t *testing.T) (p *mailSystem, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("mail systems start as root only: run this test as root, or leave it out by -skip TestMailThroughRealSystems")
	}
	dir, err := os.MkdirTemp("", "rollcall-mail") // not t.TempDir, into which a mail system's own users cannot look
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ownedBy(t, "root", dir)
	p = &mailSystem{
		address: zoo.Free(t), sendmail: filepath.Join(dir, "sendmail"), certificate: filepath.Join(dir, "cert.pem"),
		inbox: filepath.Join(dir, "mail", "inbox", "new"),
	}
	writeCertificate(t, p.certificate, filepath.Join(dir, "key.pem"))
	return p, dir
}

// ownedBy makes a directory of a user.
func ownedBy(t *testing.T, owner, path string) {
	t.Helper()
	u, err := user.Lookup(owner)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	for _, err := range []error{os.MkdirAll(path, 0o755), os.Chmod(path, 0o755), os.Chown(path, uid, -1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// mailSystem is a private instance with its own queue, port and mailbox.
type mailSystem struct {
	address     string
	sendmail    string // a program as /usr/sbin/sendmail
	certificate string
	inbox       string
}

func startPostfix(t *testing.T) *mailSystem {
	t.Helper()
	program := find(t, "postfix", "postfix")
	p, dir := newMailSystem(t)
	conf := filepath.Join(dir, "conf")
	for path, owner := range map[string]string{conf: "root", dir + "/queue": "root", dir + "/data": "postfix", dir + "/mail": "daemon"} {
		ownedBy(t, owner, path)
	}
	owner, _ := user.Lookup("daemon")
	put(t, p.sendmail, fmt.Sprintf("#!/bin/sh\nexec /usr/sbin/sendmail -C %s \"$@\"\n", conf), 0o755)
	put(t, filepath.Join(conf, "main.cf"), strings.NewReplacer("DIR", dir, "OWNER", owner.Uid).Replace(postfixMain), 0o644)
	put(t, filepath.Join(conf, "master.cf"), p.address+postfixMaster, 0o644)

	if out, err := exec.Command(program, "-c", conf, "start").CombinedOutput(); err != nil {
		t.Fatalf("postfix start: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(program, "-c", conf, "stop").CombinedOutput(); err != nil {
			t.Errorf("postfix stop: %v\n%s", err, out)
		}
		if log, err := os.ReadFile(filepath.Join(dir, "log")); t.Failed() && err == nil {
			t.Logf("postfix's log:\n%s", log)
		}
	})
	return p
}

const postfixMain = `
compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
maillog_file = DIR/log
maillog_file_prefixes = DIR
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.test
myorigin = example.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
virtual_mailbox_domains = example.test
virtual_mailbox_base = DIR/mail
virtual_mailbox_maps = static:inbox/
virtual_minimum_uid = 1
virtual_uid_maps = static:OWNER
virtual_gid_maps = static:OWNER
smtpd_tls_security_level = may
smtpd_tls_cert_file = DIR/cert.pem
smtpd_tls_key_file = DIR/key.pem
`

const postfixMaster = ` inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// startExim starts one that listens. Its program delivers what it gets by itself.
func startExim(t *testing.T) *mailSystem {
	t.Helper()
	program := find(t, "exim4", "exim4-daemon-light")
	p, dir := newMailSystem(t)
	for _, path := range []string{"spool", "log", "mail"} {
		ownedBy(t, "Debian-exim", filepath.Join(dir, path))
	}
	ownedBy(t, "Debian-exim", dir) // and so are the certificate and the key
	for _, file := range []string{p.certificate, filepath.Join(dir, "key.pem")} {
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "conf")
	put(t, conf, strings.NewReplacer("DIR", dir, "PROGRAM", program).Replace(eximConfig), 0o644)
	put(t, p.sendmail, fmt.Sprintf("#!/bin/sh\nexec %s -C %s \"$@\"\n", program, conf), 0o755)
	host, port, _ := strings.Cut(p.address, ":")
	daemon := start(t, program, "-C", conf, "-bdf", "-oX", host+"."+port, "-oP", filepath.Join(dir, "pid"))
	eventually(t, func() (bool, string) {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
		}
		return err == nil, daemon.text()
	})
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(dir, "log", "mainlog")); t.Failed() && err == nil {
			t.Logf("exim's log:\n%s", log)
		}
	})
	return p
}

const eximConfig = `
exim_path = PROGRAM
spool_directory = DIR/spool
log_file_path = DIR/log/%slog
primary_hostname = mail.example.test
qualify_domain = example.test
acl_smtp_rcpt = accept
deliver_drop_privilege = true
keep_environment =
tls_advertise_hosts = *
tls_certificate = DIR/cert.pem
tls_privatekey = DIR/key.pem
begin routers
inbox:
  driver = accept
  transport = inbox
begin transports
inbox:
  driver = appendfile
  directory = DIR/mail/inbox
  maildir_format
  create_directory
  user = Debian-exim
  group = Debian-exim
  headers_add = Delivered-To: $local_part@$domain
`

// TestMailThroughMsmtp: a program that delivers by SMTP itself does not find its server for a while, which it reports as
// no such host. The mail stays owed, and leaves at the reload that mends it.
func TestMailThroughMsmtp(t *testing.T) {
	t.Parallel()
	program := find(t, "msmtp", "msmtp")
	mail := newPostbox(t, nil)
	dir := t.TempDir()
	settings, sendmail := filepath.Join(dir, "msmtprc"), filepath.Join(dir, "sendmail")
	host, port, _ := strings.Cut(mail.address, ":")
	account := func(host string) {
		put(t, settings, fmt.Sprintf("account default\nhost %s\nport %s\ntls off\nauth off\n", host, port), 0o600)
	}
	account("mail.invalid")
	put(t, sendmail, fmt.Sprintf("#!/bin/sh\nexec %s -C %s \"$@\"\n", program, settings), 0o755)
	refused := zoo.Refused(t)
	file := writeFile(t, "rollcall.yml", fmt.Sprintf(`
modules: {tcp_connect: {prober: tcp}}
targets: [{target: %q, module: tcp_connect, interval: 1s}]
alert: {email: {to: [ops@example.test], from: rollcall@example.test, sendmail: %s}, group_wait: 100ms}
`, refused, sendmail))
	base, exporter := startRollcall(t, "--config.file="+file, "--storage.path="+t.TempDir())
	eventually(t, func() (bool, string) {
		metrics := get(t, base+"/metrics")
		return strings.Contains(metrics, `rollcall_alert_notifications_total{channel="email",outcome="refused"} 1`) &&
			strings.Contains(metrics, `rollcall_alert_outbox_pending{channel="email"} 1`), metrics
	})
	account(host)
	if err := exporter.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	l := awaitLetters(t, mail, 1)[0]
	wantDown(t, l, "TCP", refused)
	if l.to != "ops@example.test" {
		t.Errorf("the mail went to %s", l.to)
	}
	exporter.stop(t)
}

// writeCertificate makes a certificate for 127.0.0.1.
func writeCertificate(t *testing.T, certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// empty throws the mailbox's letters away.
func (p *mailSystem) empty(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Dir(p.inbox)); err != nil {
		t.Fatal(err)
	}
}

// await returns the mailbox's letters once there are n; more than that are a failure.
func (p *mailSystem) await(t *testing.T, n int) []letter {
	t.Helper()
	var letters []letter
	eventually(t, func() (bool, string) {
		files, _ := filepath.Glob(filepath.Join(p.inbox, "*"))
		letters = nil
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				return false, err.Error()
			}
			to := regexp.MustCompile(`(?m)^Delivered-To: (\S+)$`).FindSubmatch(raw)
			l, err := readLetter("", raw)
			if err != nil || to == nil {
				t.Fatalf("a letter that cannot be read: %v\n%s", err, raw)
			}
			l.to = string(to[1])
			letters = append(letters, l)
		}
		return len(letters) >= n, fmt.Sprintf("%d letters, want %d", len(letters), n)
	})
	if len(letters) != n {
		t.Fatalf("there are %d letters, want %d", len(letters), n)
	}
	return letters
}

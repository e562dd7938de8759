package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/probe/option"
)

const alerting = `
modules:
  tcp_connect: {prober: tcp}
  http_2xx: {prober: http}
  ping: {prober: grpc}
targets:
  - tcp://mail.example.com:25
  - http://www.example.com
  - target: db.example.com:5432
    module: tcp_connect
    interval: 30s
    labels: {team: data}
alert:
  email:
    to: [ops@example.com]
    smtp:
      address: mail.example.com:587
      username: rollcall
      password: ${SMTP_PASSWORD}
  alertmanager:
    urls: [http://127.0.0.1:9093]
    basic_auth: {username: u, password: canary-am}
    labels: {severity: page}
  down_after: 3
  repeat_every: 6h
`

func TestAlertAndTargetsLoad(t *testing.T) {
	t.Setenv("SMTP_PASSWORD", "canary-smtp")
	c, err := Parse("rollcall.yml", []byte(alerting))
	if err != nil {
		t.Fatal(err)
	}
	if c.Alert() == nil {
		t.Error("there is no alert configuration")
	}
	targets := c.Targets()
	if len(targets) != 3 || targets[0].ModuleName() != "tcp_connect" || targets[1].ModuleName() != "http_2xx" ||
		targets[0].Interval != option.Duration(time.Minute) || targets[2].Interval != option.Duration(30*time.Second) || targets[2].Labels["team"] != "data" {
		t.Errorf("targets: %+v", targets)
	}
	shown := string(c.YAML())
	if strings.Contains(shown, "canary") || strings.Count(shown, hiddenText) != 2 {
		t.Errorf("the passwords are not hidden:\n%s", shown)
	}
	if _, err := Parse("again.yml", c.YAML()); err != nil {
		t.Errorf("what is shown does not load again: %v\n%s", err, shown)
	}
}

func TestFileWithoutAlertSection(t *testing.T) {
	c, err := Parse("rollcall.yml", []byte("modules: {a: {prober: tcp}}"))
	if err != nil || c.Alert() != nil || len(c.Targets()) != 0 {
		t.Errorf("error %v, alert %v, targets %v", err, c.Alert(), c.Targets())
	}
}

func TestMissingSendmailIsAWarning(t *testing.T) {
	there, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for email, want := range map[string]string{
		"{to: [root], sendmail: " + there + "}":                               "",
		"{to: [a@example.com], smtp: {address: mail.example.com:25}}":         "",
		"{to: [root], sendmail: /nowhere/sendmail}":                           "test.yml:3: alert.email.sendmail: there is no \"/nowhere/sendmail\"",
		"{to: [a@example.com], sendmail: /nowhere/x, smtp: {address: 'm:1'}}": "",
	} {
		c := load(t, "modules: {m: {prober: tcp}}\nalert:\n  email: "+email+"\n")
		if got := strings.Join(c.Warnings(), "\n"); (got == "") != (want == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%s: warnings %q, want %q", email, got, want)
		}
	}
}

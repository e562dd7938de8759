package config

import (
	"os"
	"strings"
	"testing"
	"time"
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
	if len(targets) != 3 || targets[0].Module != "tcp_connect" || targets[1].Module != "http_2xx" ||
		targets[0].Interval != time.Minute || targets[2].Interval != 30*time.Second || targets[2].Labels.Get("team") != "data" {
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

func TestSecondOpinionLoads(t *testing.T) {
	const text = `modules: {tcp_connect: {prober: tcp}}
guard: {deny: [192.0.2.0/24]}
targets:
- {target: "resolver:53", name: our resolver, module: tcp_connect}
alert:
  alertmanager: {urls: [http://127.0.0.1:9093]}
  hold: 5m
  witnesses:
  - http://paris.example.com:9115
  - {url: "https://oslo.example.com", name: oslo, basic_auth: {username: u, password: canary}}
  references: [our resolver, "resolver:53"]
`
	c, err := Parse("test.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if shown := string(c.YAML()); strings.Contains(shown, "canary") || !strings.Contains(shown, "paris.example.com") {
		t.Errorf("shown as\n%s", shown)
	}
	if _, err := Parse("again.yml", c.YAML()); err != nil {
		t.Errorf("what is shown does not load again: %v\n%s", err, c.YAML())
	}
	for old, change := range map[string][2]string{
		"[our resolver, ":     {"[their resolver, ", `test.yml:11: alert.references[0]: "their resolver" is no entry of targets`},
		"http://paris":        {"ftp://paris", "test.yml:9: alert.witnesses[0].url: is not an http or https address"},
		"name: oslo, ":        {"name: paris.example.com, ", `test.yml:10: alert.witnesses[1].name: "paris.example.com" is the name of another witness`},
		"password: canary":    {"password: canary, password_file: x", "test.yml:10: alert.witnesses[1]"},
		"hold: 5m":            {"hold: soon", "test.yml:7: alert.hold"},
		"basic_auth: {":       {"no_such_option: 1, basic_auth: {", "test.yml:10: alert.witnesses[1].no_such_option"},
		"oslo.example.com\",": {"oslo.example.com\", tls_config: {ca_file: /nowhere}, ", "test.yml:10: alert.witnesses[1]"},
	} {
		broken := strings.Replace(text, old, change[0], 1)
		if _, err := Parse("test.yml", []byte(broken)); err == nil || !strings.Contains(err.Error(), change[1]) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %q", change[0], err, change[1])
		}
	}
}

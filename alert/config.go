package alert

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe/option"
)

// defaultSendmail is where Unix systems have the program that takes mail for the local mail system.
const defaultSendmail = "/usr/sbin/sendmail"

// Config is a compiled `alert:` section: valid, complete, and never changed afterwards.
type Config struct {
	policy          policy
	probeRequests   bool
	targets         map[key]bool // the configured ones
	groupWait       time.Duration
	groupInterval   time.Duration
	maxMailsPerHour int
	email           *emailConfig        // nil: no mail
	alertmanager    *alertmanagerConfig // nil: no posts
	host            string              // this machine's name, as mail shows it
}

type emailConfig struct {
	to            []Address
	from          Address
	subjectPrefix string
	mailer        mailer
}

// How long deliveries may take and how they are retried.
const (
	sessionTimeout = time.Minute // one SMTP session, one run of sendmail
	postTimeout    = 20 * time.Second
	firstBackoff   = 5 * time.Second // doubled at each failure
	lastBackoff    = 5 * time.Minute
	resendInterval = time.Minute // firing alerts, to Alertmanager
	resolveAfter   = 4 * resendInterval
)

// Target names one of the configured targets, which are watched in any case.
type Target struct {
	Module, Target, Hostname string

	Name     string        // for people; empty: the target
	Group    string        // empty: none
	Interval time.Duration // between probes

	// What the target says in place of the section; zero fields say nothing.
	To          []string
	DownAfter   int
	UpAfter     int
	RepeatEvery *time.Duration
}

// Compile makes the section ready for use beside the configured targets. Its errors are joined *probe.OptionErrors, one
// for each fault, with paths relative to the section.
func (o Options) Compile(targets []Target) (*Config, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Config{
		policy: policy{
			downAfter: o.DownAfter, upAfter: o.UpAfter,
			repeatEvery: time.Duration(o.RepeatEvery), certWarning: time.Duration(o.CertExpiryWarning),
		},
		probeRequests: o.ProbeRequests,
		targets:       make(map[key]bool, len(targets)),
		groupWait:     time.Duration(o.GroupWait), groupInterval: time.Duration(o.GroupInterval),
		maxMailsPerHour: o.MaxMailsPerHour,
		host:            hostname(),
	}
	for _, t := range targets {
		c.targets[key{t.Module, identity(t.Target)}] = true
	}
	if o.Email != nil {
		c.email = o.Email.compile(c.host)
	}
	if o.Alertmanager != nil {
		var err error
		if c.alertmanager, err = o.Alertmanager.compile(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// LocalMail is the configuration of somebody who has none: the local sendmail delivers.
func LocalMail() *Config {
	host := hostname()
	o := new(EmailOptions)
	o.SetDefaults()
	return &Config{host: host, email: o.compile(host)}
}

func (o *EmailOptions) compile(host string) *emailConfig {
	e := &emailConfig{to: o.To, from: o.From, subjectPrefix: o.SubjectPrefix}
	if e.from == "" {
		e.from = Address("rollcall@" + host)
	}
	if o.SMTP == nil {
		e.mailer = &sendmail{path: o.Sendmail, from: e.from, timeout: sessionTimeout}
		return e
	}
	s := &smtpServer{options: *o.SMTP, from: e.from, hello: o.SMTP.Hello, timeout: sessionTimeout}
	if s.hello == "" {
		s.hello = host
	}
	e.mailer = s
	return e
}

// password is read anew for every session, so that a changed file needs no reload.
func (o *SMTPOptions) password() (string, error) {
	if o.PasswordFile == "" {
		return string(o.Password), nil
	}
	b, err := option.ReadFile(o.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("reading the mail server's password: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (o *AlertmanagerOptions) compile() (*alertmanagerConfig, error) {
	client, err := config.NewClientFromConfig(config.HTTPClientConfig{
		BasicAuth: o.BasicAuth, TLSConfig: o.TLSConfig, EnableHTTP2: true,
	}, "alertmanager")
	if err != nil {
		return nil, fmt.Errorf("alertmanager: %w", err)
	}
	a := &alertmanagerConfig{client: client, labels: o.Labels, timeout: postTimeout, auth: o.BasicAuth}
	for _, u := range o.URLs {
		a.urls = append(a.urls, strings.TrimSuffix(u, "/")+"/api/v2/alerts")
	}
	return a, nil
}

// hostname is this machine's name in a form that addresses and message identifiers may hold.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	name = strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		default:
			return '-'
		}
	}, name), "-.")
	if name == "" || strings.Contains(name, "..") {
		return "localhost"
	}
	return name
}

package alert

import (
	"strings"
	"testing"
	"time"

	"rollcall/alert/alertmanager"
	"rollcall/alert/mail"
	"rollcall/probe/option"
)

// sound is a section that is accepted; change makes it something else.
func sound(change func(*Options)) Options {
	var o Options
	o.SetDefaults()
	o.Email = new(mail.Options)
	o.Email.SetDefaults()
	o.Email.To = []Address{"ops@example.com"}
	o.Email.SMTP = new(mail.SMTPOptions)
	o.Email.SMTP.SetDefaults()
	o.Email.SMTP.Address = "mail.example.com:587"
	o.Alertmanager = &alertmanager.Options{URLs: []string{"https://am.example.com/prefix/"}}
	change(&o)
	return o
}

func TestOptionsAreJudgedAtLoad(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   string // path: …; empty: accepted
	}{
		"sound":                        {func(o *Options) {}, ""},
		"no recipients at all":         {func(o *Options) { o.Email, o.Alertmanager = nil, nil }, ": names no recipients"},
		"mail alone":                   {func(o *Options) { o.Alertmanager = nil }, ""},
		"Alertmanager alone":           {func(o *Options) { o.Email = nil }, ""},
		"no recipients":                {func(o *Options) { o.Email.To = nil }, "email.to: is empty"},
		"too many recipients":          {func(o *Options) { o.Email.To = make([]Address, 101) }, "email.to: has 101 addresses"},
		"a local user by SMTP":         {func(o *Options) { o.Email.To = []Address{"root"} }, `email.to[0]: "root" is a local user`},
		"a local user by sendmail":     {func(o *Options) { o.Email.To, o.Email.SMTP = []Address{"root"}, nil }, ""},
		"a local sender by SMTP":       {func(o *Options) { o.Email.From = "rollcall" }, "email.from: "},
		"the same twice":               {func(o *Options) { o.Email.To = []Address{"a@x", "a@x"} }, "email.to[1]: "},
		"sendmail by name":             {func(o *Options) { o.Email.SMTP, o.Email.Sendmail = nil, "sendmail" }, "email.sendmail: "},
		"a prefix of two lines":        {func(o *Options) { o.Email.SubjectPrefix = "a\r\nBcc: x@y" }, "email.subject_prefix: "},
		"a server without port":        {func(o *Options) { o.Email.SMTP.Address = "mail.example.com" }, "email.smtp.address: "},
		"a password in clear":          {func(o *Options) { s := o.Email.SMTP; s.TLS, s.Username, s.Password = mail.TLSNone, "u", "p" }, "email.smtp.tls: none would send the password in clear"},
		"starttls on 465":              {func(o *Options) { o.Email.SMTP.Address = "mail.example.com:465" }, "email.smtp.tls: starttls does not work on port 465"},
		"a username without password":  {func(o *Options) { o.Email.SMTP.Username = "u" }, "email.smtp.username: goes together"},
		"a username of two lines":      {func(o *Options) { s := o.Email.SMTP; s.Username, s.Password = "u\r\nRSET", "p" }, "email.smtp.username: "},
		"a password file that is gone": {func(o *Options) { s := o.Email.SMTP; s.Username, s.PasswordFile = "u", "/none" }, "email.smtp.password_file: "},
		"two words as hello":           {func(o *Options) { o.Email.SMTP.Hello = "a b" }, "email.smtp.hello: "},
		"a CA that is none":            {func(o *Options) { o.Email.SMTP.TLSConfig.CA = "x" }, "email.smtp.tls_config: "},
		"no Alertmanager":              {func(o *Options) { o.Alertmanager.URLs = nil }, "alertmanager.urls: "},
		"not a URL":                    {func(o *Options) { o.Alertmanager.URLs = []string{"am:9093"} }, "alertmanager.urls[0]: "},
		"a password in a URL":          {func(o *Options) { o.Alertmanager.URLs = []string{"http://u:p@am:9093"} }, "alertmanager.urls[0]: "},
		"our label":                    {func(o *Options) { o.Alertmanager.Labels = map[string]string{"module": "x"} }, "alertmanager.labels.module: "},
		"no label":                     {func(o *Options) { o.Alertmanager.Labels = map[string]string{"a-b": "x"} }, "alertmanager.labels.a-b: "},
		"down_after 0":                 {func(o *Options) { o.DownAfter = 0 }, "down_after: "},
		"up_after -1":                  {func(o *Options) { o.UpAfter = -1 }, "up_after: "},
		"no mails":                     {func(o *Options) { o.MaxMailsPerHour = 0 }, "max_mails_per_hour: "},
		"reminders by the second":      {func(o *Options) { o.RepeatEvery = Span(time.Second) }, "repeat_every: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sound(c.change).Compile(nil, nil)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "u:p") {
				t.Errorf("the error tells the password: %v", err)
			}
			for _, e := range each(err) {
				if _, ok := e.(*option.Error); !ok {
					t.Errorf("%v has no path", e)
				}
			}
		})
	}
}

// each is the errors that are joined in err.
func each(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, e := range joined.Unwrap() {
		if below := each(e); below != nil {
			all = append(all, below...)
		} else {
			all = append(all, e)
		}
	}
	return all
}

func TestAlertsArePostedToTheAPI(t *testing.T) {
	c, err := sound(func(o *Options) {}).Compile(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if to := c.channels[1].recipients; len(to) != 1 || to[0] != "https://am.example.com/prefix/api/v2/alerts" {
		t.Errorf("posts to %s", to)
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{"0s": 0, "0": 0, "10s": 10 * time.Second, "14d": 14 * 24 * time.Hour, "1.5h": 90 * time.Minute} {
		var s Span
		if err := s.UnmarshalText([]byte(text)); err != nil || time.Duration(s) != want {
			t.Errorf("%q: %v, %v", text, time.Duration(s), err)
		}
		shown, _ := s.MarshalText()
		var again Span
		if err := again.UnmarshalText(shown); err != nil || again != s {
			t.Errorf("%q is shown as %q, which reads as %v, %v", text, shown, again, err)
		}
	}
	for _, text := range []string{"", "5", "-1s", "x"} {
		var s Span
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

package probe

import (
	"net/url"
	"strings"
	"testing"

	"rollcall/redact"
)

func TestDefaultModule(t *testing.T) {
	for target, want := range map[string]string{
		"":                      "http_2xx",
		"example.org":           "http_2xx",
		"example.org:443":       "http_2xx",
		"https://example.org":   "http_2xx",
		"tcp:/example.org:25":   "http_2xx",
		"tcp://example.org:25":  "tcp_connect",
		"TCP://example.org:25":  "tcp_connect",
		"http://tcp://nonsense": "http_2xx",
	} {
		if got := DefaultModule(target); got != want {
			t.Errorf("DefaultModule(%q) = %q, want %q", target, got, want)
		}
	}
}

func TestRedactTargetHidesUserinfoAndNothingElse(t *testing.T) {
	for target, want := range map[string]string{
		"":                                    "",
		"example.org:443":                     "example.org:443",
		"https://example.org/@user?q=a@b#c@d": "https://example.org/@user?q=a@b#c@d",
		"https://user:secret@example.org/x":   "https://***@example.org/x",
		"https://token@example.org":           "https://***@example.org",
		"user:secret@example.org:80":          "***@example.org:80",
		"https://us@er:se@cret@example.org":   "https://***@example.org",
		"http://u:p@[::1]:80/":                "http://***@[::1]:80/",
		"http://u:%zz@broken":                 "http://***@broken",
		"https://@example.org":                "https://***@example.org",
		"@abstract-socket":                    "@abstract-socket",
	} {
		if got := redact.Target(target); got != want {
			t.Errorf("RedactTarget(%q) = %q, want %q", target, got, want)
		}
	}
}

func FuzzRedactTarget(f *testing.F) {
	f.Add("https://user:canary@example.org/path")
	f.Add("user:canary@example.org:80")
	f.Add("x://a:canary@b@c")
	f.Fuzz(func(t *testing.T, target string) {
		shown := redact.Target(target)
		if redact.Target(shown) != shown {
			t.Errorf("%q is shown as %q, and that as %q", target, shown, redact.Target(shown))
		}
		u, err := url.Parse(target)
		if err != nil || u.User == nil || u.Host == "" {
			return
		}
		if password, _ := u.User.Password(); strings.Contains(password, "canary") && strings.Contains(shown, "canary") && strings.Count(target, "canary") == 1 {
			t.Errorf("%q is shown as %q", target, shown)
		}
	})
}

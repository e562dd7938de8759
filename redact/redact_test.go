package redact

import (
	"strings"
	"testing"
)

func TestTextLosesSecretsInEveryForm(t *testing.T) {
	for text, want := range map[string]string{
		"nothing":                                   "nothing",
		"you sent p@ss word":                        "you sent <secret>",
		"http://x/?q=p%40ss+word&r=p@ss%20word":     "http://x/?q=<secret>&r=<secret>",
		"Basic cEBzcyB3b3Jk":                        "Basic <secret>",
		"cut off: p@ss w…":                          "cut off: <secret>…",
		"cut off here p@ss…, and here: Y2/cEBzcyB…": "cut off here <secret>…, and here: Y2/<secret>…",
		"Basic YWxpY2U6cEBzcyB3b3Jk, or AGFsaWNlAHBAc3Mgd29yZA==": "Basic <secret>, or <secret>", // alice:…, and AUTH PLAIN
		"p@s…": "p@s…",
	} {
		if got := Text(text, "p@ss word", "ab"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestURLsLoseCredentials(t *testing.T) {
	for text, want := range map[string]string{
		"/next?page=2&n=a@b": "/next?page=2&n=a@b",
		"https://u:p@ss@e.org:8/a?access_token=x&page=2#id_token=y": "https://***@e.org:8/a?access_token=***&page=2#id_token=***",
		"0; url=//u:p@e.org/?X-Amz-Signature=x;session=y":           "0; url=//***@e.org/?X-Amz-Signature=***;session=***",
		`<https://e.org/?key=x>; rel="next"`:                        `<https://e.org/?key=***>; rel="next"`,
		"text/html; charset=utf-8":                                  "text/html; charset=utf-8",
	} {
		if got := URLs(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("you sent p@ss word …", "p@ss word")
	f.Add("…………", "……")
	f.Add("<secret>", "secret")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if shown := Text(text, secret); len(secret) >= shortestSecret && !strings.Contains(hiddenText, secret) && strings.Contains(shown, secret) &&
			!strings.Contains(secret, "<") && !strings.Contains(secret, ">") {
			t.Errorf("%q is still in %q", secret, shown)
		}
	})
}

package redact

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
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
		`cut off and quoted: "you sent p@ss w"…, "Y2/cEBzcyB"…`: `cut off and quoted: "you sent <secret>"…, "Y2/<secret>"…`,
		"p%40ss%20word, P%70@ss+word":                           "<secret>, P<secret>",
		`p\u0040ss word, p\x40ss\x20word, \"p@ss\ word\"`:       `<secret>, <secret>, \"<secret>\"`,
		"p&#64;ss word, p&#x40;ss&#32;word, p&commat;ss word":   "<secret>, <secret>, <secret>",
		`"{\"password\": \"p@ss \\u0077ord\"}"`:                 `"{\"password\": \"<secret>\"}"`,
		"%63EBzcyB3b3Jk":                                        "<secret>", // Base64 in a URL
		"100 % of +, & and \\ stay, %40 and &amp; too":          "100 % of +, & and \\ stay, %40 and &amp; too",
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

// TestCaseOfEscapesDoesNotMatter: peers write %2f as well as %2F, and escape more than they must.
func TestCaseOfEscapesDoesNotMatter(t *testing.T) {
	const secret = "pä/ss&\"w\\o<rd\U0001f600"
	var percent, hexadecimal, decimal, inJSON strings.Builder
	for _, b := range []byte(secret) {
		fmt.Fprintf(&percent, "%%%02x", b)
	}
	for _, r := range secret {
		fmt.Fprintf(&hexadecimal, "&#x%x;", r)
		fmt.Fprintf(&decimal, "&#%d;", r)
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&inJSON, "\\u%04x", unit)
		}
	}
	php := strings.ReplaceAll(strconv.QuoteToASCII(secret), "/", `\/`)
	for _, form := range []string{percent.String(), hexadecimal.String(), decimal.String(), inJSON.String(), php[1 : len(php)-1]} {
		if got, want := Text("a "+form+" b", secret), "a <secret> b"; got != want {
			t.Errorf("%s: got %s", form, got)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("you sent p@ss word …", "p@ss word")
	f.Add("…………", "……")
	f.Add("<secret>", "secret")
	f.Add("%41&#65;\\u0041\\ud83d\\u0041+ A", "AAAA")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if shown := Text(text, secret); len(secret) >= shortestSecret && !strings.Contains(hiddenText, secret) && strings.Contains(shown, secret) &&
			!strings.Contains(secret, "<") && !strings.Contains(secret, ">") {
			t.Errorf("%q is still in %q", secret, shown)
		}
	})
}

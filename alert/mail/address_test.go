package mail

import (
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	for _, good := range []string{"ops@example.com", "root", "a.b+c@example.com", "user_1", "x@localhost", "o'brien@example.com"} {
		if a, err := ParseAddress(good); err != nil || string(a) != good {
			t.Errorf("%q: %q, %v", good, a, err)
		}
	}
	if a, err := ParseAddress("ops@bücher.example"); err != nil || a != "ops@xn--bcher-kva.example" {
		t.Errorf("an internationalised domain: %q, %v", a, err)
	}
	for _, bad := range []string{
		"", " ", "a b", "a@x\r\nBcc: y@z", "a@x\x00", "\n", "-oQ/tmp@x", "-bs", "|cmd@x", "/etc/passwd@x", "a@x, b@y", "A <a@x>", "a@", "@x",
		"a@x(comment)", `"a b"@x`, "a;b", "a`id`", "$(id)", "ü@x", "a@b ü", "<a@x>", "a\\b", strings.Repeat("a", 255),
	} {
		if a, err := ParseAddress(bad); err == nil {
			t.Errorf("%q is accepted as %q", bad, a)
		}
	}
}

// FuzzAddress: an accepted address can neither leave its place in a header or a command nor be read as an option.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"ops@example.com", "root", "a@x\r\nBcc: y@z", "-bs", `"<>"@x`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if (string(a) != s && !strings.Contains(string(a), "@xn--") && !strings.Contains(string(a), ".xn--")) || strings.ContainsAny(string(a), "\r\n\x00 <>\"(),;") || strings.HasPrefix(string(a), "-") {
			t.Errorf("%q is accepted", s)
		}
	})
}

package tlsclient

import (
	"crypto/x509"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/probe/probetest"
)

// pool are the roots of a test.
func pool(authorities ...*probetest.Authority) *x509.CertPool {
	p := x509.NewCertPool()
	for _, a := range authorities {
		p.AddCert(a.Cert)
	}
	return p
}

// lasting makes a certificate valid for that long from now.
func lasting(d time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotAfter = time.Now().Add(d).Truncate(time.Second) }
}

func TestVerificationsRememberForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := probetest.NewAuthority(t)
		roots, presented := pool(ca), []*x509.Certificate{ca.Issue().Leaf}
		var v verifications
		checkedAt := func() time.Time {
			t.Helper()
			expiry, err := v.chainExpiry(presented, roots, "localhost")
			if err != nil || !expiry.Equal(presented[0].NotAfter) {
				t.Fatalf("chainExpiry = %v, %v; want %v", expiry, err, presented[0].NotAfter)
			}
			return v.known[verifiedKey{"localhost", digest(presented)}].checked
		}
		first := checkedAt()
		time.Sleep(verifiedFor - time.Second)
		if again := checkedAt(); !again.Equal(first) {
			t.Errorf("checked anew after %v", again.Sub(first))
		}
		time.Sleep(time.Second)
		if again := checkedAt(); again.Equal(first) {
			t.Errorf("not checked anew after %v", verifiedFor)
		}
	})
}

func TestVerificationsEndWithEveryCertificateOfTheChain(t *testing.T) {
	minute := lasting(time.Minute)
	always := func(*x509.Certificate) {}
	for name, test := range map[string]struct{ root, leaf func(*x509.Certificate) }{
		"leaf": {always, minute},
		"root": {minute, always},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := probetest.NewAuthority(t, test.root)
				roots, presented := pool(ca), []*x509.Certificate{ca.Issue(test.leaf).Leaf}
				var v verifications
				if _, err := v.chainExpiry(presented, roots, "localhost"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute + time.Second)
				if _, err := v.chainExpiry(presented, roots, "localhost"); err == nil {
					t.Error("an expired chain is still taken for verified")
				}
			})
		})
	}
}

// TestVerificationsDoNotOutliveAClockSetBack holds that what was valid then is not taken for valid before its time.
func TestVerificationsDoNotOutliveAClockSetBack(t *testing.T) {
	ca := probetest.NewAuthority(t)
	presented := []*x509.Certificate{ca.Issue().Leaf}
	roots := pool(ca)
	var v verifications
	if _, err := v.chainExpiry(presented, roots, "localhost"); err != nil {
		t.Fatal(err)
	}
	key := verifiedKey{"localhost", digest(presented)}
	entry := v.known[key]
	if !entry.from.Equal(ca.Cert.NotBefore) && !entry.from.Equal(presented[0].NotBefore) {
		t.Errorf("valid from %v, want the later of %v and %v", entry.from, ca.Cert.NotBefore, presented[0].NotBefore)
	}
	entry.from, entry.expiry = time.Now().Add(time.Minute), time.Time{}
	v.known[key] = entry
	if expiry, err := v.chainExpiry(presented, roots, "localhost"); err != nil || expiry.IsZero() {
		t.Errorf("chainExpiry = %v, %v: served from an entry that is not valid yet", expiry, err)
	}
}

func TestVerificationsTellWhatDiffers(t *testing.T) {
	ca, other := probetest.NewAuthority(t), probetest.NewAuthority(t)
	roots, presented := pool(ca), []*x509.Certificate{ca.Issue().Leaf}
	var v verifications
	for name, test := range map[string]struct {
		presented []*x509.Certificate
		roots     *x509.CertPool
		name      string
	}{
		"another name":              {presented, roots, "elsewhere.example"},
		"other roots":               {presented, pool(other), "localhost"},
		"another certificate":       {[]*x509.Certificate{other.Issue().Leaf}, roots, "localhost"},
		"a leaf that is not signed": {[]*x509.Certificate{other.Issue().Leaf, presented[0]}, roots, "localhost"},
	} {
		if _, err := v.chainExpiry(presented, roots, "localhost"); err != nil {
			t.Fatal(err)
		}
		if _, err := v.chainExpiry(test.presented, test.roots, test.name); err == nil {
			t.Errorf("%s is taken for verified", name)
		}
	}
	if len(v.known) > 1 {
		t.Errorf("%d entries: a refusal is remembered", len(v.known))
	}
}

func TestVerificationsKeepNoOldRoots(t *testing.T) {
	ca := probetest.NewAuthority(t)
	presented := []*x509.Certificate{ca.Issue().Leaf}
	var v verifications
	for range 3 { // a bundle that is written anew, time and again
		roots := pool(ca)
		if _, err := v.chainExpiry(presented, roots, "localhost"); err != nil {
			t.Fatal(err)
		}
		if v.roots != roots || len(v.known) != 1 {
			t.Fatalf("%d entries, want 1 of the last roots", len(v.known))
		}
	}
}

func TestVerificationsAreBounded(t *testing.T) {
	ca := probetest.NewAuthority(t, func(c *x509.Certificate) { c.DNSNames = nil })
	roots, presented := pool(ca), []*x509.Certificate{ca.Issue(func(c *x509.Certificate) { c.DNSNames = []string{"*.example"} }).Leaf}
	v := verifications{roots: roots, known: make(map[verifiedKey]verified)}
	for i := range maxVerified {
		v.known[verifiedKey{name: strconv.Itoa(i)}] = verified{}
	}
	if _, err := v.chainExpiry(presented, roots, "one.example"); err != nil {
		t.Fatal(err)
	}
	if len(v.known) != 1 {
		t.Errorf("%d entries after one too many, want 1", len(v.known))
	}
}

func BenchmarkVerify(b *testing.B) {
	ca := probetest.NewAuthority(b)
	roots, presented := pool(ca), []*x509.Certificate{ca.Issue().Leaf}
	b.Run("anew", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := verify(presented, roots, "localhost"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remembered", func(b *testing.B) {
		var v verifications
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.chainExpiry(presented, roots, "localhost"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

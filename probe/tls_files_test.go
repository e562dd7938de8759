package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/config"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLSFilesAreFollowed(t *testing.T) {
	ca := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	rotate := func(certPEM, keyPEM string) { write(t, certFile, certPEM); write(t, keyFile, keyPEM) }
	cert, key := pair(t, ca.issue())
	rotate(cert, key)

	synctest.Test(t, func(t *testing.T) {
		client, err := compileTLS("tls_config", &config.TLSConfig{CertFile: certFile, KeyFile: keyFile})
		if err != nil {
			t.Fatal(err)
		}
		// now is the material in use.
		now := func() *tlsMaterial {
			t.Helper()
			m, err := client.files.current()
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		first := now()
		time.Sleep(lookInterval)
		if now() != first {
			t.Error("unchanged files were read again")
		}

		cert2, key2 := pair(t, ca.issue())
		rotate(cert2, key2)
		if now() != first {
			t.Error("somebody looked before the interval was over")
		}
		time.Sleep(lookInterval)
		second := now()
		if second == first {
			t.Fatal("a new certificate went unnoticed")
		}

		cert3, key3 := pair(t, ca.issue())
		write(t, certFile, cert3) // the first half of a rotation: the pair does not fit
		time.Sleep(lookInterval)
		if now() != second {
			t.Error("half a rotation is bridged with the last good pair")
		}
		write(t, keyFile, key3)
		time.Sleep(lookInterval)
		if third := now(); third == second {
			t.Error("the other half went unnoticed")
		}

		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookInterval)
		now()
		time.Sleep(brokenGrace + time.Second)
		_, err = client.files.current()
		wantFault(t, err, FaultFile)
		if err == nil || !strings.Contains(err.Error(), "tls_config.key_file: cannot be read") || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("got %v", err)
		}

		write(t, keyFile, key3)
		time.Sleep(lookInterval)
		now() // healed
	})
}

func TestTLSFileThatBreaksIsNotTheTargetsFault(t *testing.T) {
	ca := newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca")
	write(t, file, ca.pem)
	synctest.Test(t, func(t *testing.T) {
		o := tcpOptions()
		o.TLS, o.TLSConfig.CAFile = true, file
		p := compiled(t, o)
		write(t, file, "nonsense")
		time.Sleep(lookInterval)
		if _, err := p.tls.files.current(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(brokenGrace + time.Second)
		_, _, err := p.tls.handshake(t.Context(), nil, "x", nil, nil)
		wantFault(t, err, FaultFile)
		r := new(Result)
		if _, err := r.settle(err); err == nil {
			t.Error("it became a verdict")
		}
	})
}

// What keeps a file from being read (its mode, no descriptors) may go away and leave the file's stamp as it is.
func TestBrokenTLSFileIsTriedAgainThoughItsStampStays(t *testing.T) {
	ca := newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca")
	write(t, file, ca.pem)
	synctest.Test(t, func(t *testing.T) {
		client, err := compileTLS("tls_config", &config.TLSConfig{CAFile: file})
		if err != nil {
			t.Fatal(err)
		}
		written := time.Now().Add(time.Hour)
		replace := func(text string) {
			write(t, file, text)
			if err := os.Chtimes(file, written, written); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lookInterval)
		}
		replace(strings.Repeat("x", len(ca.pem)))
		if _, err := client.files.current(); err != nil {
			t.Fatal(err)
		}
		if client.files.state.Load().err == nil {
			t.Fatal("the broken file went unnoticed")
		}
		replace(ca.pem)
		if _, err := client.files.current(); err != nil || client.files.state.Load().err != nil {
			t.Errorf("still broken: %v, %v", err, client.files.state.Load().err)
		}
	})
}

func TestTLSOptionsAreCheckedAtLoad(t *testing.T) {
	ca := newAuthority(t)
	cert, key := pair(t, ca.issue())
	_, otherKey := pair(t, ca.issue())
	file := filepath.Join(t.TempDir(), "ca")
	write(t, file, ca.pem)
	for name, c := range map[string]struct {
		config config.TLSConfig
		want   []string
	}{
		"nothing":              {config.TLSConfig{}, nil},
		"everything inline":    {config.TLSConfig{CA: ca.pem, Cert: cert, Key: config.Secret(key), MinVersion: 0x0303, MaxVersion: 0x0304}, nil},
		"a CA twice":           {config.TLSConfig{CA: ca.pem, CAFile: file}, []string{"t.ca_file: conflicts with ca"}},
		"a CA that is none":    {config.TLSConfig{CA: "x"}, []string{"t.ca: holds no certificate in PEM form"}},
		"a CA that is away":    {config.TLSConfig{CAFile: file + "x"}, []string{"t.ca_file: cannot be read: stat "}},
		"no key":               {config.TLSConfig{Cert: cert}, []string{"t.cert: needs its key"}},
		"no certificate":       {config.TLSConfig{KeyFile: file}, []string{"t.key_file: needs its certificate"}},
		"another key":          {config.TLSConfig{Cert: cert, Key: config.Secret(otherKey)}, []string{"t.cert: is no usable pair with its key"}},
		"versions upside down": {config.TLSConfig{MinVersion: 0x0304, MaxVersion: 0x0303}, []string{"t.min_version: is above max_version"}},
		"secret managers": {config.TLSConfig{CARef: "a", CertRef: "b", KeyRef: "c"}, []string{
			"t.ca_ref: names a secret", "t.cert_ref: names a secret", "t.key_ref: names a secret"}},
		"several": {config.TLSConfig{CA: "x", Cert: cert}, []string{"t.ca: holds no", "t.cert: needs its key"}},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := compileTLS("t", &c.config)
			faults := optionFaults(err)
			if len(faults) != len(c.want) || (client == nil) != (c.want != nil) {
				t.Fatalf("got %q, want %q", faults, c.want)
			}
			for i := range faults {
				if !strings.HasPrefix(faults[i], c.want[i]) {
					t.Errorf("got %q, want %q", faults[i], c.want[i])
				}
			}
			if err != nil && (errors.Is(err, os.ErrNotExist) != strings.Contains(faults[0], "cannot be read") || strings.Contains(err.Error(), "PRIVATE KEY-----")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

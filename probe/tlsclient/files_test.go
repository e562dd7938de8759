package tlsclient

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

func TestTLSFilesAreFollowed(t *testing.T) {
	ca := probetest.NewAuthority(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	rotate := func(certPEM, keyPEM string) {
		probetest.WriteFile(t, certFile, certPEM)
		probetest.WriteFile(t, keyFile, keyPEM)
	}
	cert, key := probetest.Pair(t, ca.Issue())
	rotate(cert, key)

	synctest.Test(t, func(t *testing.T) {
		client, err := Compile("tls_config", &config.TLSConfig{CertFile: certFile, KeyFile: keyFile})
		if err != nil {
			t.Fatal(err)
		}
		// now is the material in use.
		now := func() *material {
			t.Helper()
			m, err := client.files.Current()
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		first := now()
		time.Sleep(option.LookInterval)
		if now() != first {
			t.Error("unchanged files were read again")
		}

		cert2, key2 := probetest.Pair(t, ca.Issue())
		rotate(cert2, key2)
		if now() != first {
			t.Error("the files were read before the interval was over")
		}
		time.Sleep(option.LookInterval)
		second := now()
		if second == first {
			t.Fatal("a new certificate went unnoticed")
		}

		cert3, key3 := probetest.Pair(t, ca.Issue())
		probetest.WriteFile(t, certFile, cert3) // the first half of a rotation: the pair does not fit
		time.Sleep(option.LookInterval)
		if now() != second {
			t.Error("half a rotation is bridged with the last good pair")
		}
		probetest.WriteFile(t, keyFile, key3)
		time.Sleep(option.LookInterval)
		if third := now(); third == second {
			t.Error("the other half went unnoticed")
		}

		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(option.LookInterval)
		now()
		time.Sleep(option.BrokenGrace + time.Second)
		_, err = client.files.Current()
		probetest.WantExporterError(t, err, probe.FaultFile)
		if err == nil || !strings.Contains(err.Error(), "tls_config.key_file: cannot be read") || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("got %v", err)
		}

		probetest.WriteFile(t, keyFile, key3)
		time.Sleep(option.LookInterval)
		now() // healed
	})
}

func TestBrokenTLSFileIsAnExporterError(t *testing.T) {
	ca := probetest.NewAuthority(t)
	file := filepath.Join(t.TempDir(), "ca")
	probetest.WriteFile(t, file, ca.PEM)
	synctest.Test(t, func(t *testing.T) {
		client, err := Compile("tls_config", &config.TLSConfig{CAFile: file})
		if err != nil {
			t.Fatal(err)
		}
		probetest.WriteFile(t, file, "nonsense")
		time.Sleep(option.LookInterval)
		if _, err := client.files.Current(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(option.BrokenGrace + time.Second)
		ours, theirs := net.Pipe()
		defer theirs.Close()
		_, err = client.Secure(t.Context(), ours, Hello{ServerName: "x"}, nil)
		probetest.WantExporterError(t, err, probe.FaultFile)
		r := new(probe.Result)
		if _, err := r.Settle(err); err == nil {
			t.Error("it became a verdict")
		}
	})
}

func TestTLSOptionsAreCheckedAtLoad(t *testing.T) {
	ca := probetest.NewAuthority(t)
	cert, key := probetest.Pair(t, ca.Issue())
	_, otherKey := probetest.Pair(t, ca.Issue())
	file := filepath.Join(t.TempDir(), "ca")
	probetest.WriteFile(t, file, ca.PEM)
	for name, c := range map[string]struct {
		config config.TLSConfig
		want   []string
	}{
		"nothing":              {config.TLSConfig{}, nil},
		"everything inline":    {config.TLSConfig{CA: ca.PEM, Cert: cert, Key: config.Secret(key), MinVersion: 0x0303, MaxVersion: 0x0304}, nil},
		"a CA twice":           {config.TLSConfig{CA: ca.PEM, CAFile: file}, []string{"t.ca_file: conflicts with ca"}},
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
			client, err := Compile("t", &c.config)
			faults := probetest.OptionErrorTexts(err)
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

package httpprobe

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

func TestEmptyPasswordFileIsAConfigurationError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	probetest.WriteFile(t, path, "\n")
	_, err := compileHTTP("basic_auth: {username: me, password_file: '" + path + "'}")
	if err == nil || !strings.Contains(err.Error(), "basic_auth.password_file: cannot be read: read ") || !errors.Is(err, option.ErrEmptyFile) {
		t.Errorf("got %v", err)
	}
}

func TestEmptiedBodyFileIsNotSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "body")
	probetest.WriteFile(t, path, "question")
	synctest.Test(t, func(t *testing.T) {
		m := httpModule(t, "method: POST\nbody_file: '"+path+"'")
		probetest.WriteFile(t, path, "")
		time.Sleep(option.LookInterval)
		if body, err := m.Prober.(*prober).body.get(); err != nil || string(body) != "question" {
			t.Errorf("%q, %v is sent", body, err)
		}
	})
}

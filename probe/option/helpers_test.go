package option

import (
	"errors"
	"os"
	"testing"

	"rollcall/probe"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantExporterError(t *testing.T, err error, fault probe.Fault) {
	t.Helper()
	var e *probe.ExporterError
	if !errors.As(err, &e) || e.Fault != fault {
		t.Errorf("got %v (%T), want the exporter's fault %s", err, err, fault)
	}
}

func mustRegexp(text string) Regexp {
	re, err := CompileRegexp(text)
	if err != nil {
		panic(err)
	}
	return re
}

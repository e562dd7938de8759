package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestDashboardPictureIsCurrent fails when the dashboard has changed and the picture in the docs has not.
func TestDashboardPictureIsCurrent(t *testing.T) {
	want, err := drawDashboard("../../deploy/grafana/rollcall.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/images/dashboard.svg")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/images/dashboard.svg is not the layout of deploy/grafana/rollcall.json; run `make pictures`")
	}
}

func TestPicturesAreSmall(t *testing.T) {
	pictures, err := filepath.Glob("../../docs/images/*")
	if err != nil || len(pictures) < len(views)+1 {
		t.Fatalf("found %q (%v)", pictures, err)
	}
	for _, path := range pictures {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxBytes {
			t.Errorf("%s has %d bytes, the limit is %d", path, info.Size(), maxBytes)
		}
	}
}

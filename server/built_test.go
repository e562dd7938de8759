package server

import (
	"bytes"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestBuiltAt(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	if got, want := builtAt("2026-01-02T03:04:05Z", logger), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
	tomorrow := time.Now().Add(24 * time.Hour)
	if builtAt(tomorrow.Format(time.RFC3339), logger); !strings.Contains(log.String(), "clock") {
		t.Errorf("a clock before the build's date is not logged: %q", log.String())
	}
}

func TestCommittedAt(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}
	if got := committedAt(&debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, commit}}, true); got.IsZero() {
		t.Error("the time of the commit is not used")
	}
	if got := committedAt(&debug.BuildInfo{}, true); !got.IsZero() {
		t.Errorf("without a commit: %v", got)
	}
	if got := committedAt(nil, false); !got.IsZero() {
		t.Errorf("without build information: %v", got)
	}
}

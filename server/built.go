package server

import (
	"log/slog"
	"runtime/debug"
	"time"
)

// builtAt is when the source of this binary was written, at the latest: the date that make build puts into
// version.BuildDate, or else the commit's that Go recorded. Zero: not known. A clock that says an earlier time is wrong,
// which is logged.
func builtAt(buildDate string, logger *slog.Logger) time.Time {
	built, err := time.Parse(time.RFC3339, buildDate)
	if err != nil {
		built = committedAt(debug.ReadBuildInfo())
	}
	if now := time.Now(); now.Before(built) {
		logger.Error("this machine's clock says a time before rollcall was built: certificates cannot be judged", "now", now, "built", built)
	}
	return built
}

// committedAt is the time of the commit that a program was built from; zero: not known.
func committedAt(info *debug.BuildInfo, ok bool) time.Time {
	if !ok {
		return time.Time{}
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.time" {
			at, _ := time.Parse(time.RFC3339, setting.Value) // zero with an error
			return at
		}
	}
	return time.Time{}
}

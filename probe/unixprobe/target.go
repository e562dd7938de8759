package unixprobe

import (
	"path/filepath"
	"strings"

	"rollcall/probe"
	"rollcall/probe/network"
)

// parseTarget reads the path of a socket, or an abstract name that begins with @, with or without unix:// before it. The
// path becomes absolute. Its error is a *TargetError.
func parseTarget(target string) (string, error) {
	if scheme, rest, ok := strings.Cut(target, "://"); ok {
		if !strings.EqualFold(scheme, "unix") {
			return "", probe.BadTarget(network.SchemeHint(scheme, "unix") + "; a unix module takes the path of a socket, e.g. /run/app.sock")
		}
		target = rest
	}
	switch {
	case target == "" || target == "@":
		return "", probe.BadTarget("names no socket; a unix module takes the path of one, e.g. /run/app.sock")
	case strings.ContainsRune(target, 0):
		return "", probe.BadTarget("holds a NUL")
	case strings.HasPrefix(target, "@"):
		return target, nil
	}
	path, err := filepath.Abs(target)
	if err != nil {
		return "", probe.BadTarget("is a relative path, and the working directory is gone")
	}
	return path, nil
}

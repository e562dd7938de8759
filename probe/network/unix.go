package network

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"rollcall/probe"
)

const (
	// maxUnixPath is the longest path, in bytes, that a socket's address can hold on Linux (unix(7)).
	maxUnixPath = 107
	// busyPause is how long DialUnix waits for a server whose queue of connections is full.
	busyPause = 10 * time.Millisecond
)

// UnixPath follows the symbolic links of a socket's absolute path, as far as it leads. The error says why that is not to
// a file; an abstract name, which begins with @, is no path and stays.
func UnixPath(path string) (string, error) {
	if strings.HasPrefix(path, "@") {
		return path, nil
	}
	resolved, err := filepath.EvalSymlinks(path)
	parent, name := filepath.Dir(path), filepath.Base(path)
	switch {
	case err == nil:
		return resolved, nil
	case parent == path:
		return path, err
	}
	found, _ := UnixPath(parent)
	return filepath.Join(found, name), err
}

// DialUnix opens the stream socket to which an absolute path leads (or an abstract name), after g has judged it; a nil g
// allows every one. The path is followed once, so that what is judged is what is opened. A server whose queue is full is
// tried until ctx ends, as TCP does by itself. The connection is Dial's, and so are the errors.
func DialUnix(ctx context.Context, g probe.Guard, path string) (net.Conn, error) {
	path, err := UnixPath(path)
	if denied := probe.AllowPath(g, path); denied != nil {
		return nil, denied
	}
	if err != nil {
		return nil, classifyUnix(ctx, err)
	}
	if len(path) > maxUnixPath {
		return nil, probe.BadTarget("is a path of over 107 bytes, and a socket's address holds no more")
	}
	c := new(conn)
	c.deadline, _ = ctx.Deadline()
	var dialer net.Dialer
	for {
		opened, err := dialer.DialContext(ctx, "unix", path)
		if err == nil {
			c.Conn = opened
			c.watch(ctx)
			return c, nil
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, classifyUnix(ctx, err)
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			// Not err itself: Classify takes EAGAIN for a lack of ports of ours.
			return nil, Classify(ctx, probe.StageConnect, &net.OpError{Op: "dial", Net: "unix", Err: ctx.Err()})
		}
	}
}

// classifyUnix is Classify for what kept a socket from being opened.
func classifyUnix(ctx context.Context, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EPROTOTYPE) {
		return probe.Fail(probe.StageConnect, probe.ReasonConnectionRefused, err) // there is no stream socket
	}
	return Classify(ctx, probe.StageConnect, err)
}

package server

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// descriptorLimit is how many files the process may open; 0: not known. The Go runtime has already raised the soft limit
// to the hard one.
func descriptorLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Cur
}

// memoryLimit is the bytes that the process may use: the least of GOMEMLIMIT, the limits of its control groups and the
// machine's memory; 0: not known.
func memoryLimit() uint64 {
	limit := uint64(debug.SetMemoryLimit(-1)) // a negative argument changes nothing
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err == nil {
		limit = min(limit, uint64(info.Totalram)*uint64(info.Unit))
	}
	if groups, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		limit = min(limit, cgroupMemoryLimit("/sys/fs/cgroup", groups))
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// cgroupMemoryLimit is the least memory.max (version 2; version 1: memory.limit_in_bytes) from the group that
// /proc/self/cgroup names up to the root. Without any limit it is math.MaxInt64.
func cgroupMemoryLimit(root string, groups []byte) uint64 {
	limit := uint64(math.MaxInt64)
	for line := range bytes.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(fields) != 3 {
			continue
		}
		dir, file := root, "memory.max"
		switch fields[1] {
		case "":
		case "memory":
			dir, file = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		for group := filepath.Clean("/" + fields[2]); ; group = filepath.Dir(group) {
			text, err := os.ReadFile(filepath.Join(dir, group, file))
			if err == nil {
				if value, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63); err == nil {
					limit = min(limit, value)
				}
			}
			if group == "/" {
				break
			}
		}
	}
	return limit
}

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

	"golang.org/x/sys/unix"
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

// memoryLimit is the bytes that the process may use: the least of GOMEMLIMIT, the limits of its control groups, what
// RLIMIT_AS leaves and the machine's memory; 0: not known.
func memoryLimit() uint64 {
	limit := uint64(debug.SetMemoryLimit(-1)) // a negative argument changes nothing
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err == nil {
		limit = min(limit, uint64(info.Totalram)*uint64(info.Unit))
	}
	if groups, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		limit = min(limit, cgroupMemoryLimit("/sys/fs/cgroup", groups))
	}
	var space unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &space); err == nil {
		statm, _ := os.ReadFile("/proc/self/statm") // unreadable: nothing is known to be taken
		limit = min(limit, spaceLeft(space.Cur, statm))
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// spaceLeft is how much of an address space of limit bytes the process has not taken yet, by its /proc/self/statm. The Go
// runtime reserves more than a gigabyte that it never uses. Without a limit it is math.MaxInt64.
func spaceLeft(limit uint64, statm []byte) uint64 {
	if limit >= math.MaxInt64 {
		return math.MaxInt64
	}
	pages, _, _ := strings.Cut(string(statm), " ")
	taken, _ := strconv.ParseUint(pages, 10, 40) // 0 with an error
	taken *= uint64(os.Getpagesize())
	return max(limit, taken+1) - taken
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

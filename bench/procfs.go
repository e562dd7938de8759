//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// cpuTime returns the CPU time of a process since its start. The kernel's clock of the process counts nanoseconds and includes
// threads that have ended; /proc/<pid>/stat has the same in ticks of 10 ms, too coarse for a second, but separated into user
// and system time.
func cpuTime(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED: the bits below the inverted pid, see clock_getcpuclockid(3)
	clock := uintptr(^pid)<<3 | schedClock
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0, fmt.Errorf("reading the CPU clock of process %d: %w", pid, errno)
	}
	return time.Duration(t.Nano()), nil
}

// ticks are the two shares of a process's time, in the kernel's unit for /proc: hundredths of a second.
type ticks struct{ user, system uint64 }

// parseStat reads utime and stime from the text of /proc/<pid>/stat. The name in the second field may contain
// spaces and parentheses, so fields are counted from the last closing parenthesis.
func parseStat(text string) (ticks, error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return ticks{}, errors.New("no process name in parentheses")
	}
	fields := strings.Fields(text[end+1:])
	const user, system = 14 - 3, 15 - 3 // numbered in proc(5) from 1; the third field is the first after the name
	if len(fields) <= system {
		return ticks{}, fmt.Errorf("%d fields after the name, want at least %d", len(fields), system+1)
	}
	var t ticks
	var err error
	if t.user, err = strconv.ParseUint(fields[user], 10, 64); err != nil {
		return ticks{}, fmt.Errorf("utime: %w", err)
	}
	if t.system, err = strconv.ParseUint(fields[system], 10, 64); err != nil {
		return ticks{}, fmt.Errorf("stime: %w", err)
	}
	return t, nil
}

// memory is a process's resident memory in KiB, now and at its peak since the last reset.
type memory struct{ RSS, Peak int64 }

// parseStatus reads VmRSS and VmHWM from the text of /proc/<pid>/status.
func parseStatus(text string) (memory, error) {
	m := memory{RSS: -1, Peak: -1}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		var into *int64
		switch name {
		case "VmRSS":
			into = &m.RSS
		case "VmHWM":
			into = &m.Peak
		default:
			continue
		}
		number, ok := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		if !ok {
			return memory{}, fmt.Errorf("%s: %q is not in kB", name, strings.TrimSpace(rest))
		}
		var err error
		if *into, err = strconv.ParseInt(strings.TrimSpace(number), 10, 64); err != nil {
			return memory{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if m.RSS < 0 || m.Peak < 0 {
		return memory{}, errors.New("VmRSS or VmHWM is missing")
	}
	return m, nil
}

func readTicks(pid int) (ticks, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ticks{}, err
	}
	return parseStat(string(text))
}

func readMemory(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	return parseStatus(string(text))
}

// resetPeak resets the peak of the resident memory to the current value.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// countDescriptors returns the number of open files and sockets of the process.
func countDescriptors(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}

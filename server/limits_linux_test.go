package server

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestCgroupMemoryLimitIsTheLeastUpToTheRoot(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"system.slice/memory.max":                    "200000\n",
		"system.slice/rollcall.service/memory.max":   "max\n",
		"other.slice/memory.max":                     "5\n",
		"memory/docker/memory.limit_in_bytes":        "9000\n",
		"memory/docker/abc/memory.limit_in_bytes":    "9223372036854771712\n",
		"memory/docker/nothing/memory.limit_in_byte": "1\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, groups string
		want         uint64
	}{
		{"version 2, the limit is on the slice", "0::/system.slice/rollcall.service\n", 200000},
		{"version 2, no limit", "0::/\n", math.MaxInt64},
		{"version 1 among other controllers", "12:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n", 9000},
		{"nonsense", "what is this\n::\n", math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := cgroupMemoryLimit(root, []byte(c.groups)); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestLimitsAreKnownOnLinux(t *testing.T) {
	if descriptorLimit() == 0 || memoryLimit() == 0 {
		t.Errorf("descriptors %d, memory %d: both are known on Linux", descriptorLimit(), memoryLimit())
	}
}

func TestSpaceLeftOfAnAddressSpace(t *testing.T) {
	page := uint64(os.Getpagesize())
	for _, c := range []struct {
		limit uint64
		statm string
		want  uint64
	}{
		{math.MaxUint64, "100 20 3 4 0 5 0\n", math.MaxInt64},
		{1000 * page, "100 20 3 4 0 5 0\n", 900 * page},
		{1000 * page, "", 1000 * page},
		{50 * page, "100 20 3 4 0 5 0\n", 1},
	} {
		if got := spaceLeft(c.limit, []byte(c.statm)); got != c.want {
			t.Errorf("of %d with %q: %d, want %d", c.limit, c.statm, got, c.want)
		}
	}
}

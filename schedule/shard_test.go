package schedule

import (
	"fmt"
	"testing"

	"rollcall/probe"
)

func identities(n int) []probe.Key {
	all := make([]probe.Key, n)
	for i := range all {
		all[i] = probe.Key{Module: "http_2xx", Target: fmt.Sprintf("https://host-%d.example.com/", i)}
	}
	return all
}

// TestShardsCoverEachTarget: exactly as many shards as there are replicas keep a target.
func TestShardsCoverEachTarget(t *testing.T) {
	for _, c := range []struct{ targets, of, replicas int }{{100_000, 8, 1}, {10_000, 8, 2}, {5_000, 3, 3}, {1_000, 1, 1}, {1_000, 2, 5}, {1_000, 100, 2}} {
		kept := make([]int, c.of+1)
		for _, id := range identities(c.targets) {
			n := 0
			for number := 1; number <= c.of; number++ {
				if (Shard{Number: number, Of: c.of, Replicas: c.replicas}).Keeps(id) {
					n++
					kept[number]++
				}
			}
			if want := min(c.replicas, c.of); n != want {
				t.Fatalf("%v is kept by %d of %d shards, want %d", id, n, c.of, want)
			}
		}
		fair := c.targets * min(c.replicas, c.of) / c.of
		for number := 1; number <= c.of && fair >= 1000; number++ {
			if kept[number] < fair*9/10 || kept[number] > fair*11/10 {
				t.Errorf("%d targets: shard %d of %d keeps %d, a fair part is %d", c.targets, number, c.of, kept[number], fair)
			}
		}
	}
}

// TestNewShardMovesOnlyWhatItTakes: from n to n+1 shards, a target stays where it is or goes to the new one, which are at
// most 1/(n+1) of them but for chance.
func TestNewShardMovesOnlyWhatItTakes(t *testing.T) {
	ids := identities(20_000)
	for n := 1; n <= 16; n++ {
		moved := 0
		for _, id := range ids {
			for number := 1; number <= n; number++ {
				before := Shard{Number: number, Of: n}.Keeps(id)
				after := Shard{Number: number, Of: n + 1}.Keeps(id)
				if after && !before {
					t.Fatalf("from %d shards to %d, shard %d takes %v from another", n, n+1, number, id)
				}
				if before && !after {
					moved++
				}
			}
		}
		if fair := len(ids) / (n + 1); moved > fair+fair/10 {
			t.Errorf("from %d shards to %d, %d of %d targets move; 1/(n+1) are %d", n, n+1, moved, len(ids), fair)
		}
	}
}

func TestParseShard(t *testing.T) {
	for text, want := range map[string]Shard{"1/1": {Number: 1, Of: 1}, "2/8": {Number: 2, Of: 8}, "8/8": {Number: 8, Of: 8}} {
		if got, err := ParseShard(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if got, err := ParseShard("rollcall-west-1/8"); err != nil || got != (Shard{Number: 2, Of: 8}) {
		t.Errorf("the name of a pod: %v, %v", got, err)
	}
	for _, text := range []string{"", "rollcall/8", "rollcall-8/8", "rollcall-/8", "/8", "0/8", "9/8", "1", "1/0", "a/b", "-1/2", "1/9999999"} {
		if got, err := ParseShard(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

func BenchmarkShard(b *testing.B) {
	id, shard := identities(1)[0], Shard{Number: 3, Of: 8}
	for b.Loop() {
		shard.Keeps(id)
	}
}

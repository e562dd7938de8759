package schedule

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"rollcall/probe"
)

// Shard is the part of the targets that one of several processes with the same configuration keeps. The zero value keeps
// all.
type Shard struct {
	Number   int // from 1
	Of       int
	Replicas int // processes that keep each target; 0 is taken as 1
}

// ParseShard reads "2/8": the second of eight. In place of the number it takes the name of a pod of a Kubernetes
// StatefulSet, which ends in its ordinal and counts from 0: "rollcall-1/8" is the same.
func ParseShard(text string) (Shard, error) {
	number, of, found := strings.Cut(text, "/")
	n, err1 := strconv.Atoi(number)
	if dash := strings.LastIndexByte(number, '-'); dash > 0 {
		n, err1 = strconv.Atoi(number[dash+1:])
		n++
	}
	all, err2 := strconv.Atoi(of)
	if !found || err1 != nil || err2 != nil || n < 1 || all < 1 || n > all || all > maxShards {
		return Shard{}, fmt.Errorf("%q is no shard; accepted: its number, from 1, or the name of a StatefulSet's pod, of how many, up to %d: e.g. 2/8 or rollcall-1/8", text, maxShards)
	}
	return Shard{Number: n, Of: all}, nil
}

// maxShards bounds the work for each target.
const maxShards = 1024

// Keeps reports whether the target falls to the shard, by rendezvous hashing: every shard has a weight for the target,
// and the heaviest have it. When a shard is added, only the targets that it takes change their place.
func (s Shard) Keeps(t probe.Key) bool {
	if s.Of <= 1 {
		return true
	}
	key := fnv.New64a()
	for _, part := range [...]string{t.Module, t.Target, t.Hostname} {
		key.Write([]byte(part))
		key.Write([]byte{0})
	}
	name := key.Sum64()
	own, heavier := weight(name, s.Number), 0
	for n := 1; n <= s.Of; n++ {
		if w := weight(name, n); w > own || w == own && n < s.Number {
			if heavier++; heavier >= max(s.Replicas, 1) {
				return false
			}
		}
	}
	return true
}

// weight mixes a target's hash with a shard's number: the finalizer of SplitMix64, whose outputs for neighbouring
// numbers are independent.
func weight(name uint64, shard int) uint64 {
	x := name + uint64(shard)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// String is how --shard is written.
func (s Shard) String() string { return fmt.Sprintf("%d/%d", max(s.Number, 1), max(s.Of, 1)) }

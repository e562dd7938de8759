// Package boltfiletest damages files for the tests of what is kept in them.
package boltfiletest

import (
	"math/rand/v2"
	"slices"
)

// Damage returns a damaged copy of a file's content, which is longer than a page of 4096 bytes. The kinds take turns: pages of
// garbage, an end that is missing, flipped bits.
func Damage(rng *rand.Rand, sound []byte, turn int) []byte {
	content := slices.Clone(sound)
	switch turn % 3 {
	case 0:
		for range 1 + turn%4 {
			at := rng.IntN(len(content) - 4096)
			for i := range 4096 {
				content[at+i] = byte(rng.Uint32())
			}
		}
	case 1:
		content = content[:rng.IntN(len(content))]
	case 2:
		for range 1 + rng.IntN(200) {
			content[rng.IntN(len(content))] ^= 1 << rng.IntN(8)
		}
	}
	return content
}

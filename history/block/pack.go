package block

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxRow bounds what a row is unpacked to: a damaged one must not fill the memory.
const maxRow = 64 << 20

// The encoder takes 4 MiB, so it is made for the first row.
var (
	packer   = sync.OnceValue(newPacker)
	unpacker = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxRow), zstd.WithDecoderLowmem(true)))
)

func newPacker() *zstd.Encoder {
	return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true)))
}

// must is for options, which are right or wrong for good.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("block: %v", err))
	}
	return v
}

// Pack compresses a row. What it returns has a checksum, since bbolt has none for its pages.
func Pack(row []byte) []byte { return packer().EncodeAll(row, nil) }

// Unpack returns the row, or ErrFormat. It writes it into the memory of into, which may be nil.
func Unpack(packed, into []byte) ([]byte, error) {
	row, err := unpacker.DecodeAll(packed, into[:0])
	if err != nil || len(packed) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return row, nil
}

package main

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
)

// shrink encodes a screenshot again with its 256 most frequent colours, which takes a third of chromium's bytes. Pages of
// text and tables look the same.
func shrink(screenshot []byte) ([]byte, error) {
	picture, err := png.Decode(bytes.NewReader(screenshot))
	if err != nil {
		return nil, err
	}
	bounds := picture.Bounds()
	frequency := map[color.Color]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			frequency[color.RGBAModel.Convert(picture.At(x, y))]++
		}
	}
	palette := slices.SortedFunc(maps.Keys(frequency), func(a, b color.Color) int {
		return cmp.Or(cmp.Compare(frequency[b], frequency[a]), cmp.Compare(number(a), number(b)))
	})
	palette = palette[:min(len(palette), 256)]
	nearest := map[color.Color]uint8{}
	for c := range frequency {
		nearest[c] = uint8(color.Palette(palette).Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, nearest[color.RGBAModel.Convert(picture.At(x, y))])
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&out, small)
	return out.Bytes(), err
}

// number orders colours that are equally frequent.
func number(c color.Color) uint32 {
	r, g, b, _ := c.RGBA()
	return r>>8<<16 | g>>8<<8 | b>>8
}

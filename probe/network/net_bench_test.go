package network

import (
	"testing"
)

func BenchmarkResolveLiteral(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Resolver{Fallback: true}).Resolve(b.Context(), "192.0.2.1"); err != nil {
			b.Fatal(err)
		}
	}
}

package tlsclient

import (
	"math/big"
	"testing"
)

func TestSerialNumbersKeepLeadingZeros(t *testing.T) {
	for _, want := range []string{"00", "01", "0abc", "beef", "03a1b2c3d4e5f60718293a4b5c6d7e8f9011"} {
		n, ok := new(big.Int).SetString(want, 16)
		if !ok {
			t.Fatal(want)
		}
		if got := serialNumber(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

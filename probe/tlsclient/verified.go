package tlsclient

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// verifications remembers for which certificates a chain to a root was found: checking the same signatures anew at
// every probe costs as much as the rest of a probe does. Only success is remembered, for exactly the same presented
// certificates, roots and name, and only while every certificate of every chain that was found is valid; so what is
// remembered cannot outlive an expiry. The peer proves at each handshake that it has the leaf's key; that is
// crypto/tls's doing and never skipped. The zero value is ready for many goroutines.
type verifications struct {
	mu    sync.Mutex
	roots *x509.CertPool // that known is about; nil: the system's, which Go loads once
	known map[verifiedKey]verified
}

// verifiedKey is all that verifying depends on beside the time and the roots. Roots never change: a reloaded file
// makes new ones, with which remembering starts anew, so that the old ones are not kept.
type verifiedKey struct {
	name      string
	presented [sha256.Size]byte
}

// verified is what was found at the time of checking.
type verified struct {
	expiry      time.Time // chainExpiry of the chains
	from, until time.Time // every certificate of every chain is valid then
	checked     time.Time
}

const (
	// maxVerified bounds how many are remembered. When that is reached, remembering starts anew.
	maxVerified = 16 << 10
	// verifiedFor is how long an entry serves. With time a root that was not valid yet could make one more chain,
	// with a later expiry; that shows after this time at the latest.
	verifiedFor = 5 * time.Minute
)

// chainExpiry verifies like verify, and returns when the last of the chains ends.
func (v *verifications) chainExpiry(presented []*x509.Certificate, roots *x509.CertPool, name string) (time.Time, error) {
	key := verifiedKey{name, digest(presented)}
	now := time.Now()
	v.mu.Lock()
	if v.roots != roots {
		v.roots, v.known = roots, nil
	}
	found, ok := v.known[key]
	v.mu.Unlock()
	if ok && !now.Before(found.from) && !now.After(found.until) && now.Sub(found.checked) < verifiedFor {
		return found.expiry, nil
	}
	chains, err := verify(presented, roots, name)
	if err != nil {
		return time.Time{}, err
	}
	all := slices.Concat(chains...)
	lastValid := slices.MaxFunc(all, func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) })
	found = verified{expiry: chainExpiry(chains), from: lastValid.NotBefore, until: firstToExpire(all).NotAfter, checked: now}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.roots != roots {
		return found.expiry, nil // the file has been reloaded meanwhile
	}
	if v.known == nil || len(v.known) >= maxVerified {
		v.known = make(map[verifiedKey]verified)
	}
	v.known[key] = found
	return found.expiry, nil
}

// digest tells lists of certificates apart, also those that are the same bytes cut at other places.
func digest(certificates []*x509.Certificate) (sum [sha256.Size]byte) {
	h := sha256.New()
	var length [8]byte
	for _, c := range certificates {
		binary.BigEndian.PutUint64(length[:], uint64(len(c.Raw)))
		h.Write(length[:])
		h.Write(c.Raw)
	}
	h.Sum(sum[:0])
	return sum
}

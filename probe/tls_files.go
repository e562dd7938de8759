package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/config"
)

// brokenGrace is how long the last good content serves after a file vanished or broke. It bridges a rotation that
// writes certificate and key one after the other; a file that stays broken is not kept quiet.
const brokenGrace = time.Minute

// tlsMaterial is what the CA, certificate and key options come to.
type tlsMaterial struct {
	roots       *x509.CertPool   // nil: the system's
	certificate *tls.Certificate // an empty one when none is configured
}

// tlsFiles holds the material of a tls_config and reads it again when one of its files changed. For a minute a
// broken file is bridged with the last good content; then it is the exporter's fault, FaultFile, and no verdict
// about any target.
type tlsFiles struct {
	path    string
	options config.TLSConfig
	born    time.Time    // what next counts from: the wall clock may jump
	next    atomic.Int64 // when to look again
	state   atomic.Pointer[tlsState]

	mu     sync.Mutex // held by the one who looks
	stamps []fileStamp
}

// tlsState is the material in use, and what is wrong with the files now.
type tlsState struct {
	material    *tlsMaterial
	err         error // nil: material is what the files say
	brokenSince time.Time
}

// fileStamp is what a file was when somebody last looked.
type fileStamp struct {
	name string
	info os.FileInfo // nil: it was not there
}

func newTLSFiles(path string, c *config.TLSConfig) (*tlsFiles, error) {
	f := &tlsFiles{path: path, options: *c, born: time.Now()}
	for _, name := range []string{c.CAFile, c.CertFile, c.KeyFile} {
		if name != "" {
			info, _ := os.Stat(name) // that it is not there is load's to say
			f.stamps = append(f.stamps, fileStamp{name, info})
		}
	}
	material, err := f.load()
	if err != nil {
		return nil, err
	}
	f.state.Store(&tlsState{material: material})
	f.next.Store(int64(lookInterval))
	return f, nil
}

// current is the material for a handshake now. Its error is an *ExporterError.
func (f *tlsFiles) current() (*tlsMaterial, error) {
	if len(f.stamps) > 0 {
		elapsed := int64(time.Since(f.born))
		if next := f.next.Load(); elapsed >= next && f.next.CompareAndSwap(next, elapsed+int64(lookInterval)) {
			f.look() // one of the probes; the others go on with what there is
		}
	}
	s := f.state.Load()
	if s.err != nil && time.Since(s.brokenSince) > brokenGrace {
		return nil, &ExporterError{FaultFile, fmt.Errorf("reading the files of %s again: %w", f.path, s.err)}
	}
	return s.material, nil
}

func (f *tlsFiles) look() {
	if !f.mu.TryLock() {
		return // a slow disk: somebody is still at it
	}
	defer f.mu.Unlock()
	different := false
	for i, stamp := range f.stamps {
		info, _ := os.Stat(stamp.name)
		if changed(stamp.info, info) {
			f.stamps[i].info, different = info, true
		}
	}
	// What could not be read is tried again: a stamp tells neither of permissions nor of descriptors.
	old := f.state.Load()
	if !different && old.err == nil {
		return
	}
	material, err := f.load()
	if err == nil {
		f.state.Store(&tlsState{material: material})
		return
	}
	broken := &tlsState{material: old.material, err: err, brokenSince: old.brokenSince}
	if old.err == nil {
		broken.brokenSince = time.Now()
	}
	f.state.Store(broken)
}

// load reads and parses everything. Its errors are joined *OptionErrors and quote nothing of a key.
func (f *tlsFiles) load() (*tlsMaterial, error) {
	c := &f.options
	var errs []error
	read := func(option, inline, file string) []byte {
		switch {
		case inline != "" && file != "":
			errs = append(errs, optionErrorf(f.path+"."+option+"_file", "conflicts with %s; accepted: one of the two", option))
		case file != "":
			b, err := os.ReadFile(file)
			if err != nil {
				errs = append(errs, optionErrorf(f.path+"."+option+"_file", "cannot be read: %w", err))
			}
			return b
		}
		return []byte(inline)
	}
	ca := read("ca", c.CA, c.CAFile)
	cert := read("cert", c.Cert, c.CertFile)
	key := read("key", string(c.Key), c.KeyFile)

	m := &tlsMaterial{certificate: new(tls.Certificate)}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if c.CA != "" || c.CAFile != "" {
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(ca) {
			errs = append(errs, optionErrorf(f.option("ca", c.CAFile), "holds no certificate in PEM form"))
		}
	}
	hasCert, hasKey := c.Cert != "" || c.CertFile != "", c.Key != "" || c.KeyFile != ""
	switch {
	case hasCert && !hasKey:
		errs = append(errs, optionErrorf(f.option("cert", c.CertFile), "needs its key; accepted: key, key_file"))
	case hasKey && !hasCert:
		errs = append(errs, optionErrorf(f.option("key", c.KeyFile), "needs its certificate; accepted: cert, cert_file"))
	case hasCert:
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			errs = append(errs, optionErrorf(f.option("cert", c.CertFile), "is no usable pair with its key: %w", err))
		}
		m.certificate = &pair
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return m, nil
}

// option is the path of the option that was used: the inline one, or that of the file.
func (f *tlsFiles) option(name, file string) string {
	if file != "" {
		name += "_file"
	}
	return f.path + "." + name
}

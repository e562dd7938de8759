package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/prometheus/common/config"
)

// tlsMaterial is what the CA, certificate and key options come to.
type tlsMaterial struct {
	roots       *x509.CertPool   // nil: the system's
	certificate *tls.Certificate // an empty one when none is configured
}

// tlsFiles are the files of a tls_config, and its inline values.
type tlsFiles struct {
	path    string
	options config.TLSConfig
}

func followTLS(path string, c *config.TLSConfig) (*followed[*tlsMaterial], error) {
	f := &tlsFiles{path: path, options: *c}
	return follow("the files of "+path, f.load, c.CAFile, c.CertFile, c.KeyFile)
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
			b, err := ReadFile(file)
			if err != nil {
				errs = append(errs, unusablef(f.path+"."+option+"_file", "cannot be read: %w", err))
			}
			return b
		}
		return []byte(inline)
	}
	ca := read("ca", c.CA, c.CAFile)
	cert := read("cert", c.Cert, c.CertFile)
	key := read("key", string(c.Key), c.KeyFile)

	readable := len(errs) == 0
	m := &tlsMaterial{certificate: new(tls.Certificate)}
	if readable && (c.CA != "" || c.CAFile != "") {
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(ca) {
			errs = append(errs, unusablef(f.option("ca", c.CAFile), "holds no certificate in PEM form"))
		}
	}
	hasCert, hasKey := c.Cert != "" || c.CertFile != "", c.Key != "" || c.KeyFile != ""
	switch {
	case hasCert && !hasKey:
		errs = append(errs, optionErrorf(f.option("cert", c.CertFile), "needs its key; accepted: key, key_file"))
	case hasKey && !hasCert:
		errs = append(errs, optionErrorf(f.option("key", c.KeyFile), "needs its certificate; accepted: cert, cert_file"))
	case hasCert && readable:
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			errs = append(errs, unusablef(f.option("cert", c.CertFile), "is no usable pair with its key: %w", err))
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

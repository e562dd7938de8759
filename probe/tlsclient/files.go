package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/prometheus/common/config"

	"rollcall/probe/option"
)

// tlsMaterial is what the CA, certificate and key options come to.
type material struct {
	roots       *x509.CertPool   // nil: the system's
	certificate *tls.Certificate // an empty one when none is configured
}

// tlsFiles are the files of a tls_config, and its inline values.
type files struct {
	path    string
	options config.TLSConfig
}

func followTLS(path string, c *config.TLSConfig) (*option.Watched[*material], error) {
	f := &files{path: path, options: *c}
	return option.Watch("the files of "+path, f.load, c.CAFile, c.CertFile, c.KeyFile)
}

// load reads and parses everything. Its errors are joined *option.Errors and quote nothing of a key.
func (f *files) load() (*material, error) {
	c := &f.options
	var errs []error
	read := func(name, inline, file string) []byte {
		switch {
		case inline != "" && file != "":
			errs = append(errs, option.Errorf(f.path+"."+name+"_file", "conflicts with %s; accepted: one of the two", name))
		case file != "":
			b, err := option.ReadFile(file)
			if err != nil {
				errs = append(errs, option.Unusablef(f.path+"."+name+"_file", "cannot be read: %w", err))
			}
			return b
		}
		return []byte(inline)
	}
	ca := read("ca", c.CA, c.CAFile)
	cert := read("cert", c.Cert, c.CertFile)
	key := read("key", string(c.Key), c.KeyFile)

	readable := len(errs) == 0
	m := &material{certificate: new(tls.Certificate)}
	if readable && (c.CA != "" || c.CAFile != "") {
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(ca) {
			errs = append(errs, option.Unusablef(f.option("ca", c.CAFile), "holds no certificate in PEM form"))
		}
	}
	hasCert, hasKey := c.Cert != "" || c.CertFile != "", c.Key != "" || c.KeyFile != ""
	switch {
	case hasCert && !hasKey:
		errs = append(errs, option.Errorf(f.option("cert", c.CertFile), "needs its key; accepted: key, key_file"))
	case hasKey && !hasCert:
		errs = append(errs, option.Errorf(f.option("key", c.KeyFile), "needs its certificate; accepted: cert, cert_file"))
	case hasCert && readable:
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			errs = append(errs, option.Unusablef(f.option("cert", c.CertFile), "is no usable pair with its key: %w", err))
		}
		m.certificate = &pair
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return m, nil
}

// option is the path of the option that was used: the inline one, or that of the file.
func (f *files) option(name, file string) string {
	if file != "" {
		name += "_file"
	}
	return f.path + "." + name
}

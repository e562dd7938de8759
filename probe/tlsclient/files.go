package tlsclient

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/prometheus/common/config"

	"rollcall/probe/option"
)

// material is what the CA, certificate and key options come to.
type material struct {
	roots       *x509.CertPool   // nil: the system's
	certificate *tls.Certificate // an empty one when none is configured
}

// loadMaterial reads and parses all of c, which stands at path. Its errors are joined *option.Errors and quote nothing of a
// key.
func loadMaterial(path string, c *config.TLSConfig) (*material, error) {
	var errs option.Collector
	read := func(name, inline, file string) []byte {
		switch {
		case inline != "" && file != "":
			errs.Addf(path+"."+name+"_file", "conflicts with %s; accepted: one of the two", name)
		case file != "":
			b, err := option.ReadFile(file)
			if err != nil {
				errs.Unusablef(path+"."+name+"_file", "cannot be read: %w", err)
			}
			return b
		}
		return []byte(inline)
	}
	used := func(name, file string) string { // the path of the option: the inline one, or that of the file
		if file != "" {
			name += "_file"
		}
		return path + "." + name
	}
	ca := read("ca", c.CA, c.CAFile)
	cert := read("cert", c.Cert, c.CertFile)
	key := read("key", string(c.Key), c.KeyFile)

	readable := errs.Err() == nil
	m := &material{certificate: new(tls.Certificate)}
	if readable && (c.CA != "" || c.CAFile != "") {
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(ca) {
			errs.Unusablef(used("ca", c.CAFile), "holds no certificate in PEM form")
		}
	}
	hasCert, hasKey := c.Cert != "" || c.CertFile != "", c.Key != "" || c.KeyFile != ""
	switch {
	case hasCert && !hasKey:
		errs.Addf(used("cert", c.CertFile), "needs its key; accepted: key, key_file")
	case hasKey && !hasCert:
		errs.Addf(used("key", c.KeyFile), "needs its certificate; accepted: cert, cert_file")
	case hasCert && readable:
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			errs.Unusablef(used("cert", c.CertFile), "is no usable pair with its key: %w", err)
		}
		m.certificate = &pair
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

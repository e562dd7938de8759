package zoo

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// Config is a server's TLS configuration with one certificate; edit changes it.
func Config(cert tls.Certificate, edit ...func(*tls.Config)) *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, e := range edit {
		e(c)
	}
	return c
}

// Only limits a Config to one TLS version.
func Only(version uint16) func(*tls.Config) {
	return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }
}

// Cipher limits a Config to TLS 1.2 and one cipher suite, so that it does not depend on the hardware.
func Cipher(suite uint16) func(*tls.Config) {
	return func(c *tls.Config) { Only(tls.VersionTLS12)(c); c.CipherSuites = []uint16{suite} }
}

// DemandClient makes a Config require a client certificate that the root signed.
func DemandClient(c *tls.Config) {
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = x509.NewCertPool()
	c.ClientCAs.AddCert(root().cert)
}

// Refuse makes a Config answer every handshake with an alert.
func Refuse(c *tls.Config) {
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("not today") }
}

// TLS starts a server with TLS from the first byte and passes the decrypted connection to handle.
func TLS(t testing.TB, config *tls.Config, handle func(net.Conn)) string {
	t.Helper()
	return TCP(t, TLSPeer(config, handle))
}

// TLSPeer is what TLS does on a connection.
func TLSPeer(config *tls.Config, handle func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		secure := tls.Server(c, config)
		if secure.Handshake() != nil {
			return
		}
		handle(secure)
		secure.Close()
	}
}

// PostgreSQL starts TLS after an SSLRequest of exactly eight bytes, as PostgreSQL does: a byte more is an error there.
func PostgreSQL(config *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		request := make([]byte, 64)
		if n, err := c.Read(request); err != nil || string(request[:n]) != "\x00\x00\x00\x08\x04\xd2\x16\x2f" {
			return
		}
		io.WriteString(c, "S")
		TLSPeer(config, hold)(c)
	}
}

// STARTTLS starts a server that speaks like a mail server and supports STARTTLS. It sends the bytes in injected in plain text
// after the reply to STARTTLS, like an attacker on the path.
func STARTTLS(t testing.TB, config *tls.Config, injected string) string {
	t.Helper()
	return TCP(t, STARTTLSPeer(config, injected))
}

// STARTTLSPeer is what STARTTLS does on a connection.
func STARTTLSPeer(config *tls.Config, injected string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, "220 mail.zoo.test ESMTP\r\n")
		for lines := bufio.NewReader(c); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			switch verb := strings.ToUpper(strings.TrimSpace(line)); {
			case strings.HasPrefix(verb, "EHLO"):
				io.WriteString(c, "250-mail.zoo.test\r\n250 STARTTLS\r\n")
			case verb == "STARTTLS":
				io.WriteString(c, "220 go ahead\r\n"+injected)
				secure := tls.Server(c, config)
				if secure.Handshake() != nil {
					return
				}
				Dialogue("", map[string]string{"EHLO": "250 mail.zoo.test\r\n", "QUIT": "221 bye\r\n"})(secure)
				return
			case verb == "QUIT":
				io.WriteString(c, "221 bye\r\n")
				return
			default:
				io.WriteString(c, "500 what?\r\n")
			}
		}
	}
}

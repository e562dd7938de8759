package httpprobe

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// records writes TLS 1.3 records with the keys of a server's connection, also those that crypto/tls does not write.
type records struct {
	raw  net.Conn
	aead cipher.AEAD
	iv   []byte
	n    uint64
}

// newRecords takes the secret from a key log. The server has written nothing since its handshake.
func newRecords(t *testing.T, raw net.Conn, keyLog string) *records {
	var secret []byte
	for line := range strings.Lines(keyLog) {
		if fields := strings.Fields(line); fields[0] == "SERVER_TRAFFIC_SECRET_0" {
			secret, _ = hex.DecodeString(fields[2])
		}
	}
	expand := func(label string, length int) []byte { // RFC 8446, section 7.1
		info := append(binary.BigEndian.AppendUint16(nil, uint16(length)), byte(len("tls13 ")+len(label)))
		info = append(info, "tls13 "+label+"\x00"...)
		out, err := hkdf.Expand(sha256.New, secret, string(info), length)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	block, err := aes.NewCipher(expand("key", 16))
	if err != nil {
		t.Error(err)
		return nil
	}
	aead, _ := cipher.NewGCM(block)
	return &records{raw: raw, aead: aead, iv: expand("iv", 12)}
}

// write sends one record of that inner type (RFC 8446, section 5.2).
func (r *records) write(kind byte, payload ...byte) error {
	inner := append(bytes.Clone(payload), kind)
	header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+r.aead.Overhead()))
	nonce := bytes.Clone(r.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, r.n) {
		nonce[4+i] ^= b
	}
	r.n++
	_, err := r.raw.Write(r.aead.Seal(header, nonce, inner, header))
	return err
}

// TestFloodsOfTLSEndEarly has servers that send records without end which hold nothing, or break TLS after the handshake.
func TestFloodsOfTLSEndEarly(t *testing.T) {
	const handshake, data, alert = 22, 23, 21
	certified, options := serveTLS(t, false, func(http.ResponseWriter, *http.Request) {})
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun"
	for name, c := range map[string]struct {
		begins string
		flood  func(*records) error
		stage  probe.Stage
	}{
		"empty records":           {"", func(r *records) error { return r.write(data) }, probe.StageResponse},
		"empty records in a body": {head, func(r *records) error { return r.write(data) }, probe.StageBody},
		"key updates":             {"", func(r *records) error { return r.write(handshake, 24, 0, 0, 1, 0) }, probe.StageResponse},
		"warnings":                {"", func(r *records) error { return r.write(alert, 1, 90) }, probe.StageResponse},
		"half a message": {"", func(r *records) error {
			return r.write(handshake, append([]byte{4, 0xff, 0xff, 0xff}, make([]byte, 1000)...)...)
		}, probe.StageResponse},
		"a record that is not TLS": {head, func(r *records) error { _, err := io.WriteString(r.raw, "HTTP/1.1 200 OK\r\n\r\n"); return err }, probe.StageBody},
		"a changed record":         {head, func(r *records) error { r.n++; return r.write(data, 'x') }, probe.StageBody},
	} {
		t.Run(name, func(t *testing.T) {
			target := "https://" + rawServer(t, func(raw net.Conn) {
				var keys bytes.Buffer
				secured := tls.Server(raw, &tls.Config{Certificates: certified.TLS.Certificates, KeyLogWriter: &keys, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true})
				if _, err := secured.Read(make([]byte, 4096)); err != nil {
					return
				}
				r := newRecords(t, raw, keys.String())
				if c.begins != "" {
					r.write(data, []byte(c.begins)...)
				}
				for c.flood(r) == nil {
				}
			})
			r := probetest.Ask(t, httpModule(t, options), probe.Request{Target: target, Timeout: time.Minute})
			probetest.WantDown(t, r, c.stage, probe.ReasonProtocolError)
		})
	}
}

// TestFloodsBeforeTLSEndEarly has servers that answer a ClientHello by records without end.
func TestFloodsBeforeTLSEndEarly(t *testing.T) {
	for name, record := range map[string][]byte{
		"empty records":     {22, 3, 3, 0, 0},
		"warnings":          {21, 3, 3, 0, 2, 1, 90},
		"changes of cipher": {20, 3, 3, 0, 1, 1},
		"half a message":    append([]byte{22, 3, 3, 0x10, 0, 2, 0xff, 0xff, 0xff}, make([]byte, 0x1000-4)...),
	} {
		target := "https://" + rawServer(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			for {
				if _, err := c.Write(record); err != nil {
					return
				}
			}
		})
		r := probetest.Ask(t, httpModule(t, ""), probe.Request{Target: target, Timeout: time.Minute})
		reason := probe.ReasonTLSHandshake
		if name == "changes of cipher" { // TLS begins with another record
			reason = probe.ReasonNotTLS
		}
		probetest.WantDown(t, r, probe.StageTLS, reason)
	}
}

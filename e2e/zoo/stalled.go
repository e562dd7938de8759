package zoo

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// StalledCertificate answers a TLS handshake with most of a certificate message of 256 KiB, the largest that crypto/tls
// takes, and stops.
func StalledCertificate(c net.Conn) {
	c.Read(make([]byte, 16<<10))                                              // the ClientHello
	hello := append([]byte{3, 3}, make([]byte, 32)...)                        // TLS 1.2
	hello = append(hello, 0, 0xc0, 0x2f, 0)                                   // no session, ECDHE_RSA_WITH_AES_128_GCM_SHA256, no compression
	message := append([]byte{2, 0, 0, byte(len(hello))}, hello...)            // ServerHello
	message = append(message, 11, 3, 0xff, 0xff)                              // Certificate
	message = append(message, make([]byte, 250<<10)...)                       // of 262,143 bytes
	for part := message; len(part) > 0; part = part[min(len(part), 1<<14):] { // in records
		n := min(len(part), 1<<14)
		record := binary.BigEndian.AppendUint16([]byte{22, 3, 3}, uint16(n))
		if _, err := c.Write(append(record, part[:n]...)); err != nil {
			return
		}
	}
	hold(c)
}

// UnreadStreams requests path so many times over one HTTP/2 connection to address, with a window of zero, and reads only
// what comes on the connection until the test ends.
func UnreadStreams(t testing.TB, address, path string, streams int) {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	var head bytes.Buffer
	fields := hpack.NewEncoder(&head)
	for i := range streams {
		head.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", path}} {
			fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true}) != nil {
			return
		}
	}
	go io.Copy(io.Discard, c) // ends with the connection
}

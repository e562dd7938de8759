package zoo

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// WebSocket starts a server of WebSockets that greets, and greets again after an answer; to "bye" it closes, to "nonsense" it sends
// what is no frame. /want is for alice with the header X-Key. config nil: without TLS.
func WebSocket(t testing.TB, config *tls.Config) string {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); r.URL.Path == "/want" && (user != "alice" || password != "secret" || r.Header.Get("X-Key") != "sesame") {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		hijacked := &rawAccess{ResponseWriter: w}
		c, err := websocket.Accept(hijacked, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.Write(r.Context(), websocket.MessageText, []byte("Hello, prober"))
		_, answer, err := c.Read(r.Context())
		switch {
		case err != nil:
			return
		case string(answer) == "bye":
			c.Close(websocket.StatusGoingAway, "bye")
			return
		case string(answer) == "nonsense":
			hijacked.conn.Write(bytes.Repeat([]byte{0xff}, 32))
		default:
			c.Write(r.Context(), websocket.MessageText, []byte("Welcome"))
		}
		c.Read(r.Context())
	})
	if config != nil {
		return HTTPS(t, config, handler)
	}
	return HTTP(t, handler)
}

// rawAccess keeps the connection that a handler takes over.
type rawAccess struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (r *rawAccess) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	r.conn = c
	return c, rw, err
}

package web

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rollcall/probe"
	"rollcall/web/port"
)

// listening is a served listener of few connections.
func listening(t *testing.T, limit int, h *fixture) (addr string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	connections := port.New(limit, func(err error) { t.Error(err) })
	server.Config = HTTPServer(h.handler, connections, quiet())
	server.Listener = connections.Listen(server.Listener)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func connect(t *testing.T, addr, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

// status reads a reply whole; 0: the connection was closed instead.
func status(c net.Conn) int {
	reply, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer reply.Body.Close()
	if _, err := io.Copy(io.Discard, reply.Body); err != nil {
		return 0
	}
	return reply.StatusCode
}

const healthy = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"

func TestIdleConnectionsMakeRoom(t *testing.T) {
	addr := listening(t, 3, newFixture(t, nil))
	first := connect(t, addr, healthy)
	for range 10 {
		if got := status(connect(t, addr, healthy)); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	if status(first) != http.StatusOK || status(first) != 0 {
		t.Error("the connection that was idle longest was not answered and then closed")
	}
}

func TestSlowRequestsMakeRoom(t *testing.T) {
	addr := listening(t, 3, newFixture(t, nil))
	start := time.Now()
	for _, request := range []string{"", healthy[:20], "POST /probe HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"} {
		connect(t, addr, request)
	}
	if got := status(connect(t, addr, healthy)); got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	if took := time.Since(start); took < port.ReadPatience {
		t.Errorf("one that was not slow yet was closed after %v", took)
	}
}

func TestAnsweringConnectionsAreKept(t *testing.T) {
	h := newFixture(t, nil)
	asked, finish := make(chan struct{}), make(chan struct{})
	h.prober.during = func(context.Context) { asked <- struct{}{}; <-finish }
	addr := listening(t, 2, h)
	probes := []net.Conn{
		connect(t, addr, "GET /probe?target=x HTTP/1.1\r\nHost: x\r\n\r\n"),
		connect(t, addr, "GET /probe?target=y HTTP/1.1\r\nHost: x\r\n\r\n"),
	}
	<-asked
	<-asked // both places are taken
	waiting := connect(t, addr, healthy)
	waiting.SetReadDeadline(time.Now().Add(port.ReadPatience + 500*time.Millisecond))
	if got := status(waiting); got != 0 {
		t.Fatalf("status %d: there was no room", got)
	}
	close(finish)
	for _, c := range probes {
		if got := status(c); got != http.StatusOK {
			t.Errorf("a probe under way got status %d", got)
		}
	}
	waiting.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got := status(waiting); got != http.StatusOK {
		t.Errorf("status %d after there was room", got)
	}
}

func TestClosedListenerDoesNotWait(t *testing.T) {
	h := newFixture(t, nil)
	finish := make(chan struct{})
	h.prober.during = func(context.Context) { <-finish }
	server := httptest.NewUnstartedServer(nil)
	connections := port.New(1, func(err error) { t.Error(err) })
	server.Config = HTTPServer(h.handler, connections, quiet())
	server.Listener = connections.Listen(server.Listener)
	server.Start()
	addr := server.Listener.Addr().String()
	connect(t, addr, "GET /probe?target=x HTTP/1.1\r\nHost: x\r\n\r\n")
	second := connect(t, addr, healthy)
	done := make(chan struct{})
	go func() { defer close(done); server.Config.Shutdown(t.Context()) }()
	if got := status(second); got != 0 {
		t.Errorf("status %d", got)
	}
	close(finish)
	<-done
	server.Close()
}

// exhausted is a listener of a process without descriptors.
type exhausted struct{ net.Listener }

func (exhausted) Accept() (net.Conn, error) {
	return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
}

func TestAcceptWithoutDescriptorsIsExporterError(t *testing.T) {
	var faults []error
	l := port.New(9, func(err error) { faults = append(faults, err) }).Listen(exhausted{})
	_, err := l.Accept()
	var temporary net.Error
	if !errors.As(err, &temporary) || !strings.Contains(err.Error(), "too many open files") {
		t.Errorf("net/http would not try again after %v", err)
	}
	var fault *probe.ExporterError
	if len(faults) != 1 || !errors.As(faults[0], &fault) || fault.Fault != probe.FaultDescriptors {
		t.Errorf("failed was called with %v", faults)
	}
}

// TestUnreadRepliesMakeRoom has clients that ask for long replies and never read.
func TestUnreadRepliesMakeRoom(t *testing.T) {
	long := make([]byte, 8<<20)
	for name, config := range map[string]*tls.Config{"HTTP/1": nil, "HTTP/2": {NextProtos: []string{"h2"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(nil)
			connections := port.New(3, func(err error) { t.Error(err) })
			server.Config = HTTPServer(port.Answering(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/long" {
					w.Write(long)
				}
			})), connections, quiet())
			server.Listener = connections.Listen(server.Listener)
			if server.EnableHTTP2 = config != nil; config == nil {
				server.Start()
			} else {
				server.StartTLS()
			}
			t.Cleanup(server.Close) // after the clients have closed
			addr := server.Listener.Addr().String()
			for range 6 {
				if config == nil {
					connect(t, addr, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
				} else {
					unreadStreams(t, addr, 4)
				}
			}
			if got := statusOf(t, server); got != http.StatusOK {
				t.Errorf("status %d", got)
			}
		})
	}
}

// unreadStreams requests /long several times over one HTTP/2 connection, with a window of zero.
func unreadStreams(t *testing.T, addr string, streams int) {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	for i := range streams {
		var head bytes.Buffer
		fields := hpack.NewEncoder(&head)
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/long"}} {
			fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
	}
}

// statusOf requests a short page by a new connection.
func statusOf(t *testing.T, server *httptest.Server) int {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	reply, err := client.Get(server.URL + "/short")
	if err != nil {
		t.Error(err)
		return 0
	}
	reply.Body.Close()
	return reply.StatusCode
}

// TestReserveAnswersWhenAllIsFull: probes take every place, and the reserve's listener still answers.
func TestReserveAnswersWhenAllIsFull(t *testing.T) {
	h := newFixture(t, nil)
	asked, finish := make(chan struct{}), make(chan struct{})
	h.prober.during = func(context.Context) { asked <- struct{}{}; <-finish }
	connections := port.New(1, func(err error) { t.Error(err) })
	var addresses []string
	for _, c := range []*port.Connections{connections, connections.Reserve(1)} {
		server := httptest.NewUnstartedServer(nil)
		server.Config = HTTPServer(h.handler, c, quiet())
		server.Listener = c.Listen(server.Listener)
		server.Start()
		t.Cleanup(server.Close)
		addresses = append(addresses, server.Listener.Addr().String())
	}
	connect(t, addresses[0], "GET /probe?target=x HTTP/1.1\r\nHost: x\r\n\r\n")
	<-asked
	if got := status(connect(t, addresses[1], healthy)); got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	close(finish)
}

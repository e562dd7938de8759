// Command floor is a minimal prober in Go: a net/http server whose handler dials the target, sends one raw HTTP/1.1 request
// (that of a WebSocket, too) or DNS query or makes one full TLS handshake if the module says so, and writes three lines. It resolves no names, has no options and gives
// no reasons. The benchmark compares the cost of rollcall with it.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("floor: ")
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	caFile := flag.String("ca-file", "", "authority that the https targets' certificates are verified against")
	list := flag.String("targets", "", "file with http targets, one a line, to probe without being asked")
	every := flag.Duration("every", time.Second, "their interval")
	flag.Parse()

	f := &floor{}
	if *caFile != "" {
		pem, err := os.ReadFile(*caFile)
		if err != nil {
			log.Fatal(err)
		}
		f.roots = x509.NewCertPool()
		if !f.roots.AppendCertsFromPEM(pem) {
			log.Fatalf("%s has no certificate", *caFile)
		}
	}
	if *list != "" {
		log.Fatal(f.schedule(*list, *every))
	}
	mux := http.NewServeMux()
	mux.Handle("/probe", f)
	mux.HandleFunc("/-/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	log.Fatal(http.ListenAndServe(*listen, mux))
}

type floor struct {
	roots *x509.CertPool
}

// ServeHTTP probes target with the module tcp, tcp_expect, tls, http, https, dns, unix or websocket.
func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	timeout := 10 * time.Second
	if header := r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"); header != "" {
		seconds, err := strconv.ParseFloat(header, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		timeout = time.Duration((seconds - 0.5) * float64(time.Second))
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()

	start := time.Now()
	success := 1
	if err := f.probe(ctx, query.Get("module"), query.Get("target")); err != nil {
		success = 0
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# TYPE probe_success gauge\nprobe_success %d\nprobe_duration_seconds %g\n", success, time.Since(start).Seconds())
}

// schedule probes the targets of a file for ever, evenly over the interval, by a ticker of 50 ms, as rollcall does. It keeps nothing.
func (f *floor) schedule(file string, every time.Duration) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	targets := strings.Fields(string(text))
	begin, started := time.Now(), 0
	for range time.Tick(50 * time.Millisecond) {
		for due := int(float64(len(targets)) * time.Since(begin).Seconds() / every.Seconds()); started < due; started++ {
			go func(target string) {
				ctx, cancel := context.WithTimeout(context.Background(), every)
				defer cancel()
				if err := f.probe(ctx, "http", target); err != nil {
					log.Print(err)
				}
			}(targets[started%len(targets)])
		}
	}
	return nil
}

func (f *floor) probe(ctx context.Context, module, target string) error {
	secure := module == "https" || module == "tls"
	if _, rest, ok := strings.Cut(target, "://"); ok {
		target = rest
	}
	network := "tcp"
	switch module {
	case "dns":
		network = "udp"
	case "unix":
		network = "unix"
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, target)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if secure {
		host, _, err := net.SplitHostPort(target)
		if err != nil {
			return err
		}
		conn = tls.Client(conn, &tls.Config{RootCAs: f.roots, ServerName: host})
		if err := conn.(*tls.Conn).Handshake(); err != nil {
			return err
		}
	}
	switch module {
	case "http", "https":
		return exchange(conn, target)
	case "websocket":
		return upgrade(conn, target)
	case "dns":
		return ask(conn)
	case "tcp_expect":
		buf := buffers.Get().(*[512]byte)
		defer buffers.Put(buf)
		_, err := conn.Read(buf[:])
		return err
	}
	return nil
}

var buffers = sync.Pool{New: func() any { return new([512]byte) }}

// query asks for the A record of www.example.com (RFC 1035, 4.1).
const query = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01"

// ask sends one query and reads an answer with the same ID and at least one record.
func ask(conn net.Conn) error {
	if _, err := io.WriteString(conn, query); err != nil {
		return err
	}
	buf := buffers.Get().(*[512]byte)
	defer buffers.Put(buf)
	n, err := conn.Read(buf[:])
	if err == nil && (n < len(query) || string(buf[:2]) != query[:2] || buf[7] == 0) {
		err = errAnswer
	}
	return err
}

// upgrade makes the opening handshake of a WebSocket.
func upgrade(conn net.Conn, host string) error {
	const header = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n"+header, host); err != nil {
		return err
	}
	buf := buffers.Get().(*[512]byte)
	defer buffers.Put(buf)
	n, err := conn.Read(buf[:])
	if err == nil && !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 101 ") {
		err = errStatus
	}
	return err
}

var errAnswer = errors.New("the answer is not one to the query")

var errStatus = errors.New("the status is not 200 or 101")

// exchange sends one request and reads to the end of the answer.
func exchange(conn net.Conn, host string) error {
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host); err != nil {
		return err
	}
	buf := buffers.Get().(*[512]byte)
	defer buffers.Put(buf)
	n, err := io.ReadFull(conn, buf[:])
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 ") {
		return errStatus
	}
	for err == nil {
		_, err = conn.Read(buf[:])
	}
	if err == io.EOF {
		return nil
	}
	return err
}

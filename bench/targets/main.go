//go:build linux

// Command targets runs the targets of the benchmark: cheap loopback servers, in a separate process, so that their CPU time is
// not counted as an exporter's. Every server listens on all addresses: on Linux every address in 127.0.0.0/8 leads to it, so
// there can be many distinct targets.
//
// It writes the name and port of each server as one JSON object to standard output and ends when its standard input closes.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"syscall"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("targets: ")
	caFile := flag.String("ca-file", "", "file to write the certificate of the https servers' authority to")
	socket := flag.String("socket", "", "path of a Unix socket to listen on; empty: none")
	flag.Parse()
	if err := run(*caFile, *socket); err != nil {
		log.Fatal(err)
	}
}

func run(caFile, socket string) error {
	certificate, ca, err := newCertificate()
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	if caFile != "" {
		if err := os.WriteFile(caFile, ca, 0o644); err != nil {
			return fmt.Errorf("writing the authority's certificate: %w", err)
		}
	}
	tlsConfig := &tls.Config{
		Certificates:           []tls.Certificate{certificate},
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: true, // every handshake is a full one
	}

	ports := make(map[string]int)
	serve := func(name string, handle func(net.Conn)) error {
		listener, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			return fmt.Errorf("listening for %s: %w", name, err)
		}
		ports[name] = listener.Addr().(*net.TCPAddr).Port
		go accept(listener, handle)
		return nil
	}
	if err := serve("tcp", func(conn net.Conn) { go holdOpen(conn) }); err != nil {
		return err
	}
	if err := serve("http", func(conn net.Conn) { go answer(conn) }); err != nil {
		return err
	}
	if err := serve("https", func(conn net.Conn) { go answer(tls.Server(conn, tlsConfig)) }); err != nil {
		return err
	}
	if err := serve("silent", func(conn net.Conn) { go holdOpen(conn) }); err != nil {
		return err
	}
	if err := serveProtocols(ports); err != nil {
		return err
	}
	if socket != "" {
		listener, err := net.Listen("unix", socket)
		if err != nil {
			return fmt.Errorf("listening on a Unix socket: %w", err)
		}
		go accept(listener, func(conn net.Conn) { go holdOpen(conn) })
	}
	names, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return fmt.Errorf("listening for dns: %w", err)
	}
	ports["dns"] = names.LocalAddr().(*net.UDPAddr).Port
	go answerQueries(names)
	if ports["refused"], err = reservePort(); err != nil {
		return fmt.Errorf("reserving a port that refuses: %w", err)
	}

	if err := json.NewEncoder(os.Stdout).Encode(ports); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// accept passes every connection to handle. It logs temporary errors (no descriptor left), because they would make a target
// look down.
func accept(listener net.Listener, handle func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Printf("accepting: %v", err)
			return
		}
		handle(conn)
	}
}

// body is the body of 1 KB of the http and https servers.
var body = strings.Repeat("all present and correct, ok!!\r\n\r\n", 32)[:1024]

var response = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nLast-Modified: Wed, 11 Feb 2015 20:00:00 GMT\r\nConnection: close\r\n" +
	fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body)

// answer reads one request without a body and answers it.
func answer(conn net.Conn) {
	defer conn.Close()
	request := make([]byte, 0, 1024)
	for !strings.HasSuffix(string(request), "\r\n\r\n") {
		if len(request) == cap(request) {
			return
		}
		n, err := conn.Read(request[len(request):cap(request)])
		if err != nil {
			return
		}
		request = request[:len(request)+n]
	}
	_, _ = conn.Write(response) // an error means that the exporter has closed
}

// records are two A records (192.0.2.1 and 192.0.2.2), whose name is a pointer to the question's.
const records = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01" +
	"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x02"

// answerQueries answers every query of one question with records (RFC 1035, 4.1).
func answerQueries(conn *net.UDPConn) {
	var message [512]byte
	for {
		n, from, err := conn.ReadFromUDPAddrPort(message[:len(message)-len(records)])
		if err != nil {
			log.Printf("receiving a query: %v", err)
			return
		}
		if n < 12 {
			continue
		}
		message[2] |= 0x84             // an authoritative answer
		message[7], message[11] = 2, 0 // answers, additional records
		n += copy(message[n:], records)
		_, _ = conn.WriteToUDPAddrPort(message[:n], from) // an error means that the exporter has closed
	}
}

// holdOpen sends nothing until the other side has closed, then resets the connection. Otherwise each of some thousand probes
// per second would leave a port in TIME_WAIT, and the machine would soon have no free ports.
func holdOpen(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 256)
	for {
		if _, err := conn.Read(buf); err != nil {
			break
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the connection may be closed already
	}
}

// reservePort binds a port without listening on it: connections are refused, and no other process can use it.
func reservePort() (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{}); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}

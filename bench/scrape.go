//go:build linux

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

// The headers that Prometheus 2.42 sends with a scrape.
const scrapeHeaders = "User-Agent: Prometheus/2.42.0\r\n" +
	"Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n" +
	"Accept-Encoding: gzip\r\n"

// scraper sends requests to one exporter over one persistent connection, like Prometheus does for one target. It uses raw
// HTTP/1.1, so that the generator uses little of the CPUs that it shares with the exporter.
type scraper struct {
	conn    net.Conn
	reader  *bufio.Reader
	headers string // everything after the request line
	request []byte
	body    bytes.Buffer
	plain   bytes.Buffer
	gzip    gzip.Reader
}

// newScraper connects to an exporter at addr.
func newScraper(addr string, timeout time.Duration) (*scraper, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &scraper{
		conn:   conn,
		reader: bufio.NewReaderSize(conn, 8<<10),
		headers: fmt.Sprintf(" HTTP/1.1\r\nHost: %s\r\n%sX-Prometheus-Scrape-Timeout-Seconds: %g\r\n\r\n",
			addr, scrapeHeaders, timeout.Seconds()),
	}, nil
}

func (s *scraper) close() { s.conn.Close() }

// scrapers are connections to the same exporter.
type scrapers []*scraper

// connect makes n scrapers of e.
func (e *exporter) connect(n int, timeout time.Duration) (scrapers, error) {
	all := make(scrapers, 0, n)
	for range n {
		s, err := newScraper(e.addr, timeout)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("connecting to %s: %w", e.name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func (all scrapers) close() {
	for _, s := range all {
		s.close()
	}
}

// scrape requests one probe and returns the text of the reply, which is valid until the next call. It waits at
// most wait.
func (s *scraper) scrape(module, target string, wait time.Duration) ([]byte, error) {
	if err := s.conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	if err := s.send(module, target); err != nil {
		return nil, err
	}
	return s.receive()
}

// send writes the request.
func (s *scraper) send(module, target string) error {
	s.request = append(s.request[:0], "GET /probe?module="...)
	s.request = append(s.request, module...)
	s.request = append(s.request, "&target="...)
	s.request = append(s.request, url.QueryEscape(target)...)
	s.request = append(s.request, s.headers...)
	_, err := s.conn.Write(s.request)
	return err
}

// receive reads the reply.
func (s *scraper) receive() ([]byte, error) {
	status, err := s.line()
	if err != nil {
		return nil, fmt.Errorf("reading the status: %w", err)
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	statusText := string(status)

	length, chunked, zipped := -1, false, false
	for {
		line, err := s.line()
		if err != nil {
			return nil, fmt.Errorf("reading the headers: %w", err)
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return nil, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Content-Encoding")):
			zipped = bytes.EqualFold(value, []byte("gzip"))
		}
	}
	if err := s.readBody(length, chunked); err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("the exporter answered %q: %q", statusText, s.body.String())
	}
	if !zipped {
		return s.body.Bytes(), nil
	}
	if err := s.gzip.Reset(&s.body); err != nil {
		return nil, fmt.Errorf("unpacking the body: %w", err)
	}
	s.plain.Reset()
	if _, err := s.plain.ReadFrom(&s.gzip); err != nil {
		return nil, fmt.Errorf("unpacking the body: %w", err)
	}
	return s.plain.Bytes(), nil
}

func (s *scraper) line() ([]byte, error) {
	line, err := s.reader.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

func (s *scraper) readBody(length int, chunked bool) error {
	s.body.Reset()
	switch {
	case chunked:
		if _, err := s.body.ReadFrom(httputil.NewChunkedReader(s.reader)); err != nil {
			return err
		}
		if end, err := s.line(); err != nil || len(end) != 0 {
			return errors.New("no empty line after the last chunk")
		}
		return nil
	case length < 0:
		return errors.New("the reply has no length")
	}
	_, err := io.CopyN(&s.body, s.reader, int64(length))
	return err
}

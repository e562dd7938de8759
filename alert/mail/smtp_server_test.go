package mail

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailServer is a scripted SMTP server. The zero script is a friendly one without TLS.
type mailServer struct {
	address string

	stallAt   string            // "greeting", a verb, "tls", "dot": no answer from there on
	hangUpAt  string            // the same, but the connection is closed
	replies   map[string]string // verb ("dot" for the end of a message) → reply instead of the usual one
	rcpt      map[string]string // address → reply to its RCPT
	extension []string          // offered by EHLO
	secure    *tls.Config       // for STARTTLS, and with implicit from the first byte
	implicit  bool
	user      string
	password  string
	endless   bool   // the greeting never ends
	unusable  string // a mechanism that is answered with 504

	slow, slowDot time.Duration // before each reply

	mu       sync.Mutex
	messages []received
	verbs    []string
	secrets  []string // what came in AUTH, with whether the line was encrypted
	done     chan struct{}
}

type received struct {
	from, to string
	data     []byte
}

func (s *mailServer) start(t *testing.T) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address, s.done = l.Addr().String(), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(s.done)
		wg.Wait()
	})
	return s
}

// at stalls or hangs up where the script says so, and reports whether the session goes on.
func (s *mailServer) at(step string) bool {
	if s.stallAt == step {
		<-s.done
		return false
	}
	return s.hangUpAt != step
}

func (s *mailServer) serve(raw net.Conn) {
	go func() { // a stalled client must not hold up the end of the test
		<-s.done
		raw.Close()
	}()
	conn := raw
	if s.implicit {
		conn = tls.Server(raw, s.secure)
	}
	if !s.at("greeting") {
		return
	}
	for s.endless {
		if _, err := io.WriteString(conn, "220-more, more\r\n"); err != nil {
			return
		}
	}
	r := textproto.NewReader(bufio.NewReader(conn))
	reply := func(verb, usual string) bool {
		if special := s.replies[verb]; special != "" {
			usual = special
		}
		if verb == "dot" {
			time.Sleep(s.slowDot)
		}
		time.Sleep(s.slow)
		_, err := io.WriteString(conn, usual+"\r\n")
		return err == nil
	}
	if !reply("greeting", "220 mail.example.com ESMTP") {
		return
	}
	var mail received
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		s.mu.Lock()
		s.verbs = append(s.verbs, verb)
		s.mu.Unlock()
		if !s.at(verb) {
			return
		}
		switch verb {
		case "EHLO":
			lines := append([]string{"mail.example.com"}, s.extension...)
			if _, encrypted := conn.(*tls.Conn); encrypted {
				lines = slices.DeleteFunc(lines, func(l string) bool { return l == "STARTTLS" })
			}
			for i, l := range lines {
				lines[i] = "250-" + l
			}
			lines[len(lines)-1] = strings.Replace(lines[len(lines)-1], "-", " ", 1)
			reply(verb, strings.Join(lines, "\r\n"))
		case "STARTTLS":
			reply(verb, "220 go ahead")
			if !s.at("tls") {
				return
			}
			conn = tls.Server(raw, s.secure)
			r = textproto.NewReader(bufio.NewReader(conn))
		case "AUTH":
			s.auth(conn, r, rest, reply)
		case "MAIL":
			mail = received{from: rest}
			reply(verb, "250 ok")
		case "RCPT":
			mail.to = strings.TrimSuffix(strings.TrimPrefix(rest, "TO:<"), ">")
			if special := s.rcpt[mail.to]; special != "" {
				fmt.Fprintf(conn, "%s\r\n", special)
			} else {
				reply(verb, "250 ok")
			}
		case "DATA":
			if reply(verb, "354 go ahead"); s.replies[verb] != "" {
				continue
			}
			mail.data, _ = r.ReadDotBytes()
			accepted := s.replies["dot"] == "" || strings.HasPrefix(s.replies["dot"], "2")
			if accepted && s.stallAt != "never" {
				s.mu.Lock()
				s.messages = append(s.messages, mail)
				s.mu.Unlock()
			}
			if !s.at("dot") {
				return
			}
			reply("dot", "250 queued as 4711")
		case "QUIT":
			reply(verb, "221 bye")
			return
		default:
			reply(verb, "250 ok")
		}
	}
}

func (s *mailServer) auth(conn net.Conn, r *textproto.Reader, args string, reply func(verb, usual string) bool) {
	ask := func(challenge string) string {
		fmt.Fprintf(conn, "334 %s\r\n", base64.StdEncoding.EncodeToString([]byte(challenge)))
		line, _ := r.ReadLine()
		b, _ := base64.StdEncoding.DecodeString(line)
		return string(b)
	}
	mechanism, initial, _ := strings.Cut(args, " ")
	if mechanism == s.unusable {
		s.mu.Lock()
		s.secrets = append(s.secrets, mechanism+" encrypted=true ok=504")
		s.mu.Unlock()
		reply("AUTH", "504 5.5.4 not this one")
		return
	}
	var ok bool
	switch mechanism {
	case "PLAIN":
		b, _ := base64.StdEncoding.DecodeString(initial)
		ok = string(b) == "\x00"+s.user+"\x00"+s.password
	case "LOGIN":
		user, password := ask("Username:"), ask("Password:")
		ok = user == s.user && password == s.password
	case "CRAM-MD5":
		const challenge = "<1896.697170952@mail.example.com>"
		h := hmac.New(md5.New, []byte(s.password))
		io.WriteString(h, challenge)
		ok = ask(challenge) == s.user+" "+hex.EncodeToString(h.Sum(nil))
	}
	_, encrypted := conn.(*tls.Conn)
	s.mu.Lock()
	s.secrets = append(s.secrets, fmt.Sprintf("%s encrypted=%t ok=%t", mechanism, encrypted, ok))
	s.mu.Unlock()
	if ok {
		reply("AUTH", "235 ok")
	} else {
		reply("AUTH", "535 5.7.8 no")
	}
}

// got returns the accepted messages.
func (s *mailServer) got() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// selfSigned is a certificate for 127.0.0.1 and its PEM form.
func selfSigned(t *testing.T) (server *tls.Config, pemText string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

//go:build unix

package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/e2e/zoo"
)

// park has the servers of one test by the names that cases use; each starts at its first use.
type park struct {
	t testing.TB

	mu    sync.Mutex
	known map[string]string
}

func newPark(t testing.TB) *park { return &park{t: t, known: make(map[string]string)} }

// fill puts addresses and file names where s names them in angle brackets: "http://<site>/", "localhost:<site port>".
func (p *park) fill(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "<")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, ">")
		if name, found := strings.CutSuffix(name, " port"); found {
			b.WriteString(portOf(p.at(name)))
		} else {
			b.WriteString(p.at(name))
		}
		s = after
	}
}

// at returns the address of a server or the path of a file, and starts or writes it at the first call.
func (p *park) at(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.known[name]
	if !ok {
		make, ok := servers[name]
		if !ok {
			p.t.Fatalf("there is no server or file named %q", name)
		}
		at = make(p.t)
		p.known[name] = at
	}
	return at
}

const (
	banner  = "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
	closing = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
)

// servers lists the servers that a park can have, and the files that modules need for them. It is never changed.
var servers = map[string]func(testing.TB) string{
	"ca":     zoo.CAFile,
	"cert":   func(t testing.TB) string { cert, _ := zoo.ClientFiles(t); return cert },
	"key":    func(t testing.TB) string { _, key := zoo.ClientFiles(t); return key },
	"body":   bodyFile,
	"absent": func(t testing.TB) string { return filepath.Join(t.TempDir(), "absent") },

	// Correct web servers.
	"site":        func(t testing.TB) string { return zoo.HTTP(t, zoo.Site()) },
	"othersite":   func(t testing.TB) string { return zoo.HTTPOn(t, "127.0.0.2", nil, zoo.Site()) },
	"site6":       func(t testing.TB) string { return zoo.HTTPOn(t, "::1", nil, zoo.Site()) },
	"secure":      secure(zoo.Good, zoo.Cipher(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
	"secure13":    secure(zoo.Good, zoo.Only(tls.VersionTLS13)),
	"secureh2":    secure(zoo.Good, zoo.H2, zoo.Cipher(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
	"expired":     secure(zoo.Expired),
	"notyetvalid": secure(zoo.NotYetValid),
	"wrongname":   secure(zoo.WrongName),
	"wrongusage":  secure(zoo.WrongUsage),
	"stranger":    secure(zoo.UnknownAuthority),
	"chained":     secure(zoo.Chained),
	"malformed":   secure(zoo.Malformed),
	"refusestls":  secure(zoo.Good, zoo.Refuse),
	"hugekey":     secure(zoo.HugeKey),
	"tls10":       secure(zoo.OldKey, zoo.Only(tls.VersionTLS10)),
	"tls12":       secure(zoo.Good, zoo.Cipher(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
	"wantsclient": secure(zoo.Good, zoo.DemandClient, zoo.Cipher(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
	"secureh3":    quick(zoo.Good),
	"expiredh3":   quick(zoo.Expired),
	"silentudp":   zoo.SilentUDP,
	"otherquic":   zoo.OtherQUIC,
	"leafalone":   secure(zoo.LeafAlone),
	"rsaonly": func(t testing.TB) string {
		return zoo.TLS(t, zoo.Config(zoo.Good(), zoo.Cipher(tls.TLS_RSA_WITH_AES_128_GCM_SHA256)), zoo.Silent)
	},
	"shorthello": func(t testing.TB) string {
		config := zoo.Config(zoo.Good(), zoo.Cipher(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))
		return zoo.TCP(t, zoo.ShortHello(zoo.TLSPeer(config, zoo.RawHTTP(closing+"Content-Length: 6\r\n\r\nhello\n"))))
	},
	"secureproxy": func(t testing.TB) string { return zoo.NewSecureProxy(t, starttls(zoo.Good)).Addr },
	"proxy":       func(t testing.TB) string { return zoo.NewProxy(t).Addr },
	"token":       func(t testing.TB) string { return zoo.HTTP(t, zoo.Token()) },
	"refuser":     func(t testing.TB) string { return zoo.HTTP(t, http.HandlerFunc(http.NotFound)) },

	// Broken and hostile web servers.
	"nothttp":       raw(zoo.Say(banner)),
	"badstatus":     raw(zoo.RawHTTP("HTTP/1.1 abc nonsense\r\n\r\n")),
	"status000":     raw(zoo.RawHTTP("HTTP/1.1 000 nothing\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
	"status999":     raw(zoo.RawHTTP("HTTP/1.1 999 denied\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
	"http09":        raw(zoo.AfterRequest(zoo.SayAndClose("<html>hello</html>\n"))),
	"http10":        raw(zoo.RawHTTP("HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")),
	"shortbody":     raw(zoo.RawHTTP(closing + "Content-Length: 100\r\n\r\nhello\n")),
	"longbody":      raw(zoo.RawHTTP(closing + "Content-Length: 2\r\n\r\nhello\n")),
	"twolengths":    raw(zoo.RawHTTP(closing + "Content-Length: 6\r\nContent-Length: 7\r\n\r\nhello\n")),
	"lengthchunked": raw(zoo.RawHTTP("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 100\r\n\r\n6\r\nhello\n\r\n0\r\n\r\n")),
	"badchunk":      raw(zoo.RawHTTP("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\n")),
	"cutchunk":      raw(zoo.RawHTTP("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello\n")),
	"longtrailer":   raw(zoo.LongTrailer(12 << 20)),
	"badgzip":       raw(zoo.RawHTTP(closing + "Content-Encoding: gzip\r\n\r\nthis is no gzip")),
	"oddencoding":   raw(zoo.RawHTTP(closing + "Content-Encoding: zstd\r\n\r\nhello")),
	"slowhead":      raw(zoo.AfterRequest(zoo.Silent)),
	"slowbody":      raw(zoo.AfterRequest(zoo.Say(closing + "Content-Length: 100\r\n\r\nhel"))),
	"trickle":       raw(zoo.EndlessTrickle(20 * time.Millisecond)),
	"hangup":        raw(zoo.AfterRequest(zoo.Close)),
	"resetreply":    raw(zoo.AfterRequest(zoo.Reset)),
	"resetbody":     raw(zoo.ResetAfter(closing + "Content-Length: 100\r\n\r\nhel")),
	"interim":       raw(zoo.EndlessInterim),
	"oneinterim":    raw(zoo.RawHTTP("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + closing + "Content-Length: 6\r\n\r\nhello\n")),
	"headerflood":   raw(zoo.EndlessHeaders),
	"longheader":    raw(zoo.LongHeader(1 << 20)),
	"longerheader":  raw(zoo.LongHeader(12 << 20)),
	"cookieflood":   raw(zoo.EndlessCookies),
	"manycookies":   raw(zoo.ManyCookies(500)),
	"endlessbody":   raw(zoo.EndlessBody(false)),
	"endlesschunks": raw(zoo.EndlessBody(true)),
	"gzipbomb":      raw(zoo.Bomb("gzip", 2<<30)),
	"brbomb":        raw(zoo.Bomb("br", 2<<30)),
	"deflatebomb":   raw(zoo.Bomb("deflate", 2<<30)),
	"goaway":        func(t testing.TB) string { return zoo.H2Raw(t, zoo.GoAway) },
	"resetstream":   func(t testing.TB) string { return zoo.H2Raw(t, zoo.ResetStream) },
	"settings":      func(t testing.TB) string { return zoo.H2Raw(t, zoo.FloodSettings) },
	"pings":         func(t testing.TB) string { return zoo.H2Raw(t, zoo.FloodPing) },
	"unknown":       func(t testing.TB) string { return zoo.H2Raw(t, zoo.FloodUnknown) },
	"resets":        func(t testing.TB) string { return zoo.H2Raw(t, zoo.FloodResets) },
	"continuation":  func(t testing.TB) string { return zoo.H2Raw(t, zoo.FloodContinuation) },
	"endlessdata":   func(t testing.TB) string { return zoo.H2Raw(t, zoo.EndlessData) },

	// Name servers as targets.
	"names":       zoo.NameServer,
	"securenames": func(t testing.TB) string { return zoo.NameServerTLS(t, zoo.Config(zoo.Good())) },
	"wrongnames":  func(t testing.TB) string { return zoo.NameServerTLS(t, zoo.Config(zoo.WrongName())) },

	// TCP peers.
	"ssh":            raw(zoo.Say(banner)),
	"sshclosing":     raw(zoo.SayAndClose(banner)),
	"dripssh":        raw(zoo.Drip(banner, 5*time.Millisecond)),
	"irc":            raw(zoo.Dialogue(":irc.zoo.test NOTICE AUTH :*** Looking up your hostname...\r\n", map[string]string{"NICK": "PING :1234\r\n", "USER": "", "PONG": ":irc.zoo.test 001 prober :Ready\r\n"})),
	"echo":           raw(func(c net.Conn) { io.Copy(c, c) }),
	"silent":         raw(zoo.Silent),
	"closes":         raw(zoo.Close),
	"reset":          raw(zoo.Reset),
	"readsandcloses": raw(readAndClose),
	"resetafterread": raw(zoo.ResetAfter("")),
	"line":           raw(zoo.EndlessLine),
	"lines":          raw(zoo.EndlessLines),
	"zeros":          raw(zoo.EndlessZeros),
	"notutf8":        raw(zoo.Say("SSH-2.0-\xff\xfe\x00<script>alert(1)</script>" + strings.Repeat("A", 5000) + "\r\n")),
	"deaf":           func(t testing.TB) string { return zoo.Deaf(t, banner) },
	"securessh": func(t testing.TB) string {
		return zoo.TLS(t, zoo.Config(zoo.Good(), zoo.Cipher(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)), zoo.Say(banner))
	},
	"mail":        func(t testing.TB) string { return zoo.STARTTLS(t, starttls(zoo.Good), "") },
	"expiredmail": func(t testing.TB) string { return zoo.STARTTLS(t, starttls(zoo.Expired), "") },
	"injecting": func(t testing.TB) string {
		return zoo.STARTTLS(t, starttls(zoo.Good), "250 mail.zoo.test\r\n")
	},
	"postgresql": raw(zoo.PostgreSQL(starttls(zoo.Good))),
	"refused":    zoo.Refused,

	// WebSocket servers.
	"websocket":       func(t testing.TB) string { return zoo.WebSocket(t, nil) },
	"securewebsocket": func(t testing.TB) string { return zoo.WebSocket(t, starttls(zoo.Good)) },

	// gRPC servers.
	"health":        func(t testing.TB) string { return zoo.Health(t, nil) },
	"securehealth":  secureHealth(zoo.Good),
	"expiredhealth": secureHealth(zoo.Expired),
	"wronghealth":   secureHealth(zoo.WrongName),
	"nohealth":      zoo.NoHealth,

	// Unix sockets.
	"unixssh":     onSocket(zoo.Say(banner)),
	"unixsilent":  onSocket(zoo.Silent),
	"unixcloses":  onSocket(zoo.SayAndClose(banner)),
	"unixping":    onSocket(zoo.Dialogue("", map[string]string{"PING": "PONG 7\r\n"})),
	"unixlines":   onSocket(zoo.EndlessLines),
	"unixsecure":  func(t testing.TB) string { return secureSocket(t, zoo.Good) },
	"unixexpired": func(t testing.TB) string { return secureSocket(t, zoo.Expired) },
	"unixmail": func(t testing.TB) string {
		return zoo.Unix(t, zoo.STARTTLSPeer(starttls(zoo.Good), ""))
	},

	"blackhole":  func(t testing.TB) string { return zoo.Blackhole(t, "127.0.0.1") },
	"blackhole6": func(t testing.TB) string { return zoo.Blackhole(t, "::1") },
}

func bodyFile(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(path, []byte("ping"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAndClose ends the connection after the first bytes. It reads the others, or closing would be a reset.
func readAndClose(c net.Conn) {
	c.Read(make([]byte, 8<<10))
	c.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, c)
}

func raw(handle func(net.Conn)) func(testing.TB) string {
	return func(t testing.TB) string { return zoo.TCP(t, handle) }
}

func secureHealth(cert func() tls.Certificate) func(testing.TB) string {
	return func(t testing.TB) string { return zoo.Health(t, starttls(cert)) }
}

func onSocket(handle func(net.Conn)) func(testing.TB) string {
	return func(t testing.TB) string { return zoo.Unix(t, handle) }
}

func secureSocket(t testing.TB, cert func() tls.Certificate) string {
	return zoo.Unix(t, zoo.TLSPeer(starttls(cert), zoo.Say(banner)))
}

func secure(cert func() tls.Certificate, edit ...func(*tls.Config)) func(testing.TB) string {
	return func(t testing.TB) string { return zoo.HTTPS(t, zoo.Config(cert(), edit...), zoo.Site()) }
}

func quick(cert func() tls.Certificate) func(testing.TB) string {
	return func(t testing.TB) string { return zoo.HTTP3(t, zoo.Config(cert()), zoo.Site()) }
}

func starttls(cert func() tls.Certificate) *tls.Config {
	return zoo.Config(cert(), zoo.Cipher(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))
}

package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/probe/dnsprobe"
	"rollcall/probe/grpcprobe"
	"rollcall/probe/httpprobe"
	"rollcall/probe/icmpprobe"
	"rollcall/probe/option"
	"rollcall/probe/tcpprobe"
	"rollcall/probe/unixprobe"
	"rollcall/probe/websocketprobe"
)

// TestBlackboxFileLoads is the promise of a drop-in: a file with every option of the peer's http, tcp, icmp, dns, unix, grpc and websocket modules
// works.
func TestBlackboxFileLoads(t *testing.T) {
	c := loadBlackbox(t)
	for _, name := range c.Names() {
		m, err := c.Module(name)
		if err != nil {
			t.Errorf("module %s: %v", name, err)
		} else if m.Name != name || m.Prober == nil {
			t.Errorf("module %s is not ready: %+v", name, m)
		}
	}
	if unusable := c.Unusable(); len(unusable) != 0 {
		t.Errorf("modules that cannot be used: %v", unusable)
	}
	if len(c.Warnings()) != 1 { // the empty query_response item
		t.Errorf("warnings:\n%s", strings.Join(c.Warnings(), "\n"))
	}
}

// TestBlackboxFileUsesEveryOption keeps the file complete: an option that is added must be written there.
func TestBlackboxFileUsesEveryOption(t *testing.T) {
	ours := map[string]bool{"guard": true, "resolver": true, "send_bytes": true} // not blackbox_exporter's
	data, err := os.ReadFile("testdata/blackbox.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range []any{httpprobe.Options{}, tcpprobe.Options{}, tcpprobe.QueryResponse{}, icmpprobe.Options{}, dnsprobe.Options{}, dnsprobe.RecordOptions{}, unixprobe.Options{}, grpcprobe.Options{}, websocketprobe.Options{}, tcpprobe.SessionOptions{}, moduleOptions{}, Probers{}} {
		keys := map[string]bool{}
		for i, typ := 0, reflect.TypeOf(options); i < typ.NumField(); i++ {
			key, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			keys[key] = key != ""
		}
		for key, named := range keys {
			if named && !ours[key] && !strings.Contains(string(data), key+":") {
				t.Errorf("%T: testdata/blackbox.yml does not use %s", options, key)
			}
		}
	}
}

func TestValuesMeanWhatTheyMeanToThePeer(t *testing.T) {
	modules := loadBlackbox(t).file.Modules
	plain := modules["http_plain_options"].HTTP
	for what, pair := range map[string][2]any{
		"a duration":                    {modules["http_plain_options"].Timeout, timeout(90 * time.Second)},
		"yes and no are booleans":       {[]bool{plain.FailIfSSL, plain.IPProtocolFallback, plain.HTTPClientConfig.FollowRedirects}, []bool{true, false, false}},
		"a number in a text option":     {plain.Headers["X-Count"], "12"},
		"a boolean in a text option":    {plain.Headers["X-Flag"], "true"},
		"an empty text":                 {plain.Headers["User-Agent"], ""},
		"a size":                        {plain.BodySizeLimit, option.Size(10 << 20)},
		"no limit":                      {modules["http_unlimited"].HTTP.BodySizeLimit, option.Size(0)},
		"a limit by default":            {modules["http_json"].HTTP.BodySizeLimit, httpprobe.DefaultBodySizeLimit},
		"defaults of the client":        {modules["http_json"].HTTP.HTTPClientConfig.FollowRedirects, true},
		"an empty list of labels":       {modules["tcp_all"].TCP.QueryResponse[2].Labels, []tcpprobe.ExpectLabel{}},
		"recursion by default":          {modules["dns_defaults"].DNS.RecursionDesired, true},
		"no recursion":                  {modules["dns_tls"].DNS.RecursionDesired, false},
		"codes by default":              {modules["dns_defaults"].DNS.ValidRcodes, []string(nil)},
		"no labels":                     {modules["tcp_all"].TCP.QueryResponse[1].Labels, []tcpprobe.ExpectLabel(nil)},
		"an empty item is dropped":      {len(modules["tcp_bytes"].TCP.QueryResponse), 2},
		"an alias":                      {modules["http_defaults"].HTTP.HTTPClientConfig.TLSConfig.CAFile, "ca.pem"},
		"a merge keeps what is there":   {modules["http_merged"].Timeout, timeout(20 * time.Second)},
		"a merge adds":                  {modules["http_merged"].HTTP.IPProtocol, option.IPProtocol("ip4")},
		"of several the first counts":   {modules["http_merged_deeper"].Timeout, timeout(10 * time.Second)},
		"merges of merges":              {modules["http_merged_deeper"].HTTP.HTTPClientConfig.TLSConfig.CAFile, "ca.pem"},
		"a bearer token":                {string(modules["http_bearer"].HTTP.HTTPClientConfig.BearerToken), "mysecret"},
		"a line break in double quotes": {modules["tcp_bytes"].TCP.QueryResponse[1].ExpectBytes, "+PONG\r\n"},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestShownConfigurationLoadsAgain(t *testing.T) {
	shown := string(loadBlackbox(t).YAML())
	if strings.Contains(shown, "mysecret") {
		t.Errorf("a secret is shown:\n%s", shown)
	}
	again, err := Parse("shown.yml", []byte(shown))
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, shown)
	}
	if diff := cmp.Diff(shown, string(again.YAML())); diff != "" {
		t.Errorf("shown again it differs (-first +second):\n%s", diff)
	}
}

// loadBlackbox loads testdata/blackbox.yml in a directory that has the files it names.
func loadBlackbox(t *testing.T) *Config {
	t.Helper()
	path, err := filepath.Abs("testdata/blackbox.yml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	certificate, key := keyPair(t)
	for name, content := range map[string]string{
		"ca.pem": certificate, "cert.pem": certificate, "key.pem": key, "password": "mysecret\n", "body.json": "{}",
	} {
		writeFile(t, name, content)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keyPair makes a self-signed certificate and its key in PEM.
func keyPair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

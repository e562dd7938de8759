package tlsclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/probetest"
)

func TestChainExpiryIsThatOfTheChainThatLastsLongest(t *testing.T) {
	at := func(hours int) *x509.Certificate {
		return &x509.Certificate{NotAfter: time.Unix(0, 0).Add(time.Duration(hours) * time.Hour)}
	}
	got := chainExpiry([][]*x509.Certificate{{at(9), at(3)}, {at(9), at(7), at(8)}, {at(9), at(5)}})
	if want := at(7).NotAfter; !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTLSConfigForQUICVerifiesToo(t *testing.T) {
	ca := probetest.NewAuthority(t)
	client, err := Compile("tls_config", &config.TLSConfig{CA: ca.PEM})
	if err != nil {
		t.Fatal(err)
	}
	for host, reason := range map[string]probe.Reason{"localhost": "", "[127.0.0.1]": "", "wrong.example": probe.ReasonCertificateName, "": probe.ReasonCertificateName} {
		var facts probe.TLSFacts
		c, err := client.Config(host, []string{"h3"}, &facts)
		if err != nil {
			t.Fatal(err)
		}
		cert := ca.Issue()
		err = c.VerifyConnection(tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{cert.Leaf}})
		if reason == "" {
			if err != nil || facts.ChainExpiry.IsZero() {
				t.Errorf("%q: %v, %+v", host, err, facts)
			}
		} else {
			probetest.WantFailure(t, err, probe.StageTLS, reason)
		}
		if facts.EarliestExpiry.IsZero() || !cmp.Equal(c.NextProtos, []string{"h3"}) {
			t.Errorf("%q: %+v, protocols %q", host, facts, c.NextProtos)
		}
	}
}

func TestTLSHandshakeEndsWhenTheCallerGoesAway(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	started := make(chan struct{})
	addr := probetest.Listen(t, func(c net.Conn) { c.Read(make([]byte, 1)); close(started); <-hold })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	conn, err := network.Dial(ctx, nil, "tcp", "x", addr, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, err := Compile("tls_config", &config.TLSConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Secure(ctx, conn, Hello{ServerName: "x"}, nil); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestZoneIsNoPartOfTheTLSName(t *testing.T) {
	client, err := Compile("t", &config.TLSConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"fe80::1%eth0": "fe80::1", "fe80::1": "fe80::1", "a%b": "a%b", "example.com": "example.com"} {
		c, err := client.Config(host, nil, new(probe.TLSFacts))
		if err != nil || c.ServerName != want {
			t.Errorf("%s: %q, %v; want %q", host, c.ServerName, err, want)
		}
	}
}

package grpcprobe

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"context"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/probetest"
)

func TestMain(m *testing.M) {
	silence() // before a server of a test logs
	goleak.VerifyTestMain(m)
}

func options(change ...func(*Options)) *Options {
	o := new(Options)
	o.SetDefaults()
	for _, f := range change {
		f(o)
	}
	return o
}

func module(t testing.TB, change ...func(*Options)) *probe.Module {
	t.Helper()
	p, err := options(change...).Compile()
	if err != nil {
		t.Fatal(err)
	}
	return &probe.Module{Name: "test", Kind: "grpc", Prober: p}
}

func service(name string) func(*Options) { return func(o *Options) { o.Service = name } }

func trusting(ca *probetest.Authority) func(*Options) {
	return func(o *Options) { o.TLS, o.TLSConfig.CA = true, ca.PEM }
}

// serve runs a server with a health service until the test ends.
func serve(t testing.TB, service grpc_health_v1.HealthServer, opts ...grpc.ServerOption) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, service, opts...)
}

func serveOn(t testing.TB, l net.Listener, service grpc_health_v1.HealthServer, opts ...grpc.ServerOption) netip.AddrPort {
	t.Helper()
	s := grpc.NewServer(opts...)
	grpc_health_v1.RegisterHealthServer(s, service)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// healthy is a health service that knows three services.
func healthy() *health.Server {
	h := health.NewServer()
	h.SetServingStatus("up", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	return h
}

// recorder is a health service that keeps what calls bring along, and answers with an error if it has one.
type recorder struct {
	grpc_health_v1.UnimplementedHealthServer
	err error

	mu       sync.Mutex
	metadata metadata.MD
}

func (r *recorder) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metadata, _ = metadata.FromIncomingContext(ctx)
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, r.err
}

func (r *recorder) seen(key string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.metadata.Get(key)
}

func TestServiceStates(t *testing.T) {
	addr := serve(t, healthy()).String()
	for _, target := range []string{addr, "http://" + addr, "https://" + addr + "/path", "GRPC://" + addr} {
		r := probetest.Ask(t, module(t), probe.Request{Target: target})
		probetest.WantUp(t, r)
		if *r.GRPC != (probe.GRPCFacts{Tried: true, Serving: "SERVING"}) || r.TLS != nil || r.Resolve == nil {
			t.Errorf("%s: got %+v", target, r.GRPC)
		}
		if r.Phases.Connect <= 0 || r.Phases.Processing <= 0 || r.Phases.TLS != 0 {
			t.Errorf("phases %+v", r.Phases)
		}
	}
	probetest.WantUp(t, probetest.Ask(t, module(t, service("up")), probe.Request{Target: addr}))

	down := probetest.Ask(t, module(t, service("down")), probe.Request{Target: addr})
	probetest.WantDown(t, down, probe.StageCheck, probe.ReasonNotServing)
	if down.GRPC.Serving != "NOT_SERVING" || down.GRPC.StatusCode != uint32(codes.OK) {
		t.Errorf("got %+v", down.GRPC)
	}
	unknown := probetest.Ask(t, module(t, service("nothing")), probe.Request{Target: addr})
	probetest.WantDown(t, unknown, probe.StageCheck, probe.ReasonStatusCode)
	if unknown.GRPC.StatusCode != uint32(codes.NotFound) || unknown.GRPC.Serving != "" {
		t.Errorf("got %+v", unknown.GRPC)
	}
}

func TestStatusOfTheServerIsNotTakenForOurs(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Canceled, codes.Unimplemented, codes.Code(99)} {
		addr := serve(t, &recorder{err: status.Error(code, "on purpose")})
		r := probetest.Ask(t, module(t), probe.Request{Target: addr.String()})
		probetest.WantDown(t, r, probe.StageCheck, probe.ReasonStatusCode)
		if r.GRPC.StatusCode != uint32(code) || !strings.Contains(r.Failure.Error(), "on purpose") {
			t.Errorf("%s: got %+v, %v", code, r.GRPC, r.Failure)
		}
	}
}

func TestTLS(t *testing.T) {
	ca := probetest.NewAuthority(t)
	secure := func(c *tls.Config) netip.AddrPort { return serve(t, healthy(), grpc.Creds(credentials.NewTLS(c))) }
	cert := ca.Issue()
	r := probetest.Ask(t, module(t, trusting(ca)), probe.Request{Target: secure(&tls.Config{Certificates: []tls.Certificate{cert}}).String()})
	probetest.WantUp(t, r)
	if !r.GRPC.TLS || r.TLS == nil || r.TLS.ChainExpiry.IsZero() || r.Phases.TLS <= 0 {
		t.Errorf("got %+v, %+v", r.GRPC, r.TLS)
	}

	other := probetest.Ask(t, module(t, trusting(probetest.NewAuthority(t))), probe.Request{Target: secure(&tls.Config{Certificates: []tls.Certificate{cert}}).String()})
	probetest.WantDown(t, other, probe.StageTLS, probe.ReasonCertificateAuthority)
	if other.TLS == nil || other.TLS.EarliestExpiry.IsZero() || other.GRPC.TLS || other.GRPC.StatusCode != uint32(codes.Unavailable) {
		t.Errorf("the refused certificate is to be shown: %+v, %+v", other.GRPC, other.TLS)
	}

	demanding := probetest.Ask(t, module(t, trusting(ca)), probe.Request{Target: secure(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}).String()})
	probetest.WantDown(t, demanding, probe.StageTLS, probe.ReasonClientCertificate)

	plain := probetest.Ask(t, module(t, trusting(ca)), probe.Request{Target: serve(t, healthy()).String()})
	probetest.WantDown(t, plain, probe.StageTLS, probe.ReasonNotTLS)

	withoutALPN := probetest.Listen(t, probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{cert}}, probetest.Drain))
	probetest.WantDown(t, probetest.Ask(t, module(t, trusting(ca)), probe.Request{Target: withoutALPN.String()}), probe.StageTLS, probe.ReasonTLSHandshake)
}

func TestServerThatTakesNoLargeClientHello(t *testing.T) {
	ca := probetest.NewAuthority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := serveOn(t, probetest.ShortHellos(l), healthy(), grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}})))
	m := module(t, trusting(ca), func(o *Options) { o.Metadata = map[string][]config.Secret{"authorization": {"secret"}} })
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: addr.String()}))
}

func TestAuthorityAndMetadata(t *testing.T) {
	server := new(recorder)
	addr := serve(t, server)
	m := module(t, func(o *Options) {
		o.Metadata = map[string][]config.Secret{"X-Tenant": {"a", "b"}, "Authorization": {"Bearer canary"}, "raw-bin": {"\x00\xff"}}
	})
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: addr.String()}))
	for key, want := range map[string][]string{
		"x-tenant": {"a", "b"}, "authorization": {"Bearer canary"}, "raw-bin": {"\x00\xff"}, ":authority": {addr.String()},
	} {
		if got := server.seen(key); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	probetest.WantUp(t, probetest.Ask(t, m, probe.Request{Target: addr.String(), Hostname: "virtual.example"}))
	if got := server.seen(":authority"); !slices.Equal(got, []string{"virtual.example"}) {
		t.Errorf("authority %q", got)
	}
}

func TestSecretsAreNotRepeated(t *testing.T) {
	addr := serve(t, &recorder{err: status.Error(codes.PermissionDenied, `who is "Bearer canary-1", or canary-1, or canary-2?`)})
	m := module(t, func(o *Options) {
		o.Metadata = map[string][]config.Secret{"authorization": {"Bearer canary-1"}, "x-key": {"canary-2"}}
	})
	trace := new(probe.Trace)
	r := probetest.Ask(t, m, probe.Request{Target: addr.String(), Trace: trace})
	probetest.WantDown(t, r, probe.StageCheck, probe.ReasonStatusCode)
	text := r.Failure.Error()
	for _, step := range trace.Steps() {
		text += "\n" + step.Text
	}
	if strings.Contains(text, "canary") || !strings.Contains(text, "<secret>") {
		t.Error(text)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	_, err := options(func(o *Options) {
		o.Metadata = map[string][]config.Secret{"a b": {"x"}, "grpc-timeout": {"1S"}, "x-line": {"canary\n"}, "x-name": {"cänary"}, "": {"x"}, "x-fine": {"y"}}
		o.TLSConfig.CAFile = "/does/not/exist"
	}).Compile()
	texts := probetest.OptionErrorTexts(err)
	if len(texts) != 6 || strings.Contains(strings.Join(texts, ""), "nary") {
		t.Errorf("got %q", texts)
	}
}

func TestTargets(t *testing.T) {
	m := module(t)
	for target, want := range map[string]probe.Destination{
		"example.com": {Host: "example.com", Port: 80}, "example.com:50051": {Host: "example.com", Port: 50051},
		"http://[::1]:1/x": {Host: "::1", Port: 1}, "::1": {Host: "::1", Port: 80},
	} {
		if got, err := m.Prober.(probe.Locator).Locate(target); err != nil || got.Host != want.Host || got.Port != want.Port {
			t.Errorf("%s: %+v, %v", target, got, err)
		}
	}
	if got, err := module(t, func(o *Options) { o.TLS = true }).Prober.(probe.Locator).Locate("example.com"); err != nil || got.Port != 443 {
		t.Errorf("TLS: %+v, %v", got, err)
	}
	for _, target := range []string{"", "host:0", "host:x y", "tcp://host:1", "user@host:1", "http://"} {
		_, err := m.Prober.Probe(t.Context(), probe.Request{Target: target})
		var bad *probe.TargetError
		if !errors.As(err, &bad) {
			t.Errorf("%q: got %v, want a TargetError", target, err)
		}
	}
	if _, err := m.Prober.Probe(t.Context(), probe.Request{Target: "127.0.0.1:1", Hostname: "a b"}); !probe.Is[*probe.TargetError](err) {
		t.Errorf("hostname: got %v, want a TargetError", err)
	}
}

func TestGuardIsAskedAboutTheAddressThatIsDialled(t *testing.T) {
	addr := serve(t, healthy())
	g, err := guard.Options{Deny: []string{"127.0.0.0/8"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{addr.String(), "localhost:" + probetest.PortOf(addr)} {
		_, err := module(t, func(o *Options) { o.IPProtocol = "ip4" }).Prober.Probe(t.Context(), probe.Request{Target: target, Guard: g})
		if !probe.Is[*probe.DeniedError](err) {
			t.Errorf("%s: got %v, want a DeniedError", target, err)
		}
	}
}

func TestWhereTheWayEnds(t *testing.T) {
	refused := probetest.Ask(t, module(t), probe.Request{Target: probetest.ClosedPort(t).String()})
	probetest.WantDown(t, refused, probe.StageConnect, probe.ReasonConnectionRefused)
	if refused.GRPC.StatusCode != uint32(codes.Unavailable) || !refused.GRPC.Tried {
		t.Errorf("got %+v", refused.GRPC)
	}
	family := probetest.Ask(t, module(t, func(o *Options) { o.IPProtocolFallback = false }), probe.Request{Target: "127.0.0.1:1"})
	probetest.WantDown(t, family, probe.StageResolve, probe.ReasonNoIPProtocol)
	if *family.GRPC != (probe.GRPCFacts{}) {
		t.Errorf("got %+v", family.GRPC)
	}
}

func TestCallerThatLeavesGetsNoVerdict(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := probetest.Listen(t, func(c net.Conn) {
		c.Read(make([]byte, 1))
		cancel()
		probetest.Drain(c)
	})
	_, err := new(probe.Runner).Do(ctx, module(t), probe.Request{Target: addr.String(), Timeout: time.Minute})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

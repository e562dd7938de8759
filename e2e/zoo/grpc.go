package zoo

import (
	"context"
	"crypto/tls"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Health starts a gRPC server with a health service: the server, "up" and "service1" are serving, "down" is not, and "wants-key" is for
// calls with the metadata x-key: sesame. config nil: without TLS.
func Health(t testing.TB, config *tls.Config) string {
	h := keyed{health.NewServer()}
	h.SetServingStatus("service1", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("up", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	var options []grpc.ServerOption
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	s := grpc.NewServer(options...)
	grpc_health_v1.RegisterHealthServer(s, h)
	return serveGRPC(t, s)
}

// NoHealth starts a gRPC server without services.
func NoHealth(t testing.TB) string { return serveGRPC(t, grpc.NewServer()) }

func serveGRPC(t testing.TB, s *grpc.Server) string {
	t.Helper()
	l := Listen(t, "127.0.0.1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return l.Addr().String()
}

// keyed is a health service with one service that wants a key.
type keyed struct{ *health.Server }

func (k keyed) Check(ctx context.Context, in *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if in.GetService() != "wants-key" {
		return k.Server.Check(ctx, in)
	}
	sent, _ := metadata.FromIncomingContext(ctx)
	if !slices.Equal(sent.Get("x-key"), []string{"sesame"}) {
		return nil, status.Error(codes.PermissionDenied, "the key is missing")
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

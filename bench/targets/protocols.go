//go:build linux

package main

import (
	"fmt"
	"net"
	"net/http"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// serveProtocols starts a gRPC server that is healthy and a server of WebSockets that are silent, and puts their ports into
// ports.
func serveProtocols(ports map[string]int) error {
	calls, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return fmt.Errorf("listening for grpc: %w", err)
	}
	sockets, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return fmt.Errorf("listening for websocket: %w", err)
	}
	ports["grpc"], ports["websocket"] = calls.Addr().(*net.TCPAddr).Port, sockets.Addr().(*net.TCPAddr).Port
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go server.Serve(calls)
	go http.Serve(sockets, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		<-conn.CloseRead(r.Context()).Done()
		conn.CloseNow()
	}))
	return nil
}

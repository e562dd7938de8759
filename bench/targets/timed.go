//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// timed notes when each target, an address of ours, was connected to.
type timed struct {
	mu     sync.Mutex
	last   map[netip.Addr]time.Time
	gaps   []time.Duration // between two connections to one target
	number int             // of connections
}

// arrive is called with each connection.
func (t *timed) arrive(conn net.Conn) {
	now := time.Now()
	to := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr()
	t.mu.Lock()
	defer t.mu.Unlock()
	if before, ok := t.last[to]; ok {
		t.gaps = append(t.gaps, now.Sub(before))
	}
	t.last[to] = now
	t.number++
}

// serve answers questions on the port that it returns.
func (t *timed) serve() (port int, err error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("listening for questions about arrivals: %w", err)
	}
	go func() { log.Fatal(http.Serve(listener, t)) }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// ServeHTTP says how many connections there were since it was asked last, and the 99th percentile of how far the gaps between
// them are from the parameter interval. An interval of 0 forgets all connections.
func (t *timed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	interval, err := time.ParseDuration(r.URL.Query().Get("interval"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	t.mu.Lock()
	number, off := t.number, t.gaps
	t.number, t.gaps = 0, nil
	if interval == 0 {
		clear(t.last)
	}
	t.mu.Unlock()
	for i := range off {
		off[i] = (off[i] - interval).Abs()
	}
	slices.Sort(off)
	jitter := 0.0
	if len(off) > 0 {
		jitter = off[len(off)*99/100].Seconds() * 1e3
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Count": number, "Jitter99Ms": jitter}) // an error means that the benchmark has ended
}

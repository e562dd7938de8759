// Package port keeps the connections of our ports within a limit: slow and idle clients make room for others, and a request is
// known to have waited. It knows nothing of what a request asks for.
package port

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"rollcall/probe/network"
)

// Connections limits how many connections our ports hold, so that probes always find a descriptor and slow clients do not
// keep others out. A connection beyond the limit replaces the one that has been idle longest, or else one that is slow to
// send its request or to read its reply; one whose request is being worked on is never closed.
//
// netutil.LimitListener is no replacement: at the limit it accepts nothing until a connection closes, and idle ones close only
// after IdleTimeout, which is above the scrape interval. A health check or the watchdog would wait that long.
type Connections struct {
	limit    int
	patience [idle + 1]time.Duration // how long a connection may be in a state when others wait for its place
	failed   func(error)
	main     *Connections // those that this is the reserve of; nil: none

	mu   sync.Mutex
	open int
	// queues are the rings of the connections in each state, the longest without progress first, after a head that is none.
	queues [idle + 1]connection
	room   chan struct{} // capacity 1: a connection closed or became idle
}

// state is what a connection waits for.
type state int

const (
	reading state = iota // its client sends a request, or receives the end of a reply
	working              // a handler of ours: it is never closed
	writing              // its client receives a reply
	idle                 // nothing: it is between requests
)

// ReadPatience is how long a request may take to arrive when others wait for its connection's place. Among ten thousand
// at once on a busy machine a good one may take more than a second.
const ReadPatience = 3 * time.Second

// writePatience is how long a client may take to read the next writePiece of a reply when others wait for its connection's
// place. Where there are few places it is patiencePerPlace for each, so that 50 clients a second that read nothing keep
// no other out.
const (
	writePatience    = 3 * time.Second
	patiencePerPlace = 20 * time.Millisecond
	writePiece       = 64 << 10
)

// New returns a limit for the connections of all listeners together. failed is called on the listener's
// goroutine with the *probe.ExporterError that keeps us from accepting one.
func New(limit int, failed func(error)) *Connections {
	c := &Connections{
		limit: limit, failed: failed, room: make(chan struct{}, 1),
		patience: [...]time.Duration{reading: ReadPatience, writing: min(writePatience, time.Duration(limit)*patiencePerPlace), idle: 0},
	}
	for n := range c.queues {
		c.queues[n].prev, c.queues[n].next = &c.queues[n], &c.queues[n]
	}
	return c
}

// Reserve returns a limit for the connections of a listener that must answer also when c is full. When no descriptor is left
// for one, it takes that of a connection in c.
func (c *Connections) Reserve(limit int) *Connections {
	reserve := New(limit, c.failed)
	reserve.main = c
	return reserve
}

// Listen returns l with its connections counted. They must be served by a server that is attached, and by handlers under Answering.
func (c *Connections) Listen(l net.Listener) net.Listener {
	return &listener{Listener: l, connections: c, closed: make(chan struct{})}
}

// Attach follows the state of server's connections.
func (c *Connections) Attach(server *http.Server) {
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if known := counted(conn); known != nil {
			c.changed(known, state)
		}
	}
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if known := counted(conn); known != nil {
			return context.WithValue(ctx, connectionKey{}, known)
		}
		return ctx
	}
}

type connectionKey struct{}

// counted finds our connection below TLS.
func counted(conn net.Conn) *connection {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	known, _ := conn.(*connection)
	return known
}

// Answering runs next and keeps the request's connection from being closed meanwhile.
func Answering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
			conn.pool.count(conn, 1, 0)
			defer conn.pool.count(conn, -1, 0)
			w = &replyWriter{w, conn}
		}
		next.ServeHTTP(w, r)
	})
}

// replyWriter notes when a reply makes no progress. It sees what a connection cannot: that a stream of HTTP/2 waits for its
// window.
type replyWriter struct {
	http.ResponseWriter
	conn *connection
}

// Unwrap implements what http.ResponseController looks for.
func (w *replyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *replyWriter) Write(p []byte) (n int, err error) {
	for {
		piece := p[n:min(len(p), n+writePiece)]
		w.conn.pool.count(w.conn, 0, 1)
		written, err := w.ResponseWriter.Write(piece)
		w.conn.pool.count(w.conn, 0, -1)
		if n += written; err != nil || n >= len(p) {
			return n, err
		}
	}
}

// SinceArrived is how long ago r reached this machine: how long it waited for a processor.
func SinceArrived(r *http.Request) time.Duration {
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		return sinceArrival(conn.Conn)
	}
	return 0
}

// listener counts what it accepts.
type listener struct {
	net.Listener
	connections *Connections
	close       sync.Once
	closed      chan struct{}
}

func (l *listener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Accept returns a connection once there is room for it. An error of this machine, e.g. no descriptor left, is counted and
// closes an idle connection; net/http waits a moment and tries again.
func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		if fault := network.LocalFault(err); fault != nil {
			l.connections.failed(fault)
			if c := l.connections; !c.evict() && c.main != nil {
				c.main.evict()
			}
		}
		return nil, err
	}
	conn := &connection{Conn: accepted, pool: l.connections}
	l.connections.admit(conn, l.closed)
	return conn, nil
}

// admit waits for room and counts conn. When the listener is closed it closes conn instead.
func (c *Connections) admit(conn *connection, closed <-chan struct{}) {
	if c.add(conn) {
		return
	}
	retry := time.NewTicker(min(c.patience[reading], c.patience[writing]) / 10)
	defer retry.Stop()
	for !c.add(conn) {
		select {
		case <-c.room:
		case <-retry.C: // a slow one may be over its time
		case <-closed:
			conn.Close()
			return
		}
	}
}

func (c *Connections) add(conn *connection) bool {
	c.mu.Lock()
	full := c.open >= c.limit
	c.mu.Unlock()
	if full && !c.evict() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	c.enqueue(conn, reading)
	return true
}

// evict closes the connection that is needed least, if any may be closed.
func (c *Connections) evict() bool {
	return c.closeLongest(idle) || c.closeLongest(reading) || c.closeLongest(writing)
}

// closeLongest closes the connection that has been in a state longest, if one has been longer than its patience.
func (c *Connections) closeLongest(in state) bool {
	c.mu.Lock()
	victim := c.longest(in)
	c.mu.Unlock()
	if victim == nil {
		return false
	}
	victim.Close()
	return true
}

// longest is what closeLongest closes. c.mu is held.
func (c *Connections) longest(in state) *connection {
	head := &c.queues[in]
	if head.next == head || time.Since(head.next.since) < c.patience[in] {
		return nil
	}
	return head.next
}

// Relieve closes the connection of the port of r whose client has read nothing for longest, because there is no memory for
// r's reply.
func Relieve(r *http.Request) {
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		conn.pool.closeLongest(writing)
	}
}

// changed records a state of net/http's server, which alone knows when the last byte of a reply has been sent.
func (c *Connections) changed(conn *connection, now http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case now == http.StateIdle:
		c.enter(conn, idle)
		c.signal()
	case now == http.StateActive && conn.state == idle:
		c.enter(conn, reading)
	}
}

// count adds to the handlers that answer requests of conn and to those of them that send a part of their reply; HTTP/2 has
// several at a time. A part that was sent is progress of the client, also for handlers that still send.
func (c *Connections) count(conn *connection, handlers, writers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.handlers += handlers
	conn.writers += writers
	next := reading
	switch {
	case conn.writers > 0:
		next = writing
	case conn.handlers > 0:
		next = working
	}
	if next != conn.state || writers < 0 {
		c.enter(conn, next)
	}
}

// enter puts conn, if it still has a place, at the end of a queue. c.mu is held.
func (c *Connections) enter(conn *connection, next state) {
	if conn.next != nil {
		conn.dequeue()
		c.enqueue(conn, next)
	}
}

func (c *Connections) enqueue(conn *connection, in state) {
	head := &c.queues[in]
	conn.state, conn.since = in, time.Now()
	conn.prev, conn.next = head.prev, head
	head.prev.next, head.prev = conn, conn
}

// signal wakes one goroutine that waits in admit. c.mu is held.
func (c *Connections) signal() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// connection is one that counts. The pool's lock guards its fields.
type connection struct {
	net.Conn
	pool *Connections

	prev, next *connection // in the queue of state, which a list.List would allocate for; nil: it takes no place, or no longer
	state      state
	since      time.Time // of the last progress
	handlers   int       // answering its requests now
	writers    int       // those of them that send a part of their reply
}

func (conn *connection) dequeue() {
	conn.prev.next, conn.next.prev = conn.next, conn.prev
	conn.prev, conn.next = nil, nil
}

func (conn *connection) Close() error {
	conn.pool.leave(conn)
	return conn.Conn.Close()
}

// leave frees conn's place, once.
func (c *Connections) leave(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn.next == nil {
		return
	}
	conn.dequeue()
	c.open--
	c.signal()
}

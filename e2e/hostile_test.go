//go:build unix

package e2e

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// withPeer runs the hostile suite against blackbox_exporter instead, for comparison:
// go test ./e2e -run Hostile -peer -v. Failures are then those of blackbox_exporter.
var withPeer = flag.Bool("peer", false, "run the hostile suite against Debian's blackbox_exporter")

// A row is one hostile case, with its number in the list of cases.
type row struct {
	number int
	name   string
	visits []visit // the modules it needs
	test   func(t *testing.T, h *hostile)
}

// crowded are the rows that load the whole machine; they run alone.
var crowded = map[int]bool{11: true, 32: true, 46: true, 50: true}

// hostileRows are all seventy.
func hostileRows() []row {
	var all []row
	for _, some := range [][]row{requestRows(), nameRows(), tcpRows(), tlsRows(), httpRows(), ourselvesRows(), secondRows()} {
		all = append(all, some...)
	}
	return all
}

// hostile is the exporter under attack and its attackers.
type hostile struct {
	*exporter
	park *park
	peer bool
}

// TestHostile runs the binary against hostile peers and clients. Unless a row says otherwise, the reply is a 200 with
// probe_success 0 and exactly one stage and reason, and arrives before the deadline. After all rows the numbers of
// goroutines and descriptors are the same as at the start.
func TestHostile(t *testing.T) {
	p := newPark(t)
	rows := hostileRows()
	var all []visit
	for i, r := range rows {
		if r.number != i+1 {
			t.Fatalf("row %d is at position %d", r.number, i+1)
		}
		all = append(all, r.visits...)
	}
	bin, config, args := rollcall, hostileGuard+modulesFile(p, all), []string{"--log.level=debug"}
	if *withPeer {
		bin, config, args = peer(t), modulesFile(p, keepShared(all)), nil
	}
	h := &hostile{startExporter(t, bin, config, args, withNameServer(t)...), p, *withPeer}
	before := h.footprint(t)
	t.Run("row", func(t *testing.T) {
		for _, r := range rows {
			t.Run(fmt.Sprintf("%02d %s", r.number, r.name), func(t *testing.T) {
				if !crowded[r.number] {
					t.Parallel()
				}
				r.test(t, h)
			})
		}
	})
	if !*withPeer {
		h.awaitFootprint(t, before)
	}
	if len(h.text()) > 4<<20 {
		t.Errorf("the log grew to %d bytes", len(h.text()))
	}
}

// hostileGuard is the guard of the exporter under attack: 127.0.0.2 stands for an address that must not be reached.
const hostileGuard = "guard: {deny: [127.0.0.2]}\n"

// keepShared keeps the visits whose options blackbox_exporter 0.23 has.
func keepShared(all []visit) []visit {
	var shared []visit
	for _, v := range all {
		if v.alone == "" {
			shared = append(shared, v)
		}
	}
	return shared
}

// status requests path and wants one of the given statuses.
func (h *hostile) status(t *testing.T, method, path string, want ...int) answer {
	t.Helper()
	reply, err := h.do(t.Context(), method, path)
	if err != nil {
		t.Errorf("%s %s: %v", method, shorten(path), err)
		return reply
	}
	for _, status := range want {
		if reply.Status == status {
			return reply
		}
	}
	t.Errorf("%s %s: status %d, want %v: %s", method, shorten(path), reply.Status, want, shorten(reply.Body))
	return reply
}

func shorten(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%.200s… (%d bytes)", s, len(s))
	}
	return s
}

// visit runs a visit of the row and compares its verdict, "up" or "down STAGE/REASON", with those wanted. For
// blackbox_exporter, which has no reasons, only up and down are compared.
func (h *hostile) visit(t *testing.T, v visit, want ...string) exposition {
	t.Helper()
	if h.peer && v.alone != "" {
		t.Fatalf("%s: %s", v.name, v.alone)
	}
	return h.probe(t, v.query(h.park), 10*time.Second, want...)
}

// probe does the same for a request's path. The reply must arrive within limit.
func (h *hostile) probe(t *testing.T, path string, limit time.Duration, want ...string) exposition {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	reply, err := h.get(ctx, path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if reply.Status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", path, reply.Status, shorten(reply.Body))
	}
	e, err := parseExposition(reply.Body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	got := e.verdict()
	if h.peer {
		got = "down"
		if success, ok := e.value("probe_success"); ok && success == 1 {
			got = "up"
		}
	}
	for _, w := range want {
		if got == w || h.peer && strings.HasPrefix(w, got) {
			return e
		}
	}
	t.Errorf("%s: %s, want %s", path, got, strings.Join(want, " or "))
	return e
}

// probePath returns the path of a probe; params are names and values in turn.
func probePath(pairs ...string) string {
	q := make(url.Values)
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return "/probe?" + q.Encode()
}

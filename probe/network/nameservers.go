package network

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// systemServers follows the machine's list of name servers, which is one for the whole process, as net's own is.
var systemServers = &nameServers{path: "/etc/resolv.conf"}

// nameServers remembers the name servers of a resolv.conf. Package net asks this machine when the file is missing or names
// none, as resolv.conf(5) says; while such a file is written anew, every name would be down for a moment.
type nameServers struct {
	path string

	mu     sync.Mutex
	looked time.Time // when the file was last read; zero: never
	last   []string  // the last list that was not empty, as host:port
	broken error     // why the file names none now; nil: it does
}

// reread is how often the file is read: as often as package net does.
const reread = 5 * time.Second

// choose returns the server to ask where package net would ask asked. The error says that the file names no server and never
// has; asked is then this machine, which may or may not have one.
func (n *nameServers) choose(asked string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); n.looked.IsZero() || now.Sub(n.looked) >= reread {
		n.looked = now
		servers, err := readNameServers(n.path)
		if n.broken = err; err == nil {
			n.last = servers
		}
	}
	switch {
	case n.broken == nil:
		return asked, nil
	case len(n.last) == 0:
		return asked, n.broken
	case strings.HasPrefix(asked, "[") && len(n.last) > 1: // net's second of two defaults, [::1]:53
		return n.last[1], nil
	default:
		return n.last[0], nil
	}
}

// readNameServers reads the addresses that follow "nameserver".
func readNameServers(path string) (servers []string, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(content)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if _, err := netip.ParseAddr(words[1]); err == nil {
			servers = append(servers, net.JoinHostPort(words[1], "53"))
		}
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("%s: it names no name server", path)
	}
	return servers, nil
}

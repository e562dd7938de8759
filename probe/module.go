package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"
)

// DefaultTimeout limits a probe for which neither the module nor the caller names a limit.
const DefaultTimeout = 120 * time.Second

// Module is a named way to check targets, compiled from its options and never changed afterwards.
type Module struct {
	Name    string
	Kind    string        // the prober's name: "http", "tcp", "icmp", "dns", "unix", "grpc", "websocket"
	Timeout time.Duration // 0: only the caller limits
	Prober  Prober
	// NameServer is asked for the names that a probe looks up, e.g. 192.0.2.53:53; empty: the system's are.
	NameServer string
	Guard      Guard // judges each address of a probe; nil: every address is allowed
}

// ErrUnknownModule is wrapped by the error of a lookup for a module that the configuration does not have.
var ErrUnknownModule = errors.New("no such module")

// ErrUnsupportedProber is wrapped by Compile's error for a module whose prober is not built in.
var ErrUnsupportedProber = errors.New("this prober is not built in")

// UnusableModule is the error of a lookup for a module that is configured and cannot be used. It wraps
// ErrUnsupportedProber when its prober is not built in.
type UnusableModule struct {
	Name string
	Err  error // the reasons, each on its line with file, line and path
}

func (e *UnusableModule) Error() string {
	return fmt.Sprintf("module %q cannot be used: %s", e.Name, e.Err)
}

func (e *UnusableModule) Unwrap() error { return e.Err }

// Guard decides which addresses may be dialled. Many goroutines may use one at once.
type Guard interface {
	// Allow judges the address that is about to be dialled for host: the name or address as it was asked for, in ASCII,
	// without port and brackets. Its error is a *DeniedError.
	Allow(host string, addr netip.AddrPort) error
	// AllowPath judges the Unix socket that is about to be opened: an absolute path without symbolic links, or an
	// abstract name, which begins with @. Its error is a *DeniedError.
	AllowPath(path string) error
}

// Allow asks g about an address, as Guard.Allow does; a nil g allows every address.
func Allow(g Guard, host string, addr netip.AddrPort) error {
	if g == nil {
		return nil
	}
	return g.Allow(host, addr)
}

// AllowPath asks g about a Unix socket, as Guard.AllowPath does; a nil g allows every one.
func AllowPath(g Guard, path string) error {
	if g == nil {
		return nil
	}
	return g.AllowPath(path)
}

// Locator is a Prober that can say where a probe of a target would connect, without probing.
type Locator interface {
	// Locate reads target as Probe does. Its error is a *TargetError.
	Locate(target string) (Destination, error)
}

// Destination is where a probe of a target connects: what a guard judges.
type Destination struct {
	Host       string // a name or an address, without brackets
	Port       uint16 // 0: the protocol has none
	Unresolved bool   // a proxy resolves Host
	Path       string // of a Unix socket, as Guard.AllowPath takes it; empty: the target is a host
	// Via chooses the proxy on the way to an address of Host. A nil func, or a nil URL: none.
	Via func(netip.AddrPort) (*url.URL, error)
}

// NameServerOf is the name server of the module whose probe ctx belongs to, e.g. 192.0.2.53:53. Empty: the system's.
func NameServerOf(ctx context.Context) string {
	if limit := LimitOf(ctx); limit != nil {
		return limit.nameServer
	}
	return ""
}

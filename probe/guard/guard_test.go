package guard

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func newGuard(t testing.TB, o Options) *Guard {
	t.Helper()
	g, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGuardJudges(t *testing.T) {
	for name, c := range map[string]struct {
		allow, deny string // separated by blanks
		host        string
		addr        string
		entry       string // the deciding one; empty: none
		denied      bool
	}{
		"nothing is said":                  {host: "example.com", addr: "192.0.2.1:80"},
		"an address is denied":             {deny: "192.0.2.1", host: "example.com", addr: "192.0.2.1:80", entry: "192.0.2.1", denied: true},
		"another one is not":               {deny: "192.0.2.1", host: "example.com", addr: "192.0.2.2:80"},
		"a network is denied":              {deny: "10.0.0.0/8", host: "10.1.2.3", addr: "10.1.2.3:80", entry: "10.0.0.0/8", denied: true},
		"a port is denied":                 {deny: "10.0.0.0/8:22", host: "10.1.2.3", addr: "10.1.2.3:22", entry: "10.0.0.0/8:22", denied: true},
		"another port is not":              {deny: "10.0.0.0/8:22", host: "10.1.2.3", addr: "10.1.2.3:23"},
		"a range of ports, its end":        {deny: "10.0.0.1:20-22", host: "10.0.0.1", addr: "10.0.0.1:22", entry: "10.0.0.1:20-22", denied: true},
		"a range of ports, behind it":      {deny: "10.0.0.1:20-22", host: "10.0.0.1", addr: "10.0.0.1:23"},
		"a name is denied":                 {deny: "evil.example", host: "Evil.Example.", addr: "192.0.2.1:80", entry: "evil.example", denied: true},
		"names below a wildcard":           {deny: "*.example.com", host: "a.b.EXAMPLE.com", addr: "192.0.2.1:80", entry: "*.example.com", denied: true},
		"not the wildcard's own name":      {deny: "*.example.com", host: "example.com", addr: "192.0.2.1:80"},
		"not a name that only ends so":     {deny: "*.example.com", host: "badexample.com", addr: "192.0.2.1:80"},
		"IPv6 with a port":                 {deny: "[2001:db8::/32]:443", host: "x", addr: "[2001:db8::1]:443", entry: "[2001:db8::/32]:443", denied: true},
		"a mapped address is IPv4":         {deny: "127.0.0.0/8", host: "::ffff:127.0.0.1", addr: "[::ffff:127.0.0.1]:80", entry: "127.0.0.0/8", denied: true},
		"a mapped entry is IPv4":           {deny: "::ffff:127.0.0.0/104", host: "127.0.0.1", addr: "127.0.0.1:80", entry: "::ffff:127.0.0.0/104", denied: true},
		"a zone does not hide":             {deny: "fe80::/10", host: "fe80::1%eth0", addr: "[fe80::1%eth0]:80", entry: "fe80::/10", denied: true},
		"0.0.0.0 is this host":             {deny: "127.0.0.0/8", host: "0.0.0.0", addr: "0.0.0.0:80", entry: "127.0.0.0/8", denied: true},
		":: is this host":                  {deny: "::1", host: "::", addr: "[::]:80", entry: "::1", denied: true},
		"through NAT64":                    {deny: "169.254.169.254", host: "x", addr: "[64:ff9b::a9fe:a9fe]:80", entry: "169.254.169.254", denied: true},
		"through 6to4":                     {deny: "169.254.169.254", host: "x", addr: "[2002:a9fe:a9fe::1]:80", entry: "169.254.169.254", denied: true},
		"an address is allowed":            {allow: "10.0.0.0/8", host: "x", addr: "10.0.0.1:80", entry: "10.0.0.0/8"},
		"what is not allowed is denied":    {allow: "10.0.0.0/8", host: "x", addr: "192.0.2.1:80", denied: true},
		"an allowed name goes anywhere":    {allow: "*.example.com", host: "a.example.com", addr: "192.0.2.1:80", entry: "*.example.com"},
		"but not to what is denied":        {allow: "*.example.com", deny: "169.254.169.254", host: "a.example.com", addr: "169.254.169.254:80", entry: "169.254.169.254", denied: true},
		"an allowed name at another port":  {allow: "status.example.org:443", host: "status.example.org", addr: "192.0.2.1:80", denied: true},
		"an address is not its name":       {allow: "example.com", host: "192.0.2.1", addr: "192.0.2.1:80", denied: true},
		"allowing one family says nothing": {allow: "0.0.0.0/0", host: "x", addr: "[2001:db8::1]:80", denied: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, Options{Allow: strings.Fields(c.allow), Deny: strings.Fields(c.deny)})
			addr := netip.MustParseAddrPort(c.addr)
			v := g.judge(c.host, addr)
			if v.Allowed == c.denied || v.Entry != c.entry {
				t.Errorf("got %s", v)
			}
			err := g.Allow(c.host, addr)
			var denied *probe.DeniedError
			if errors.As(err, &denied) != c.denied {
				t.Errorf("allow says %v", err)
			}
			if err != nil && c.entry != "" && !strings.Contains(err.Error(), c.entry) {
				t.Errorf("%q does not name the entry %q", err, c.entry)
			}
		})
	}
}

func TestGuardOfAModuleNarrowsTheOuterOne(t *testing.T) {
	outer := newGuard(t, Options{Allow: []string{"10.0.0.0/8"}, Deny: []string{"10.9.0.0/16"}})
	inner := newGuard(t, Options{Allow: []string{"10.1.0.0/16", "10.9.0.0/16", "192.0.2.0/24"}}).Within(outer)
	for addr, want := range map[string]string{
		"10.1.0.1:80":  `10.1.0.1:80 is allowed by the module's guard, allow: "10.1.0.0/16"`,
		"10.2.0.1:80":  "10.2.0.1:80 is denied by the module's guard: no entry of allow matches",
		"10.9.0.1:80":  `10.9.0.1:80 is denied by guard, deny: "10.9.0.0/16"`,
		"192.0.2.1:80": "192.0.2.1:80 is denied by guard: no entry of allow matches",
	} {
		at := netip.MustParseAddrPort(addr)
		if got := inner.judge(at.Addr().String(), at).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	var none *Guard
	if none.Within(outer) != outer || none.Within(nil) != nil {
		t.Error("a module without a guard has the outer one")
	}
	if err := inner.Within(nil).Allow("x", netip.MustParseAddrPort("192.0.2.1:80")); err != nil {
		t.Errorf("without an outer guard: %v", err)
	}
}

func TestGuardJudgesSockets(t *testing.T) {
	for name, c := range map[string]struct {
		allow, deny string
		path        string
		entry       string
		denied      bool
	}{
		"nothing is said":                     {path: "/run/app.sock"},
		"a path is denied":                    {deny: "unix:/run/docker.sock", path: "/run/docker.sock", entry: "unix:/run/docker.sock", denied: true},
		"another one is not":                  {deny: "unix:/run/docker.sock", path: "/run/docker.sock2"},
		"a wildcard":                          {allow: "unix:/run/*.sock", path: "/run/app.sock", entry: "unix:/run/*.sock"},
		"a wildcard stays within a name":      {allow: "unix:/run/*.sock", path: "/run/app/x.sock", denied: true},
		"a wildcard for a directory":          {allow: "unix:/run/*/app.sock", path: "/run/1/app.sock", entry: "unix:/run/*/app.sock"},
		"all below a directory":               {deny: "unix:/run/", path: "/run/a/b/c", entry: "unix:/run/", denied: true},
		"not what only begins so":             {deny: "unix:/run/", path: "/running/a"},
		"every path":                          {deny: "unix:/", path: "/a/b", entry: "unix:/", denied: true},
		"an abstract name":                    {deny: "unix:@app-*", path: "@app-7", entry: "unix:@app-*", denied: true},
		"every abstract name":                 {deny: "unix:@", path: "@/a/b", entry: "unix:@", denied: true},
		"an abstract name is no path":         {deny: "unix:/", path: "@/a/b"},
		"an allow list of hosts denies paths": {allow: "10.0.0.0/8 *.example.com", path: "/run/app.sock", denied: true},
		"deny wins":                           {allow: "unix:/run/", deny: "unix:/run/docker.sock", path: "/run/docker.sock", entry: "unix:/run/docker.sock", denied: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, Options{Allow: strings.Fields(c.allow), Deny: strings.Fields(c.deny)})
			if v := g.judgePath(c.path); v.Allowed == c.denied || v.Entry != c.entry {
				t.Errorf("got %s", v)
			}
			if err := g.AllowPath(c.path); probe.Is[*probe.DeniedError](err) != c.denied {
				t.Errorf("AllowPath says %v", err)
			}
			if strings.Contains(c.allow+c.deny, "unix:") && g.Allow("unix", netip.MustParseAddrPort("192.0.2.1:80")) != nil != (c.allow != "") {
				t.Error("an entry for sockets says something about hosts")
			}
		})
	}
	if err := (*Guard)(nil).AllowPath("/run/app.sock"); err != nil {
		t.Errorf("no guard: %v", err)
	}
	outer := newGuard(t, Options{Allow: []string{"unix:/run/"}})
	inner := newGuard(t, Options{Deny: []string{"unix:/run/docker.sock"}}).Within(outer)
	for path, want := range map[string]string{
		"/run/docker.sock": `the socket "/run/docker.sock" is denied by the module's guard, deny: "unix:/run/docker.sock"`,
		"/tmp/x":           `the socket "/tmp/x" is denied by guard: no entry of allow matches`,
	} {
		if got := inner.judgePath(path).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestGuardFollowsTheLinksOfItsEntries: /var/run/docker.sock is opened, and judged, as /run/docker.sock.
func TestGuardFollowsTheLinksOfItsEntries(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "run", "app"), 0o755), os.Symlink("run", filepath.Join(dir, "var"))); err != nil {
		t.Fatal(err)
	}
	for entry, socket := range map[string]string{
		"var/docker.sock": "run/docker.sock", "var/": "run/app/x", "var/*.sock": "run/docker.sock", "var/*/x": "run/app/x",
	} {
		g := newGuard(t, Options{Deny: []string{"unix:" + filepath.ToSlash(dir) + "/" + entry}})
		for _, other := range []string{"run", "running/docker.sock", "other/docker.sock"} {
			if err := g.AllowPath(dir + "/" + other); err != nil {
				t.Errorf("%s: %s: %v", entry, other, err)
			}
		}
		if err := g.AllowPath(dir + "/" + socket); !probe.Is[*probe.DeniedError](err) {
			t.Errorf("%s: %s is not denied: %v", entry, socket, err)
		}
	}
}

func TestGuardDeniesCloudMetadataByDefault(t *testing.T) {
	var o Options
	o.SetDefaults()
	g := newGuard(t, o)
	for addr, denied := range map[string]bool{
		"169.254.169.254:80": true, "[::ffff:169.254.169.254]:80": true, "[fd00:ec2::254]:80": true,
		"[64:ff9b::169.254.169.254]:80": true, "[64:ff9b:1::169.254.169.254]:80": true, "[64:ff9b:1:a9fe:a9:fe00::]:80": true,
		"[::169.254.169.254]:80": true, "[::ffff:0:169.254.169.254]:80": true, "[2002:a9fe:a9fe::1]:80": true, "[2001:0:a9fe:a9fe::1]:80": true,
		"[2001:0:1:2:3:4:5601:5601]:80": true, "[2001:db8::5efe:169.254.169.254]:80": true,
		"169.254.170.2:80": true, "100.100.100.200:80": true, "168.63.129.16:80": true, "[fd20:ce::254]:80": true,
		"168.63.129.16:53": false, "169.254.169.253:80": false, "127.0.0.1:80": false, "192.0.2.1:80": false, "[::1]:80": false,
	} {
		if err := g.Allow("x", netip.MustParseAddrPort(addr)); (err != nil) != denied {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// Names are judged in the form in which they are resolved.
func TestGuardTakesInternationalNames(t *testing.T) {
	g := newGuard(t, Options{Deny: []string{"exämple.com", "*.Bücher.example"}})
	for host, denied := range map[string]bool{"xn--exmple-cua.com": true, "shop.xn--bcher-kva.example": true, "example.com": false} {
		if err := g.Allow(host, netip.MustParseAddrPort("192.0.2.1:80")); (err != nil) != denied {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestGuardEntriesAreCheckedAtLoad(t *testing.T) {
	o := Options{
		Allow: []string{"10.0.0.0/8", "10.1.2.3/8", "*", "example..com", "*.*.example.com", ""},
		Deny:  []string{"127.1", "0x7f.1", "2130706433", "10.0.0.0/33", "10.0.0.1:0", "10.0.0.1:9-8", "10.0.0.1:x", "[::1", "[::1]443", "[10.0.0.1]:80", "fe80::1%lo", "::ffff:0:0/64", "a:", "a b", "10.0.0.1:", "unix:/run/[", "unix:/run/*/", "unix:/run/../etc/x", "unix:/run//x", "unix:run/x"},
	}
	_, err := o.Compile()
	faults := probetest.OptionErrorTexts(err)
	if want := len(o.Allow) - 1 + len(o.Deny); len(faults) != want {
		t.Fatalf("got %d faults, want %d:\n%s", len(faults), want, strings.Join(faults, "\n"))
	}
	for i, want := range []string{
		`allow[1]: "10.1.2.3/8" has bits set behind its length; did you mean 10.0.0.0/8, or the address 10.1.2.3 alone?`,
		`allow[2]: "*" is no wildcard; an empty allow list lets through all that is not denied`,
		`allow[3]: "example..com" is not a host name; `,
	} {
		if !strings.HasPrefix(faults[i], want) {
			t.Errorf("got %s, want %s", faults[i], want)
		}
	}
}

func FuzzGuardEntry(f *testing.F) {
	for _, seed := range []string{
		"10.0.0.0/8", "*.example.com", "status.example.org:443", "169.254.169.254", "fd00:ec2::254", "[fd00::/8]:1-2",
		"fd00::/8:443", "::ffff:127.0.0.1", "127.1", "0x7f.1", "[::1%lo]:80", "::/0", "*", "a:0", "[", "]", "/", ":", "-", "unix:/run/*.sock", "unix:@a", "unix:/run/", "unix:80",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseEntry(text)
		if err != nil {
			return
		}
		port := max(e.low, 1)
		if e.path != "" {
			if e.prefix.IsValid() || e.name != "" || !strings.ContainsAny(e.path, `*?[\\`) && !e.matchesPath(e.path) {
				t.Errorf("%q is for more than sockets, or not for its own: %+v", text, e)
			}
			return
		}
		switch {
		case e.prefix.IsValid() == (e.name != ""):
			t.Errorf("%q is for addresses and for names, or for neither: %+v", text, e)
		case e.prefix.IsValid() && !e.matchesAddr(e.prefix.Addr(), port):
			t.Errorf("%q does not match its own address", text)
		case e.name != "" && e.matchesName(e.name, port) == e.wildcard:
			t.Errorf("%q: its own name matches: %t", text, !e.wildcard)
		case e.name != "" && e.matchesName("a."+e.name, port) != e.wildcard:
			t.Errorf("%q: a name below matches: %t", text, !e.wildcard)
		}
	})
}

// Command pictures makes the pictures of the docs: screenshots of a running rollcall's pages (light, dark and as on a
// phone) and the layout of the Grafana dashboard. `make pictures` calls it in the repository's root.
//
//	go run ./e2e/pictures [NAME=PATH ...]
//
// Each argument is a page: its path on rollcall's port, and the name of its pictures. The default is page=/.
// It needs Debian's chromium. All servers that it starts listen on loopback.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// maxBytes is the limit for one picture, so that clones stay small.
const maxBytes = 150 << 10

// view is one way to look at a page. Width is in CSS pixels; scale is device pixels per CSS pixel.
type view struct {
	name   string
	width  int
	scale  float64
	scheme string // the preferred colour scheme
	mobile bool
}

var views = []view{
	{name: "light", width: 960, scale: 1, scheme: "light"},
	{name: "dark", width: 960, scale: 1, scheme: "dark"},
	{name: "phone", width: 390, scale: 2, scheme: "light", mobile: true},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("pictures: ")
	out := flag.String("out", "docs/images", "directory for the pictures")
	dashboard := flag.String("dashboard", "deploy/grafana/rollcall.json", "dashboard whose layout is drawn")
	warmUp := flag.Duration("warm-up", 15*time.Second, "how long rollcall probes before the pictures are taken")
	flag.Parse()
	pages := flag.Args()
	if len(pages) == 0 {
		pages = []string{"page=/"}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *dashboard, *warmUp, pages); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out, dashboard string, warmUp time.Duration, pages []string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	svg, err := drawDashboard(dashboard)
	if err != nil {
		return err
	}
	if err := save(filepath.Join(out, "dashboard.svg"), svg); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pictures")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	base, err := startRollcall(ctx, &running, dir)
	if err != nil {
		return err
	}
	select {
	case <-time.After(warmUp):
	case <-ctx.Done():
		return ctx.Err()
	}
	browser, err := startBrowser(ctx, &running, filepath.Join(dir, "profile"))
	if err != nil {
		return err
	}
	for _, page := range pages {
		name, path, found := strings.Cut(page, "=")
		if !found || name == "" || !strings.HasPrefix(path, "/") {
			return fmt.Errorf("the page %q is not NAME=/PATH", page)
		}
		for _, v := range views {
			png, err := browser.screenshot(base+path, v)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", path, v.name, err)
			}
			small, err := shrink(png)
			if err != nil {
				return err
			}
			if err := save(filepath.Join(out, name+"-"+v.name+".png"), small); err != nil {
				return err
			}
		}
	}
	return nil
}

// save writes a picture unless it is too large.
func save(path string, picture []byte) error {
	if len(picture) > maxBytes {
		return fmt.Errorf("%s would have %d bytes, the limit is %d", path, len(picture), maxBytes)
	}
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		return err
	}
	log.Printf("%s: %d KiB", path, (len(picture)+1023)>>10)
	return nil
}

// sample is the configuration in the pictures. A proxy on loopback plays the web servers, so that their names need no DNS.
const sample = `modules:
  http_2xx:
    prober: http
    http: {proxy_url: "http://%[1]s", skip_resolve_phase_with_proxy: true}
  tcp_connect: {prober: tcp}
targets:
- {target: "http://www.example.com/", interval: 10s, labels: {team: web}}
- {target: "http://shop.example.com/cart", interval: 10s, labels: {team: shop}}
- {target: "http://api.example.com/health", interval: 10s, labels: {team: shop}}
- {target: "tcp://%[2]s", interval: 10s, labels: {team: database}}
`

// startRollcall builds and starts rollcall with the sample configuration and its targets. It returns its base URL.
func startRollcall(ctx context.Context, running *sync.WaitGroup, dir string) (string, error) {
	binary := filepath.Join(dir, "rollcall")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building rollcall: %w\n%s", err, text)
	}
	proxy, err := listen(ctx, running, http.HandlerFunc(answer))
	if err != nil {
		return "", err
	}
	database, err := listen(ctx, running, http.NotFoundHandler()) // the prober only connects
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "rollcall.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, sample, proxy, database), 0o644); err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, binary, "--config.file="+file, "--web.listen-address=127.0.0.1:0", "--storage.path="+filepath.Join(dir, "data"))
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	logs, err := command.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := command.Start(); err != nil {
		return "", err
	}
	address, seen := make(chan string, 1), new(bytes.Buffer)
	running.Go(func() {
		defer close(address)
		pattern := regexp.MustCompile(`msg="rollcall listens" address=(\S+)`)
		for buf := make([]byte, 4096); ; {
			n, err := logs.Read(buf)
			if seen != nil {
				seen.Write(buf[:n])
				if found := pattern.FindSubmatch(seen.Bytes()); found != nil {
					address <- string(found[1])
					seen = nil
				}
			}
			if err != nil {
				_ = command.Wait() // it ends by the signal of the context
				return
			}
		}
	})
	select {
	case a, ok := <-address:
		if !ok {
			return "", fmt.Errorf("rollcall ended at its start:\n%s", seen)
		}
		return "http://" + a, nil
	case <-time.After(30 * time.Second):
		return "", fmt.Errorf("rollcall does not say where it listens")
	}
}

// answer plays the sample's web servers: the API is broken, the others work.
func answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Hostname() == "api.example.com" {
		http.Error(w, "the database is read-only", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "<h1>It works</h1>\n") // an error means that the prober has gone
}

// listen serves on a free loopback port until the context ends.
func listen(ctx context.Context, running *sync.WaitGroup, handler http.Handler) (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler}
	running.Go(func() { _ = server.Serve(listener) }) // ends with Close
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return listener.Addr().String(), nil
}

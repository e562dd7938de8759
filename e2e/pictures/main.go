// Command pictures makes the pictures of the docs: screenshots of a running rollcall's pages (light, dark and as on a
// phone) and the layout of the Grafana dashboard. `make pictures` calls it in the repository's root.
//
//	go run ./e2e/pictures [NAME=PATH ...]
//
// Each argument is a page: its path on rollcall's port, and the name of its pictures. The default is page=/ and a
// target; /target/NAME stands for the page of the target with that name.
// It needs Debian's chromium. All servers that it starts listen on loopback.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"rollcall/e2e/devtools"
	"rollcall/e2e/past"
)

// maxBytes is the limit for one picture, so that clones stay small.
const maxBytes = 150 << 10

var views = []devtools.View{
	{Name: "light", Width: 1180, Scale: 1, Scheme: "light"},
	{Name: "dark", Width: 1180, Scale: 1, Scheme: "dark"},
	{Name: "phone", Width: 390, Height: 1200, Scale: 2, Scheme: "light", Mobile: true},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("pictures: ")
	out := flag.String("out", "docs/images", "directory for the pictures")
	dashboard := flag.String("dashboard", "deploy/grafana/rollcall.json", "dashboard whose layout is drawn")
	warmUp := flag.Duration("warm-up", 3*time.Second, "how long rollcall runs before the pictures are taken")
	flag.Parse()
	pages := flag.Args()
	if len(pages) == 0 {
		pages = []string{"page=/", "target=/target/API"}
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
	browser, err := devtools.Start(ctx, &running, filepath.Join(dir, "profile"))
	if err != nil {
		return err
	}
	for _, page := range pages {
		name, path, found := strings.Cut(page, "=")
		if !found || name == "" || !strings.HasPrefix(path, "/") {
			return fmt.Errorf("the page %q is not NAME=/PATH", page)
		}
		if target, ok := strings.CutPrefix(path, "/target/"); ok {
			path = "/target/" + idOf(target)
		}
		for _, v := range views {
			png, err := browser.Screenshot(base+path, v)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", path, v.Name, err)
			}
			small, err := shrink(png)
			if err != nil {
				return err
			}
			if err := save(filepath.Join(out, name+"-"+v.Name+".png"), small); err != nil {
				return err
			}
		}
	}
	return nil
}

// idOf is the ID of the sample's target with that name.
func idOf(name string) string {
	for _, t := range past.Sample(13, time.Minute, time.Now()) {
		if t.Name == name {
			return t.ID()
		}
	}
	return name
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

// writeSample makes up the history of a company's services and returns a configuration with them as targets. They are
// probed so rarely that no probe spoils the picture.
func writeSample(ctx context.Context, storage string) ([]byte, error) {
	now := time.Now()
	targets := past.Sample(13, 5*time.Minute, now)
	if err := past.Write(ctx, storage, targets, 90*24*time.Hour, now); err != nil {
		return nil, err
	}
	return past.Config(targets, 24*time.Hour), nil
}

// startRollcall builds and starts rollcall with the sample configuration and its targets. It returns its base URL.
func startRollcall(ctx context.Context, running *sync.WaitGroup, dir string) (string, error) {
	binary := filepath.Join(dir, "rollcall")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building rollcall: %w\n%s", err, text)
	}
	storage := filepath.Join(dir, "data")
	config, err := writeSample(ctx, storage)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "rollcall.yml")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, binary, "--config.file="+file, "--web.listen-address=127.0.0.1:0", "--storage.path="+storage)
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

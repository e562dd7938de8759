package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// patience bounds every wait for the browser.
const patience = 30 * time.Second

// browser is a headless chromium, driven by the DevTools protocol over a pair of pipes: JSON messages that end with a
// zero byte. It is for one goroutine.
type browser struct {
	commands *os.File
	messages chan message
	number   int
	session  string // of the one tab; empty until it is attached
}

// message is a command's result or an event.
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// params are the parameters of a command.
type params map[string]any

func startBrowser(ctx context.Context, running *sync.WaitGroup, profile string) (*browser, error) {
	theirsIn, commands, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	replies, theirsOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-extensions", "--hide-scrollbars", "--user-data-dir="+profile, "--remote-debugging-pipe")
	command.ExtraFiles = []*os.File{theirsIn, theirsOut} // descriptors 3 and 4 there
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting chromium (`make peers` installs it): %w", err)
	}
	theirsIn.Close()
	theirsOut.Close()
	b := &browser{commands: commands, messages: make(chan message, 1000)}
	running.Go(func() {
		defer close(b.messages)
		for in := bufio.NewReader(replies); ; {
			line, err := in.ReadBytes(0)
			if err != nil {
				_ = command.Wait() // killed by the context
				return
			}
			var m message
			if json.Unmarshal(line[:len(line)-1], &m) == nil {
				select {
				case b.messages <- m:
				case <-ctx.Done():
				}
			}
		}
	})
	return b, b.openTab()
}

func (b *browser) openTab() error {
	var target struct{ TargetID string }
	if err := b.do("Target.createTarget", params{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	if err := b.do("Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	b.session = attached.SessionID
	return b.do("Page.enable", nil, nil)
}

// screenshot returns the whole page as a PNG.
func (b *browser) screenshot(url string, v view) ([]byte, error) {
	size := params{"width": v.width, "height": v.width / 2, "deviceScaleFactor": v.scale, "mobile": v.mobile}
	if err := b.do("Emulation.setDeviceMetricsOverride", size, nil); err != nil {
		return nil, err
	}
	scheme := []params{{"name": "prefers-color-scheme", "value": v.scheme}}
	if err := b.do("Emulation.setEmulatedMedia", params{"features": scheme}, nil); err != nil {
		return nil, err
	}
	var loaded struct{ ErrorText string }
	if err := b.do("Page.navigate", params{"url": url}, &loaded); err != nil {
		return nil, err
	}
	if loaded.ErrorText != "" {
		return nil, fmt.Errorf("loading %s: %s", url, loaded.ErrorText)
	}
	if _, err := b.await(func(m message) bool { return m.Method == "Page.loadEventFired" }); err != nil {
		return nil, err
	}
	var layout struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	if err := b.do("Page.getLayoutMetrics", nil, &layout); err != nil {
		return nil, err
	}
	clip := params{"x": 0, "y": 0, "width": v.width, "height": layout.CSSContentSize.Height, "scale": 1}
	var shot struct{ Data []byte }
	err := b.do("Page.captureScreenshot", params{"format": "png", "captureBeyondViewport": true, "clip": clip}, &shot)
	return shot.Data, err
}

// do runs a command and decodes its result into result, unless that is nil.
func (b *browser) do(method string, p params, result any) error {
	b.number++
	command := map[string]any{"id": b.number, "method": method, "params": p}
	if p == nil {
		command["params"] = params{}
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := b.commands.Write(append(text, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	reply, err := b.await(func(m message) bool { return m.ID == b.number })
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if reply.Error != nil {
		return fmt.Errorf("%s: %s", method, reply.Error.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(reply.Result, result)
}

// await returns the next message that is wanted and drops those before it.
func (b *browser) await(wanted func(message) bool) (message, error) {
	timeout := time.After(patience)
	for {
		select {
		case m, ok := <-b.messages:
			if !ok {
				return message{}, fmt.Errorf("chromium has ended")
			}
			if wanted(m) {
				return m, nil
			}
		case <-timeout:
			return message{}, fmt.Errorf("chromium did not reply within %v", patience)
		}
	}
}

// Package devtools drives a headless chromium for tests and pictures.
package devtools

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

// Browser is a headless chromium, driven by the DevTools protocol over a pair of pipes: JSON messages that end with a
// zero byte. It is for one goroutine.
type Browser struct {
	commands *os.File
	messages chan message
	number   int
	session  string // of the one tab; empty until it is attached
	console  []string
}

// message is a command's result or an event.
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// params are the parameters of a command.
type params map[string]any

// View is one way to look at a page. Width is in CSS pixels; Scale is device pixels per CSS pixel.
type View struct {
	Name   string
	Media  string // "print", or empty: the screen
	Width  int
	Height int // of the picture; 0: of the whole page
	Scale  float64
	Scheme string // the preferred colour scheme
	Mobile bool
}

// Start starts chromium with its profile in that directory; it ends with ctx, and running waits for it.
func Start(ctx context.Context, running *sync.WaitGroup, profile string) (*Browser, error) {
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
	b := &Browser{commands: commands, messages: make(chan message, 1000)}
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

func (b *Browser) openTab() error {
	var target struct{ TargetID string }
	if err := b.do("Target.createTarget", params{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	if err := b.do("Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	b.session = attached.SessionID
	for _, domain := range []string{"Page.enable", "Runtime.enable", "Log.enable"} {
		if err := b.do(domain, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// Open loads a page and waits until it is loaded.
func (b *Browser) Open(url string, v View) error {
	size := params{"width": v.Width, "height": v.Width / 2, "deviceScaleFactor": v.Scale, "mobile": v.Mobile}
	if err := b.do("Emulation.setDeviceMetricsOverride", size, nil); err != nil {
		return err
	}
	scheme := []params{{"name": "prefers-color-scheme", "value": v.Scheme}}
	if err := b.do("Emulation.setEmulatedMedia", params{"media": v.Media, "features": scheme}, nil); err != nil {
		return err
	}
	b.console = nil
	var loaded struct{ ErrorText string }
	if err := b.do("Page.navigate", params{"url": url}, &loaded); err != nil {
		return err
	}
	if loaded.ErrorText != "" {
		return fmt.Errorf("loading %s: %s", url, loaded.ErrorText)
	}
	_, err := b.await(func(m message) bool { return m.Method == "Page.loadEventFired" })
	return err
}

// Screenshot returns the whole page as a PNG.
func (b *Browser) Screenshot(url string, v View) ([]byte, error) {
	if err := b.Open(url, v); err != nil {
		return nil, err
	}
	var layout struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	if err := b.do("Page.getLayoutMetrics", nil, &layout); err != nil {
		return nil, err
	}
	height := layout.CSSContentSize.Height
	if v.Height > 0 {
		height = min(height, float64(v.Height))
	}
	clip := params{"x": 0, "y": 0, "width": v.Width, "height": height, "scale": 1}
	var shot struct{ Data []byte }
	err := b.do("Page.captureScreenshot", params{"format": "png", "captureBeyondViewport": true, "clip": clip}, &shot)
	return shot.Data, err
}

// Evaluate runs a script on the page, whose security policy does not apply to it, and decodes what it returns, or what
// its promise comes to, into result, unless that is nil.
func (b *Browser) Evaluate(script string, result any) error {
	var reply struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	if err := b.do("Runtime.evaluate", params{"expression": script, "awaitPromise": true, "returnByValue": true}, &reply); err != nil {
		return err
	}
	if e := reply.ExceptionDetails; e != nil {
		return fmt.Errorf("%s %s", e.Text, e.Exception.Description)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(reply.Result.Value, result)
}

// Console returns what the console has said about the page since Open: errors, warnings and exceptions.
func (b *Browser) Console() []string { return b.console }

// listen keeps what an event says for the console.
func (b *Browser) listen(m message) {
	switch m.Method {
	case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled":
		b.console = append(b.console, string(m.Params))
	}
}

// do runs a command and decodes its result into result, unless that is nil.
func (b *Browser) do(method string, p params, result any) error {
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

// await returns the next message that is wanted and drops those before it, after the console has seen them.
func (b *Browser) await(wanted func(message) bool) (message, error) {
	timeout := time.After(patience)
	for {
		select {
		case m, ok := <-b.messages:
			if !ok {
				return message{}, fmt.Errorf("chromium has ended")
			}
			b.listen(m)
			if wanted(m) {
				return m, nil
			}
		case <-timeout:
			return message{}, fmt.Errorf("chromium did not reply within %v", patience)
		}
	}
}

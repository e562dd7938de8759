// Package witness asks other exporters, Rollcalls or stock blackbox_exporters at other places, how they see a target. It
// decides nothing and keeps nothing.
package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/config"
	"golang.org/x/oauth2"

	"rollcall/alert/incident"
	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/redact"
)

// Header marks a question. A Rollcall answers it as any request to /probe, but sends no notification about the result.
const Header = "X-Rollcall-Witness"

// The bounds of one question.
const (
	maxTimeout = 15 * time.Second // of the witness's probe
	reserve    = 2 * time.Second  // for the way there and back, and what a witness subtracts from its limit
	maxReply   = 1 << 20          // bytes
)

// Panel is the witnesses of a configuration. Many goroutines may use it at once.
type Panel []witness

type witness struct {
	name    string
	url     string // of its /probe
	client  *http.Client
	options config.HTTPClientConfig // which client was made with
}

// Question is which target to probe, how, and for how long at most.
type Question struct {
	Module, Target, Hostname string
	Timeout                  time.Duration
}

// Answer is what the witnesses see, by their names in the order of the configuration.
type Answer struct {
	Down, Up []string
	Err      error // why others did not answer, joined; nil: all did
}

// Ask asks every witness once, all at the same time. It returns within 17 seconds, or when ctx ends.
func (p Panel) Ask(ctx context.Context, q Question) (a Answer) {
	q.Timeout = min(q.Timeout, maxTimeout)
	ctx, cancel := context.WithTimeout(ctx, q.Timeout+reserve)
	defer cancel()
	up, errs := make([]bool, len(p)), make([]error, len(p))
	var asking sync.WaitGroup
	for n, w := range p {
		asking.Go(func() { up[n], errs[n] = w.ask(ctx, q) })
	}
	asking.Wait()
	for n, w := range p {
		switch {
		case errs[n] != nil:
			errs[n] = fmt.Errorf("%s: %w", w.name, errs[n])
		case up[n]:
			a.Up = append(a.Up, w.name)
		default:
			a.Down = append(a.Down, w.name)
		}
	}
	a.Err = errors.Join(errs...)
	return a
}

// ask returns whether the witness sees the target up. The error says nothing about the target.
func (w witness) ask(ctx context.Context, q Question) (up bool, err error) {
	parameters := url.Values{"module": {q.Module}, "target": {q.Target}}
	if q.Hostname != "" {
		parameters.Set("hostname", q.Hostname)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"?"+parameters.Encode(), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set(Header, "1")
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat((q.Timeout+reserve/2).Seconds(), 'f', -1, 64))
	resp, err := w.client.Do(req)
	if err != nil {
		return false, w.plain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	switch {
	case resp.StatusCode != http.StatusOK:
		return false, fmt.Errorf("it answers with status %d: %s", resp.StatusCode, incident.Clean(option.RedactClient(&w.options, strings.TrimSpace(string(body))), 200))
	case err != nil:
		return false, w.plain(err)
	}
	return success(string(body))
}

// plain leaves out what an error of the client quotes of the token server's reply, which may repeat our secret, and the
// address, which is long.
func (w witness) plain(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return fmt.Errorf("its OAuth 2.0 server answers with status %d", refused.Response.StatusCode)
	}
	if long, ok := errors.AsType[*url.Error](err); ok {
		err = long.Err
	}
	if probe.Is[net.Error](err) {
		return err // it quotes no peer
	}
	return redact.WithText(err, option.RedactClient(&w.options, err.Error()))
}

// success reads the verdict of a reply in the text format.
func success(body string) (up bool, err error) {
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, "probe_success "); ok {
			switch strings.TrimSpace(value) {
			case "1":
				return true, nil
			case "0":
				return false, nil
			}
		}
	}
	return false, errors.New("its reply has no probe_success")
}

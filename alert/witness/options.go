package witness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/prometheus/common/config"

	"rollcall/alert/incident"
	"rollcall/probe"
	"rollcall/probe/option"
)

// Options is one entry of `witnesses:`. In the file it may also be the URL alone.
type Options struct {
	URL              string                  `yaml:"url"`            // of the exporter, with its path prefix
	Name             string                  `yaml:"name,omitempty"` // for people; empty: the URL's host
	HTTPClientConfig config.HTTPClientConfig `yaml:",inline"`
}

// SetDefaults puts in what the entry says when it does not mention an option.
func (o *Options) SetDefaults() { o.HTTPClientConfig = config.DefaultHTTPClientConfig }

// UnmarshalText implements encoding.TextUnmarshaler for an entry that is the URL alone.
func (o *Options) UnmarshalText(text []byte) error {
	o.SetDefaults()
	o.URL = string(text)
	return nil
}

// MaxWitnesses bounds what a configuration may ask for.
const MaxWitnesses = 16

// New makes the panel of the entries. g judges every address before it is dialled; nil allows every one. The errors are
// joined *option.Errors with paths that begin with "witnesses".
func New(entries []Options, g probe.Guard) (Panel, error) {
	var errs option.Collector
	if len(entries) > MaxWitnesses {
		errs.Addf("witnesses", "has %d witnesses; accepted: at most %d", len(entries), MaxWitnesses)
	}
	var panel Panel
	seen := make(map[string]bool)
	for n, o := range entries {
		w, err := o.compile(g)
		if err == nil && seen[w.name] {
			err = option.Errorf("name", "%q is the name of another witness, too", w.name)
		}
		errs.Join(option.Under(option.Index("witnesses", n), err))
		seen[w.name] = true
		panel = append(panel, w)
	}
	return panel, errs.Err()
}

func (o *Options) compile(g probe.Guard) (w witness, err error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return w, option.Errorf("url", "is not an http or https address; accepted: e.g. http://paris.example.com:9115")
	case u.User != nil:
		return w, option.Errorf("url", "holds a user name; accepted: basic_auth beside it")
	}
	w.name = cmp.Or(o.Name, u.Hostname())
	if strings.ContainsFunc(w.name, incident.IsControl) || len(w.name) > 100 {
		return w, option.Errorf("name", "is not a name; accepted: a line of at most 100 bytes")
	}
	if err := o.HTTPClientConfig.Validate(); err != nil {
		return w, err
	}
	w.url, w.options = strings.TrimSuffix(o.URL, "/")+"/probe", o.HTTPClientConfig
	if w.client, err = config.NewClientFromConfig(o.HTTPClientConfig, "witness", config.WithDialContextFunc(dialer(g))); err != nil {
		return w, err
	}
	if o.HTTPClientConfig.FollowRedirects {
		w.client.CheckRedirect = noRedirectElsewhere
	}
	return w, nil
}

// noRedirectElsewhere follows redirects on the same host only: a question names a target of ours.
func noRedirectElsewhere(req *http.Request, via []*http.Request) error {
	if first := via[0].URL; req.URL.Host != first.Host || req.URL.Scheme != first.Scheme || len(via) >= 10 {
		return errors.New("it redirects to another host, or for ever")
	}
	return nil
}

// dialer dials what the guard allows. It judges the address that a connection goes to, after the name was resolved.
func dialer(g probe.Guard) config.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{Control: func(_, resolved string, _ syscall.RawConn) error {
			addr, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return fmt.Errorf("the address to dial: %w", err)
			}
			return probe.Allow(g, host, addr)
		}}
		return d.DialContext(ctx, network, address)
	}
}

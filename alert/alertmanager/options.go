package alertmanager

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"rollcall/alert/incident"
	"rollcall/alert/mail"
	"rollcall/probe/option"
)

// Options is the `alertmanager:` section: the Alertmanagers, of which every one gets every alert.
type Options struct {
	URLs      []string          `yaml:"urls"`
	BasicAuth *config.BasicAuth `yaml:"basic_auth,omitempty"`
	TLSConfig config.TLSConfig  `yaml:"tls_config,omitempty"`
	Labels    map[string]string `yaml:"labels,omitempty"`
}

// maxAlertmanagers bounds what a configuration may ask for.
const maxAlertmanagers = 16

// Check returns every error in the options, joined *option.Errors.
func (o *Options) Check() error {
	var errs option.Collector
	if len(o.URLs) == 0 {
		errs.Addf("urls", "is empty; accepted: a list, e.g. http://127.0.0.1:9093")
	}
	if len(o.URLs) > maxAlertmanagers {
		errs.Addf("urls", "has %d addresses; accepted: at most %d", len(o.URLs), maxAlertmanagers)
	}
	seen := make(map[string]bool)
	for i, s := range o.URLs {
		path := option.Index("urls", i)
		u, err := url.Parse(s)
		switch {
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
			errs.Addf(path, "is not an http or https address; accepted: e.g. http://127.0.0.1:9093")
		case u.User != nil:
			errs.Addf(path, "holds a user name; accepted: basic_auth beside it")
		case seen[s]:
			errs.Addf(path, "%q is there twice", s)
		}
		seen[s] = true
	}
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		path := "labels." + name
		if !model.LegacyValidation.IsValidLabelName(name) {
			errs.Addf(path, "%q is not a label name; accepted: letters, digits and _", name)
		}
		if name == "alertname" || name == "target" || name == "module" {
			errs.Addf(path, "is set by rollcall")
		}
		errs.Add(path, mail.OneLine(o.Labels[name], maxLabel))
	}
	errs.Add("tls_config", mail.ValidateTLS(&o.TLSConfig))
	client := config.HTTPClientConfig{BasicAuth: o.BasicAuth}
	errs.Add("basic_auth", client.Validate())
	return errs.Err()
}

// New makes a poster of options that Check has nothing against, and returns the URLs that it posts to.
func New(o *Options) (p *Poster, urls []string, err error) {
	client, err := config.NewClientFromConfig(config.HTTPClientConfig{
		BasicAuth: o.BasicAuth, TLSConfig: o.TLSConfig, EnableHTTP2: true,
	}, "alertmanager")
	if err != nil {
		return nil, nil, fmt.Errorf("alertmanager: %w", err)
	}
	for _, u := range o.URLs {
		urls = append(urls, strings.TrimSuffix(u, "/")+"/api/v2/alerts")
	}
	return &Poster{client: client, labels: o.Labels, timeout: postTimeout, auth: o.BasicAuth}, urls, nil
}

// maxTarget bounds the label target, in bytes.
const maxTarget = 300

// targetLabel is the label of a target. A long one is cut, and a hash keeps it apart from others that begin like it.
func targetLabel(target string) string {
	text := incident.Clean(target, len(target)*6)
	if len(text) <= maxTarget {
		return text
	}
	hash := sha256.Sum256([]byte(target))
	return incident.Cut(text, maxTarget-17) + "#" + hex.EncodeToString(hash[:8])
}

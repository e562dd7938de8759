package prometheus

import (
	"errors"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe/option"
)

// FileOptions is the `history:` section of the configuration file.
type FileOptions struct {
	Prometheus *ServerOptions `yaml:"prometheus,omitempty"` // nil: the embedded store
}

// ServerOptions say where a Prometheus-compatible server is and how it is asked.
type ServerOptions struct {
	URL              string                  `yaml:"url"`
	Lag              option.Duration         `yaml:"lag,omitempty"` // 0: 5 minutes
	HTTPClientConfig config.HTTPClientConfig `yaml:",inline"`
}

// SetDefaults puts in what the section says when it does not mention an option.
func (o *ServerOptions) SetDefaults() { o.HTTPClientConfig = config.DefaultHTTPClientConfig }

// Validate reports what is wrong with the section.
func (o *ServerOptions) Validate() error {
	var errs []error
	if o.URL == "" {
		errs = append(errs, &option.Error{Path: "url", Err: option.ErrRequired})
	} else if _, err := New(Options{URL: o.URL}); err != nil {
		errs = append(errs, &option.Error{Path: "url", Err: err})
	}
	if err := o.HTTPClientConfig.Validate(); err != nil {
		errs = append(errs, &option.Error{Err: err})
	}
	return errors.Join(errs...)
}

// Compile makes the source of a section that is valid. The error is about a file of its, e.g. a certificate.
func (o *FileOptions) Compile() (*Source, error) {
	if o == nil || o.Prometheus == nil {
		return nil, nil
	}
	client, err := config.NewClientFromConfig(o.Prometheus.HTTPClientConfig, "history")
	if err != nil {
		return nil, &option.Error{Path: "prometheus", Err: err}
	}
	redact := func(text string) string { return option.RedactClient(&o.Prometheus.HTTPClientConfig, text) }
	source, err := New(Options{URL: o.Prometheus.URL, Client: client, Lag: time.Duration(o.Prometheus.Lag), Redact: redact})
	if err != nil {
		return nil, &option.Error{Path: "prometheus.url", Err: err}
	}
	return source, nil
}

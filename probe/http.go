package probe

import "github.com/prometheus/common/config"

// DefaultBodySizeLimit bounds a body after decoding when the module says nothing.
const DefaultBodySizeLimit Size = 10 << 20

// HTTPOptions is the http section of a module: blackbox_exporter's options by their names.
type HTTPOptions struct {
	ValidStatusCodes             []int             `yaml:"valid_status_codes,omitempty"` // empty: 2xx
	ValidHTTPVersions            []string          `yaml:"valid_http_versions,omitempty"`
	IPProtocol                   IPProtocol        `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback           bool              `yaml:"ip_protocol_fallback"`
	SkipResolvePhaseWithProxy    bool              `yaml:"skip_resolve_phase_with_proxy,omitempty"`
	NoFollowRedirects            *bool             `yaml:"no_follow_redirects,omitempty"` // deprecated: follow_redirects
	FailIfSSL                    bool              `yaml:"fail_if_ssl,omitempty"`
	FailIfNotSSL                 bool              `yaml:"fail_if_not_ssl,omitempty"`
	Method                       string            `yaml:"method,omitempty"`
	Headers                      map[string]string `yaml:"headers,omitempty"`
	FailIfBodyMatchesRegexp      []Regexp          `yaml:"fail_if_body_matches_regexp,omitempty"`
	FailIfBodyNotMatchesRegexp   []Regexp          `yaml:"fail_if_body_not_matches_regexp,omitempty"`
	FailIfHeaderMatchesRegexp    []HeaderMatch     `yaml:"fail_if_header_matches,omitempty"`
	FailIfHeaderNotMatchesRegexp []HeaderMatch     `yaml:"fail_if_header_not_matches,omitempty"`
	Body                         string            `yaml:"body,omitempty"`
	BodyFile                     string            `yaml:"body_file,omitempty"`
	BodySizeLimit                Size              `yaml:"body_size_limit"` // 0: none
	EnableHTTP3                  bool              `yaml:"enable_http3,omitempty"`

	HTTPClientConfig config.HTTPClientConfig `yaml:",inline"`
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *HTTPOptions) SetDefaults() {
	o.IPProtocolFallback = true
	o.BodySizeLimit = DefaultBodySizeLimit
	o.HTTPClientConfig = config.DefaultHTTPClientConfig
}

// HeaderMatch is a regexp for the values of one response header.
type HeaderMatch struct {
	Header       string `yaml:"header"`
	Regexp       Regexp `yaml:"regexp"`
	AllowMissing bool   `yaml:"allow_missing,omitempty"`
}

func (o *HTTPOptions) compile() (Prober, error) { return nil, ErrUnsupportedProber }

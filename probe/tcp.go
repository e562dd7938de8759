package probe

import "github.com/prometheus/common/config"

// TCPOptions is the tcp section of a module: blackbox_exporter's options by their names.
type TCPOptions struct {
	IPProtocol         IPProtocol       `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool             `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string           `yaml:"source_ip_address,omitempty"`
	QueryResponse      []QueryResponse  `yaml:"query_response,omitempty"`
	TLS                bool             `yaml:"tls,omitempty"`
	TLSConfig          config.TLSConfig `yaml:"tls_config,omitempty"`
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *TCPOptions) SetDefaults() { o.IPProtocolFallback = true }

// QueryResponse is one turn of a conversation: what is expected, what is then sent, whether TLS starts after it.
type QueryResponse struct {
	Expect      Regexp        `yaml:"expect,omitempty"`
	ExpectBytes string        `yaml:"expect_bytes,omitempty"`
	Labels      []ExpectLabel `yaml:"labels,omitempty"`
	Send        string        `yaml:"send,omitempty"`
	StartTLS    bool          `yaml:"starttls,omitempty"`
}

// ExpectLabel is a label of probe_expect_info; its value may hold captures of expect as ${1}.
type ExpectLabel struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

func (o *TCPOptions) compile() (Prober, error) { return nil, ErrUnsupportedProber }

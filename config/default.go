package config

import _ "embed"

//go:embed default.yml
var defaultYAML []byte

// Default returns the configuration that works without a file: modules under the names of blackbox_exporter's
// sample, those whose prober is built in.
func Default() *Config {
	c, err := Parse("default.yml", defaultYAML)
	if err != nil {
		panic("the built-in configuration is broken: " + err.Error())
	}
	return c
}

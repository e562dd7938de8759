package config

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"

	"rollcall/schedule/discovery"
)

const grouped = `
modules:
  http_2xx: {prober: http}
  tcp_connect: {prober: tcp}
  broken: {prober: tcp, tcp: {tls: true, tls_config: {ca_file: missing.pem}}}
guard:
  deny: [192.0.2.0/24]
defaults: {interval: 20s, labels: {site: here}}
alert: {down_after: 3, email: {to: [root]}}
targets:
- {target: "single.example.com:25", module: tcp_connect, to: [mail@example.com]}
- job_name: websites
  params: {module: [http_2xx]}
  down_after: 2
  static_configs: [{targets: ["https://www.example.com/", "https://www.example.com/"], labels: {module: http_2xx, target: other}}]
  relabel_configs: [{source_labels: [__address__], target_label: __param_target}]
- module: tcp_connect
  file_sd_configs: [{files: ["x.yml"]}]
`

// TestDiscoveredTargetsAreJudgedOneByOne: one that cannot be probed is refused, not the others.
func TestDiscoveredTargetsAreJudgedOneByOne(t *testing.T) {
	c := load(t, grouped)
	found := discovery.NewGroup(&targetgroup.Group{Targets: []model.LabelSet{
		{model.AddressLabel: "mail.example.com:25"}, {model.AddressLabel: "192.0.2.1:25"}, {model.AddressLabel: "no-port"},
		{model.AddressLabel: "x:1", "__param_module": "missing"}, {model.AddressLabel: "x:1", "__param_module": "broken"},
		{model.AddressLabel: "single.example.com:25"}, {model.AddressLabel: "y:1", "__scrape_interval__": "1ms"},
		{model.AddressLabel: "a:1", "__param_hostname": "one"}, {model.AddressLabel: "a:1", "__param_hostname": "two"},
		{model.AddressLabel: model.LabelValue(strings.Repeat("a", 8190) + ":25")},
	}})
	targets, refused := c.Discover(func(discovery.Source) []discovery.Group { return []discovery.Group{found} })
	var got, why []string
	for _, target := range targets {
		got = append(got, target.Module+" "+target.Key().Title())
	}
	for _, r := range refused {
		why = append(why, r.Target+": "+r.Err.Error())
	}
	const want = "tcp_connect single.example.com:25\nhttp_2xx https://www.example.com/\ntcp_connect mail.example.com:25\nbroken x:1\n" +
		"tcp_connect a:1 (one)\ntcp_connect a:1 (two)"
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("targets:\n%s\nwant:\n%s", s, want)
	}
	for i, part := range []string{"there twice", "denied", "port", `no module "missing"`, "there twice", "1ms is too short", "the target has 8193 bytes; accepted: up to 8192"} {
		if i >= len(why) || !strings.Contains(why[i], part) {
			t.Fatalf("refused: %q, want %q at %d", why, part, i)
		}
	}
	web := targets[1]
	if web.Group != "websites" || web.Interval != 20*time.Second || web.DownAfter != 2 || web.Labels.Get("site") != "here" ||
		web.Labels.Get("exported_target") != "other" || web.Labels.Len() != 2 || targets[0].DownAfter != 3 || targets[0].To[0] != "mail@example.com" {
		t.Errorf("%+v", targets[:2])
	}
	if len(c.Targets()) != 1 {
		t.Errorf("the entries changed: %+v", c.Targets())
	}
	if section, err := c.AlertFor(targets); err != nil || section == nil {
		t.Errorf("%v, %v", section, err)
	}
	if _, err := Parse("again.yml", c.YAML()); err != nil {
		t.Errorf("what is shown does not load again: %v\n%s", err, c.YAML())
	}
}

func TestGroupsAreJudged(t *testing.T) {
	for text, want := range map[string]string{
		"- {target: x, static_configs: [{targets: [a]}]}":                                   "targets[0].target: belongs to one target",
		"- {relabel_configs: [{target_label: x}]}":                                          "targets[0]: has no targets for relabel_configs",
		"- {static_configs: [{target: [a]}]}":                                               "did you mean \"targets\"",
		"- {static_configs: [{targets: [a]}], to: [a b]}":                                   "targets[0].to[0]: ",
		"- {file_sd_configs: [{files: [a.txt]}]}":                                           "not valid for file discovery; accepted: files whose names end in .json",
		"- {http_sd_configs: [{refresh_interval: 1m}]}":                                     "URL is missing",
		"- {static_configs: [{targets: [a]}], relabel_configs: [{action: hashmod}]}":        "non-zero modulus",
		"- {static_configs: [{targets: [a]}], relabel_configs: [{regex: (, action: drop}]}": "relabel_configs[0].regex: ",
	} {
		_, err := Parse("x.yml", []byte("modules: {}\ntargets:\n"+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

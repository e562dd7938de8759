package past

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/probe"
)

// Sample makes n targets: services of a company, of which a few are or were down. Their addresses are reserved for
// examples.
func Sample(n int, interval time.Duration, now time.Time) []Target {
	services := []struct {
		name, group, module, prober, target string
		usual                               time.Duration
	}{
		{"Website", "Web", "http_2xx", "http", "https://www.example.com/", 86 * time.Millisecond},
		{"Shop", "Web", "http_2xx", "http", "https://shop.example.com/", 143 * time.Millisecond},
		{"API", "Web", "http_2xx", "http", "https://api.example.com/health", 38 * time.Millisecond},
		{"Login", "Web", "http_2xx", "http", "https://login.example.com/", 64 * time.Millisecond},
		{"Status of the warehouse", "Web", "http_2xx", "http", "https://warehouse.example.com/status?detail=full", 212 * time.Millisecond},
		{"Database, primary", "Data", "tcp_connect", "tcp", "db1.example.com:5432", 900 * time.Microsecond},
		{"Database, replica", "Data", "tcp_connect", "tcp", "db2.example.com:5432", 1100 * time.Microsecond},
		{"Cache", "Data", "tcp_connect", "tcp", "cache.example.com:6379", 450 * time.Microsecond},
		{"Mail, incoming", "Mail", "smtp_starttls", "tcp", "mx1.example.com:25", 31 * time.Millisecond},
		{"Mail, second", "Mail", "smtp_starttls", "tcp", "mx2.example.com:25", 36 * time.Millisecond},
		{"Gateway Berlin", "Network", "icmp", "icmp", "gw-berlin.example.net", 9 * time.Millisecond},
		{"Gateway Lyon", "Network", "icmp", "icmp", "gw-lyon.example.net", 17 * time.Millisecond},
		{"Gateway Oslo", "Network", "icmp", "icmp", "gw-oslo.example.net", 28 * time.Millisecond},
	}
	rng := rand.New(rand.NewPCG(3, 4))
	targets := make([]Target, n)
	for i := range targets {
		s := services[i%len(services)]
		t := Target{Prober: s.prober, Usual: s.usual, Stage: probe.StageConnect, Reason: probe.ReasonTimeout, Error: "dial tcp 192.0.2.17: i/o timeout"}
		t.Target.Module, t.Target.Target, t.Name, t.Group, t.Interval = s.module, s.target, s.name, s.group, interval
		t.Labels = labels.FromStrings("team", []string{"shop", "platform", "office"}[i%3])
		if round := i / len(services); round > 0 {
			t.Name = fmt.Sprintf("%s %d", s.name, round+1)
			t.Group = fmt.Sprintf("%s %d", s.group, round/20+1)
			t.Target.Target = fmt.Sprintf("host-%d.example.net:443", i)
			t.Module, t.Prober = "tcp_connect", "tcp"
		}
		if t.Prober == "http" || s.module == "smtp_starttls" {
			t.Expiry = now.Add(time.Duration(20+i*17%70) * 24 * time.Hour)
		}
		for range rng.IntN(4) {
			from := time.Duration(rng.Int64N(int64(88 * 24 * time.Hour)))
			t.Down = append(t.Down, Span{from, from - time.Duration(rng.Int64N(int64(3*time.Hour)))})
		}
		t.Absent = []Span{{61 * time.Hour, 59*time.Hour + 20*time.Minute}}
		targets[i] = t
	}
	spoil(targets, now)
	return targets
}

// spoil makes some targets worth looking at.
func spoil(targets []Target, now time.Time) {
	for i := range targets {
		t := &targets[i]
		switch {
		case t.Name == "API":
			t.Stage, t.Reason, t.Error = probe.StageCheck, probe.ReasonStatusCode, "the status code is 503; valid: 2xx"
			t.Down = []Span{{23 * time.Minute, -time.Hour}, {31 * time.Hour, 30*time.Hour + 10*time.Minute}, {9 * 24 * time.Hour, 9*24*time.Hour - 4*time.Hour}}
		case t.Name == "Login":
			t.Expiry = now.Add(6 * 24 * time.Hour)
		case t.Name == "Mail, second", i > 20 && i%97 == 0:
			t.Down = append(t.Down, Span{5 * time.Hour, -time.Hour})
		case t.Name == "Gateway Oslo":
			for h := range 6 {
				t.Down = append(t.Down, Span{time.Duration(3*h+2) * time.Hour, time.Duration(3*h+2)*time.Hour - 7*time.Minute})
			}
		}
	}
}

// Config is a configuration file with the targets.
func Config(targets []Target, interval time.Duration) []byte {
	b := []byte("modules:\n  http_2xx: {prober: http}\n  tcp_connect: {prober: tcp}\n  smtp_starttls: {prober: tcp}\n  icmp: {prober: icmp}\n")
	if len(targets) > 0 {
		b = append(b, "targets:\n"...)
	}
	for i := range targets {
		t := &targets[i]
		b = fmt.Appendf(b, "- {target: %q, module: %s, interval: %s, name: %q, group: %q, labels: {team: %q}}\n",
			t.Target.Target, t.Module, interval, t.Name, t.Group, t.Labels.Get("team"))
	}
	return b
}

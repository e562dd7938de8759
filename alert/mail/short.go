package mail

import (
	"fmt"
	"strings"

	"rollcall/alert/incident"
	"rollcall/probe"
)

// maxNamed is how many targets of a state a short subject names.
const maxNamed = 3

// shortSummary is the subject about several targets, by their states: "DOWN a, b, c and 2 more; UP d".
func shortSummary(entries []entry) string {
	var parts []string
	for rest := entries; len(rest) > 0; {
		same := leading(rest, entry.state)
		rest = rest[len(same):]
		var names []string
		for _, e := range same[:min(len(same), maxNamed)] {
			names = append(names, name(e.incident))
		}
		part := same[0].state() + " " + strings.Join(names, ", ")
		if more := len(same) - maxNamed; more > 0 {
			part += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// name is what people call a target: its name, or the target without what only programs need.
func name(i *incident.Incident) string {
	if i.Name != "" {
		return incident.Clean(i.Name, maxTarget)
	}
	target := i.Target
	for _, scheme := range []string{"https://", "http://", "tcp://"} {
		target = strings.TrimPrefix(target, scheme)
	}
	return incident.Clean(strings.TrimSuffix(target, "/"), maxTarget)
}

// words are a reason's words as people write them.
func words(r probe.Reason) string {
	all := strings.Split(string(r), "_")
	for n, word := range all {
		switch word {
		case "dns", "ip", "tls", "ttl", "http", "cel":
			all[n] = strings.ToUpper(word)
		}
	}
	return strings.Join(all, " ")
}

// maxColumns keeps lines short enough for every reader (RFC 5322, 2.1.1).
const maxColumns = 77

// wrap breaks a line at spaces, so that its parts have at most maxColumns; those after the first begin with the indent.
func wrap(line, indent string) string {
	var lines []string
	for len(line) > maxColumns {
		at := strings.LastIndexByte(line[:maxColumns+1], ' ')
		begin := len(line) - len(strings.TrimLeft(line, " "))
		if word, _, _ := strings.Cut(line[at+1:], " "); at <= begin || len(indent)+len(word) > maxColumns {
			from := max(at+1, begin) // a word that fits nowhere stays where it is
			if at = strings.IndexByte(line[from:], ' '); at >= 0 {
				at += from
			}
		}
		if at < 0 || strings.TrimLeft(line[at:], " ") == "" {
			break
		}
		lines = append(lines, strings.TrimRight(line[:at], " "))
		line = indent + strings.TrimLeft(line[at:], " ")
	}
	return strings.Join(append(lines, line), "\n")
}

package strictyaml

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// entry is one key of a mapping with its value, once merge keys are resolved.
type entry struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// node is where a reader looks for the entry: at the value, or at the key when the value is a block of lines.
func (e entry) node() *yaml.Node {
	if e.value.Kind == yaml.ScalarNode || e.value.Kind == yaml.AliasNode {
		return e.value
	}
	return e.key
}

// entries returns what a mapping says: its own keys in their order, then those that merge keys (<<) add.
func (d *decoder) entries(n *yaml.Node, at *place) []entry {
	seen := map[string]int{}
	var entries []entry
	var merged *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolved(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.report(at.at("?", n.Content[i]), "the key is %s; accepted: text", describe(key))
			continue
		}
		if first, ok := seen[key.Value]; ok {
			d.remark(at.at(key.Value, n.Content[i]), fmt.Errorf("duplicate key; it is already set at line %d", first))
			continue
		}
		seen[key.Value] = n.Content[i].Line
		if isMerge(key) {
			merged = value
			continue
		}
		entries = append(entries, entry{key.Value, n.Content[i], value})
	}
	if merged != nil {
		entries = d.merge(entries, merged, at, seen)
	}
	return entries
}

func isMerge(key *yaml.Node) bool {
	return key.Value == "<<" && (key.Tag == "!!merge" || key.Tag == "")
}

// merge appends the entries of m, a mapping or a list of them, that are not in seen.
func (d *decoder) merge(entries []entry, m *yaml.Node, at *place, seen map[string]int) []entry {
	place := at.at("<<", m)
	target, leave := d.enter(m, place)
	if target == nil {
		return entries
	}
	defer leave()
	switch target.Kind {
	case yaml.MappingNode:
		all := d.entries(target, place)
		d.visits -= len(all) // a large mapping may be merged many times
		for _, e := range all {
			if _, ok := seen[e.name]; !ok {
				seen[e.name] = e.key.Line
				entries = append(entries, e)
			}
		}
	case yaml.SequenceNode:
		for _, item := range target.Content {
			if resolved(item).Kind != yaml.MappingNode {
				d.report(place, "merges %s; accepted: a mapping or a list of mappings", describe(item))
				continue
			}
			entries = d.merge(entries, item, place, seen)
		}
	default:
		d.report(place, "merges %s; accepted: a mapping or a list of mappings", describe(target))
	}
	return entries
}

// entriesOf returns the entries of a mapping that was decoded before, whose errors are known.
func (d *Document) entriesOf(n *yaml.Node) []entry {
	return newDecoder(&Document{}, maxVisits).entries(n, d.top())
}

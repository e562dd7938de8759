package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds a configuration file; thousands of modules fit.
const maxFileBytes = 4 << 20

var errTooLarge = fmt.Errorf("is larger than %d MiB, the limit", maxFileBytes>>20)

// readDocument parses data to the tree of its one document.
func readDocument(data []byte) (root *yaml.Node, line int, err error) {
	if len(data) > maxFileBytes {
		return nil, 0, errTooLarge
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	err = nextDocument(dec, &document)
	if err != nil && !errors.Is(err, io.EOF) {
		line := syntaxLine(data, err)
		return nil, line, syntaxError(data, line, err)
	}
	if err != nil || isNull(document.Content[0]) {
		return nil, 0, errors.New("is empty; accepted: a file with at least `modules:`")
	}
	var second yaml.Node
	if err := nextDocument(dec, &second); err == nil && !isNull(second.Content[0]) {
		return nil, second.Content[0].Line, errors.New("is a second document; accepted: one document in a file")
	} else if err != nil && !errors.Is(err, io.EOF) {
		line := syntaxLine(data, err)
		return nil, line, syntaxError(data, line, err)
	}
	return document.Content[0], 0, nil
}

// nextDocument reads the next document. The YAML library panics on what it calls internal errors: to a running
// exporter that is asked to reload, this must be one more broken file.
func nextDocument(dec *yaml.Decoder, document *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	return dec.Decode(document)
}

var libraryPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxError is the library's message for data without the line, which syntaxLine knows better.
func syntaxError(data []byte, line int, err error) error {
	text := "not valid YAML: " + libraryPrefix.ReplaceAllString(err.Error(), "")
	lines := bytes.SplitN(data, []byte("\n"), line+1)
	if broken := lines[min(line, len(lines))-1]; bytes.HasPrefix(bytes.TrimLeft(broken, " "), []byte("\t")) {
		text += "; the line is indented with a tab, and YAML takes only blanks"
	}
	return errors.New(text)
}

// syntaxLine finds the line that breaks the syntax. The library names the line at which the construct began, often
// far above; so look for the shortest beginning of the file that fails in the same way.
func syntaxLine(data []byte, err error) int {
	ends := []int{}
	for i, b := range data {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(ends) == 0 || ends[len(ends)-1] != len(data) {
		ends = append(ends, len(data))
	}
	return 1 + sort.Search(len(ends)-1, func(i int) bool {
		dec := yaml.NewDecoder(bytes.NewReader(data[:ends[i]]))
		for {
			var document yaml.Node
			if e := nextDocument(dec, &document); e != nil {
				return e.Error() == err.Error()
			}
		}
	})
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// resolved is the node itself, or what it is an alias of.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// describe names a node's kind for a message, without its value.
func describe(n *yaml.Node) string {
	switch n = resolved(n); n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	default:
		return "text"
	}
}

// Package strictyaml decodes a YAML document into Go structs and finds every error in it at once, each with its line
// and path. Keys that a struct does not have and keys that are there twice are errors, with a hint at what was meant.
// It bounds the size, the depth and the expansion of aliases. It writes structs as YAML again, with secrets masked.
//
// It knows no option of any program: structs say by their yaml tags what may be there, by SetDefaults what holds when an
// option is left out, and by Validate what does not fit together.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"

	"go.yaml.in/yaml/v3"
)

// MaxBytes bounds a document.
const MaxBytes = 4 << 20

var errTooLarge = fmt.Errorf("is larger than %d MiB, the limit", MaxBytes>>20)

// Document is a parsed document.
type Document struct {
	name    string
	root    *yaml.Node
	scalars Scalars
	ignored int // the line of what follows the first document; 0: nothing does

	void []string // paths of options that do not hold what the file says
}

// Parse reads the first document in data, which must not be empty; what follows it is ignored, with a warning when it
// is decoded. Name stands for the file in messages. The error is Errors.
func Parse(name string, data []byte, scalars Scalars) (*Document, error) {
	if len(data) > MaxBytes {
		return nil, Errors{{File: name, Err: errTooLarge}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var document, next yaml.Node
	err := nextDocument(dec, &document)
	if err != nil && !errors.Is(err, io.EOF) {
		line := syntaxLine(data, err)
		return nil, Errors{{File: name, Line: line, Err: syntaxError(data, line, err)}}
	}
	if err != nil || isNull(document.Content[0]) {
		return nil, Errors{{File: name, Err: errors.New("is empty; accepted: a mapping with at least one key")}}
	}
	d := &Document{name: name, root: document.Content[0], scalars: scalars}
	switch err := nextDocument(dec, &next); {
	case err == nil && !isNull(next.Content[0]):
		d.ignored = next.Content[0].Line
	case err != nil && !errors.Is(err, io.EOF):
		d.ignored = syntaxLine(data, err)
	}
	return d, nil
}

// nextDocument reads the next document. The YAML library panics on what it calls internal errors: to a running
// program that reloads its configuration, this must be one more broken file.
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

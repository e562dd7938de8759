package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// unconverted are the directories and files at the top that do not yet keep to plainWords.
var unconverted = []string{"config/testdata"}

// oddWords are words and phrases that must not appear in comments, messages, names, docs and templates, each with what to
// write instead. A word matches whole and in any case, with a usual ending.
var oddWords = []struct{ word, instead string }{
	{`askers?`, "caller, client"},
	{`inhabitants?|plight|watchman`, "server, state, monitor"},
	{`whom|whoever|whomever`, "caller, client, or the thing that does it"},
	{`(no|some|every|any)body`, "the thing that is or is not there"},
	{`hush(es|ed|ing)?`, "redact"},
	{`walk(s|ed|ing)?`, "run, visit, read"},
	{`parcels?`, "message"},
	{`letterheads?`, "sender"},
	{`welcome(Mail|s|d)`, "queueOpenIncidents"},
	{`knock(s|ed|ing)?`, "retry"},
	{`politely`, "close"},
	{`unwell`, "has internal errors"},
	{`yore|lest|thereof|whence`, "a plain word"},
	{`blam(e|es|ed|ing)`, "report as an error of"},
	{`newcomers?`, "new user, first request"},
	{`comes and goes|come and go`, "flaps"},
	{`watch(es|ing)? the watchman`, "monitor Rollcall itself"},
	{`first ends|(the )?certificate (has )?end(s|ed)`, "expires, earliest expiry"},
	{`(is|are|was|were|be) told|tells? of`, "is notified, reports"},
	{`accepted: as|, as \d+(s|ms|m|h)`, "e.g. `5s`"},
	{`what is over it`, "excess requests"},
}

func oddWord() *regexp.Regexp {
	var words []string
	for _, odd := range oddWords {
		words = append(words, "("+odd.word+")")
	}
	return regexp.MustCompile(`(?i)\b(?:` + strings.Join(words, "|") + `)\b`)
}

func TestPlainWords(t *testing.T) {
	odd, read := oddWord(), 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "../")
		if slices.Contains(unconverted, name) || entry.IsDir() && name != ".." && strings.HasPrefix(entry.Name(), ".") && name != ".ci" {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.IsDir() || name == "cli/words_test.go" {
			return nil
		}
		for line, text := range texts(t, path) {
			read++
			for _, found := range odd.FindAllString(strings.Join(strings.Fields(text), " "), -1) {
				t.Errorf("%s:%d: %q; write: %s", name, line, found, insteadOf(found))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read < 100 {
		t.Errorf("%d texts were read: the test looks in the wrong place", read)
	}
}

func insteadOf(found string) string {
	for _, odd := range oddWords {
		if regexp.MustCompile(`(?i)^(?:` + odd.word + `)$`).MatchString(found) {
			return odd.instead
		}
	}
	return "a plain word"
}

// texts returns what people read in the file at path, by line: of Go the comments, strings and names of functions and
// types, of other texts everything, by paragraph.
func texts(t *testing.T, path string) map[int]string {
	t.Helper()
	switch filepath.Ext(path) {
	case ".go":
		return goTexts(t, path)
	case ".md", ".html", ".yml", ".yaml", ".tmpl":
	default:
		return nil
	}
	found, line := map[int]string{}, 1
	for paragraph := range strings.SplitSeq(readFile(t, path), "\n\n") {
		found[line] = paragraph
		line += strings.Count(paragraph, "\n") + 2
	}
	return found
}

func goTexts(t *testing.T, path string) map[int]string {
	t.Helper()
	set, found := token.NewFileSet(), map[int]string{}
	file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	add := func(at token.Pos, text string) { found[set.Position(at).Line] += text + "\n" }
	for _, comment := range file.Comments {
		add(comment.Pos(), comment.Text())
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				text, err := strconv.Unquote(n.Value)
				if err != nil {
					t.Fatal(err)
				}
				add(n.Pos(), text)
			}
		case *ast.FuncDecl:
			add(n.Name.Pos(), wordsOf(n.Name.Name))
		case *ast.TypeSpec:
			add(n.Name.Pos(), wordsOf(n.Name.Name))
		}
		return true
	})
	return found
}

// wordsOf splits a name at its capitals.
func wordsOf(name string) string {
	return regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(name, "$1 $2")
}

func TestPlainWordsFindsOddOnes(t *testing.T) {
	odd := oddWord()
	for text, want := range map[string]string{
		"The asker has gone.":                  "asker",
		wordsOf("TestClosedWaitsForNobody"):    "Nobody",
		"a certificate that first ends":        "first ends",
		"not valid; accepted: as 5s":           "accepted: as",
		"a duration above 0, as 30s or 1m":     ", as 30s",
		"listening on WalkDir and a boardwalk": "",
		"The peer is told.":                    "is told",
	} {
		if got := odd.FindString(text); got != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		} else if got != "" && insteadOf(got) == "a plain word" {
			t.Errorf("%q has no advice", got)
		}
	}
}

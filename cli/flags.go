package cli

import (
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"

	"rollcall/config"
	"rollcall/probe/option"
	"rollcall/schedule"
)

// usageTemplate is kingpin's, with the flags of the default command on the first page: blackbox_exporter shows its flags
// there.
const usageTemplate = usageHead + `{{if .Context.Flags}}
Flags:
{{.Context.Flags|FlagsToTwoColumns|FormatTwoColumns}}
{{- end}}
{{- if .Context.Args}}
Arguments:
{{.Context.Args|ArgsToTwoColumns|FormatTwoColumns}}
{{- end}}
{{- if not .Context.SelectedCommand}}
Commands:
{{range .App.FlattenedCommands}}{{if not .Hidden}}  {{.FullCommand}}{{template "arguments" .}}
{{.Help|Wrap 4}}{{end}}{{end}}
{{- range .App.FlattenedCommands}}{{if .Default}}
Flags of {{.FullCommand}}:
{{.Flags|FlagsToTwoColumns|FormatTwoColumns}}
{{- end}}{{end}}
{{- end}}`

// shortUsageTemplate is what follows the message about a wrong command line.
const shortUsageTemplate = usageHead + `{{if .Context.Args}}
{{.Context.Args|ArgsToTwoColumns|FormatTwoColumns}}{{end}}
{{.App.Name}}{{with .Context.SelectedCommand}} {{.FullCommand}}{{end}} --help says more.
`

const usageHead = `{{define "arguments"}}
{{- range .Args}}{{if not .Hidden}} {{if .Required}}<{{.Name}}>{{else}}[<{{.Name}}>]{{end}}{{end}}{{end}}
{{- end -}}
{{with .Context.SelectedCommand -}}
usage: {{$.App.Name}} {{.FullCommand}} [<flags>]{{template "arguments" .}}

{{.Help|Wrap 0}}
{{- with .HelpLong}}
{{.}}
{{end}}
{{- else -}}
usage: {{.App.Name}} [<command>] [<flags>] [<arguments>]

{{.App.Help|Wrap 0}}
{{- end}}`

// flagValue is a flag whose error names the flag and what it accepts, which those of kingpin's own types do not.
type flagValue struct {
	name, accepted string
	text           string
	set            func(string) bool // false: the text is not accepted
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Set(text string) error {
	if !v.set(text) {
		return fmt.Errorf("--%s=%s is not valid; accepted: %s", v.name, text, v.accepted)
	}
	v.text = text
	return nil
}

// givenText is an argument that may be left out. An empty one is not left out: an address from a variable that is not
// set is an error, or no mail would be sent.
type givenText struct {
	text  string
	given bool
}

func (v *givenText) String() string { return v.text }

func (v *givenText) Set(text string) error {
	v.text, v.given = text, true
	return nil
}

// addFlag adds a flag with a default to cmd.
func addFlag(cmd *kingpin.CmdClause, name, help, byDefault, accepted string, set func(string) bool) *kingpin.FlagClause {
	clause := cmd.Flag(name, help).Default(byDefault)
	clause.SetValue(&flagValue{name: name, accepted: accepted, set: set})
	return clause
}

// seconds accepts a number of seconds of at least 0, as blackbox_exporter's flags do, with or without "s", or any other
// duration.
func seconds(into *time.Duration) func(string) bool {
	return func(text string) bool {
		if number, err := strconv.ParseFloat(strings.TrimSuffix(text, "s"), 64); err == nil {
			if !(number >= 0 && number <= math.MaxInt32) {
				return false
			}
			*into = time.Duration(number * float64(time.Second))
			return true
		}
		return parsed((*option.Duration)(into))(text)
	}
}

// parsed accepts what an option of the configuration file may be.
func parsed(into encoding.TextUnmarshaler) func(string) bool {
	return func(text string) bool { return into.UnmarshalText([]byte(text)) == nil }
}

// above0 is seconds without 0.
func above0(into *time.Duration) func(string) bool {
	set := seconds(into)
	return func(text string) bool { return set(text) && *into > 0 }
}

// retention accepts a duration as Prometheus writes it, of at least an hour.
func retention(into *time.Duration) func(string) bool {
	return func(text string) bool {
		d, err := model.ParseDuration(text)
		*into = time.Duration(d)
		return err == nil && *into >= time.Hour
	}
}

// count accepts a whole number of at least 0.
func count(into *int) func(string) bool {
	return func(text string) bool {
		number, err := strconv.ParseUint(text, 10, 31)
		*into = int(number)
		return err == nil
	}
}

// addShardFlags adds --shard and --shard.replicas.
func addShardFlags(cmd *kingpin.CmdClause, shard *schedule.Shard) {
	addFlag(cmd, "shard", "Which part of the targets is probed here: its number of how many, e.g. 2/8, or the name of a StatefulSet's pod, e.g. rollcall-1/8.", "1/1",
		"a number from 1 on, or a name that ends in - and a number from 0 on, then / and how many, e.g. 2/8 or rollcall-1/8", func(text string) bool {
			parsed, err := schedule.ParseShard(text)
			shard.Number, shard.Of = parsed.Number, parsed.Of
			return err == nil
		}).Envar("ROLLCALL_SHARD")
	addFlag(cmd, "shard.replicas", "How many of the parts probe each target.", "1", "a whole number from 1 on", func(text string) bool {
		return count(&shard.Replicas)(text) && shard.Replicas > 0
	}).Envar("ROLLCALL_SHARD_REPLICAS")
}

// setter accepts what a type of promslog does.
func setter(value interface{ Set(string) error }) func(string) bool {
	return func(text string) bool { return value.Set(text) == nil }
}

// configFlag is --config.file of a command that goes on without it.
type configFlag struct {
	file  string
	given bool
}

func (f *configFlag) add(cmd *kingpin.CmdClause, builtIn string) {
	cmd.Flag("config.file", "Configuration file. Without the flag and without the file the "+builtIn+" are used.").
		Default(defaultConfigFile).IsSetByUser(&f.given).StringVar(&f.file)
}

func (f *configFlag) load() (*config.Config, error) {
	cfg, err := config.Load(f.file)
	if !f.given && errors.Is(err, fs.ErrNotExist) {
		return config.Default(), nil
	}
	return cfg, err
}

// addTimeout adds --timeout.
func addTimeout(cmd *kingpin.CmdClause, help, byDefault string, into *time.Duration) {
	addFlag(cmd, "timeout", help, byDefault, "a duration above 0, e.g. 5s", parsed((*option.Duration)(into)))
}

// Package cli is the program's command line: its commands, their flags, what they print and their exit codes. It serves
// nothing itself: package server does, from the options that the flags make.
package cli

import (
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

// The exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1 // the target is down, the configuration is broken, the port is taken
	exitUsage  = 2 // the command line is wrong; nothing was done
	exitOurs   = 3 // rollcall itself failed, so nothing is known about the target
)

// Main is the program. It ends the process.
func Main() {
	// Only libraries write to the standard logger: one line for each odd frame or packet of a peer.
	log.SetOutput(io.Discard)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the command that args select and returns its exit code. --help, --version and their like end the process
// themselves.
func run(args []string, stdout, stderr io.Writer) int {
	stampVersion()
	p := newProgram(stdout, stderr)
	name, err := p.app.Parse(completable(args))
	if err != nil {
		problem := usageProblem(p.app, args, err)
		if slices.Contains(args, nagiosFlag) {
			return writeNagiosUnknown(stdout, problem)
		}
		return p.wrongUse(args, problem)
	}
	return p.commands[name]()
}

// completable drops the first word when a shell completes half a command: kingpin takes it for an argument of the default
// command, and suggests nothing. Without it kingpin names all commands, and the shell filters them.
func completable(args []string) []string {
	if len(args) == 2 && args[0] == "--completion-bash" && !strings.HasPrefix(args[1], "-") {
		return args[:1]
	}
	return args
}

// program is the command line and what its commands share.
type program struct {
	app            *kingpin.Application
	commands       map[string]func() int // by name; each returns the exit code
	stdout, stderr io.Writer
}

// newProgram declares the command line.
func newProgram(stdout, stderr io.Writer) *program {
	app := kingpin.New("rollcall", "Probes services for Prometheus, and sends a mail when one is down.")
	app.UsageWriter(stdout).ErrorWriter(stderr).UsageTemplate(usageTemplate)
	app.HelpFlag.Short('h').Help("Show this help, or that of a command. --help-man writes a man page.")
	// Not app.Version: its text of several lines breaks the title of the man page.
	app.Flag("version", "Show the version.").PreAction(func(*kingpin.ParseContext) error {
		fmt.Fprintln(stdout, version.Print("rollcall"))
		os.Exit(exitOK)
		return nil
	}).Bool()
	p := &program{app, map[string]func() int{}, stdout, stderr}
	addServe(p)
	addCheck(p)
	addHealthcheck(p)
	addAlertTest(p)
	addGuard(p)
	addTargets(p)
	return p
}

// wrongUse prints what is wrong with the command line, and how the command that args select is used.
func (p *program) wrongUse(args []string, problem string) int {
	fmt.Fprintf(p.stderr, "%s\n\n", problem)
	if context, _ := p.app.ParseContext(args); context != nil { // its error is the problem
		p.app.UsageWriter(p.stderr).UsageTemplate(shortUsageTemplate)
		_ = p.app.UsageForContext(context) // fails only when stderr does
	}
	return exitUsage
}

// fail prints why a command ends with code.
func (p *program) fail(command string, err error, code int) int {
	fmt.Fprintf(p.stderr, "rollcall %s: %s\n", command, err)
	return code
}

// usageProblem says what is wrong with args: kingpin's err, or where that does not say what is accepted, what is.
func usageProblem(app *kingpin.Application, args []string, err error) string {
	context, _ := app.ParseContext(args)
	if context == nil {
		return "rollcall: " + err.Error()
	}
	var left *kingpin.Token
	if token := context.Peek(); token != nil && token.Type == kingpin.TokenArg {
		left = token
	}
	command := context.SelectedCommand
	where, commands := "rollcall", app.Model().FlattenedCommands()
	group := command != nil && len(command.Model().Commands) > 0
	if group {
		where, commands = "rollcall "+command.FullCommand(), command.Model().FlattenedCommands()
	}
	switch {
	case group && left == nil:
		return fmt.Sprintf("%s: a command is missing; accepted: %s", where, commandNames(commands))
	case left != nil && (group || command == nil || command.Model().Default):
		return fmt.Sprintf("%s: unknown command %q; accepted: %s", where, left.Value, commandNames(commands))
	case left != nil:
		return fmt.Sprintf("rollcall %s: unexpected argument %q; accepted: %s", command.FullCommand(), left.Value, accepts(command.Model()))
	case missingArguments(context) > 0:
		return "Wrong number of arguments. rollcall: " + err.Error()
	}
	return "rollcall: " + err.Error()
}

func commandNames(commands []*kingpin.CmdModel) string {
	var names []string
	for _, command := range commands {
		names = append(names, command.FullCommand)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// accepts names the arguments of a command, or its flags when it has no arguments.
func accepts(command *kingpin.CmdModel) string {
	var names []string
	for _, arg := range command.Args {
		names = append(names, "<"+arg.Name+">")
	}
	if len(names) == 0 {
		for _, flag := range command.Flags {
			names = append(names, "--"+flag.Name)
		}
	}
	return strings.Join(names, ", ")
}

// missingArguments is how many required arguments of the selected command are not there.
func missingArguments(context *kingpin.ParseContext) int {
	if context.SelectedCommand == nil {
		return 0
	}
	missing := 0
	for _, arg := range context.SelectedCommand.Model().Args {
		if arg.Required {
			missing++
		}
	}
	for _, element := range context.Elements {
		if _, ok := element.Clause.(*kingpin.ArgClause); ok {
			missing--
		}
	}
	return missing
}

// stampVersion gives a binary that `make build` did not build (go install, go run) the version that Go recorded.
func stampVersion() {
	if version.Version != "" {
		return
	}
	version.Version = "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version.Version = strings.Trim(info.Main.Version, "()") // "(devel)"
	}
}

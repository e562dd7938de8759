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
	app, commands := newApp(stdout, stderr)
	name, err := app.Parse(completable(args))
	if err != nil {
		problem := usageProblem(app, args, err)
		if slices.Contains(args, nagiosFlag) {
			return writeNagiosUnknown(stdout, problem)
		}
		return wrongUse(app, args, stderr, problem)
	}
	return commands[name]()
}

// completable drops the first word when a shell completes half a command: kingpin takes it for an argument of the default
// command, and suggests nothing. Without it kingpin names all commands, and the shell filters them.
func completable(args []string) []string {
	if len(args) == 2 && args[0] == "--completion-bash" && !strings.HasPrefix(args[1], "-") {
		return args[:1]
	}
	return args
}

// newApp declares the command line. commands maps the name of each command to what runs it and returns the exit code.
func newApp(stdout, stderr io.Writer) (app *kingpin.Application, commands map[string]func() int) {
	app = kingpin.New("rollcall", "Probes services for Prometheus, and sends a mail when one is down.")
	app.UsageWriter(stdout).ErrorWriter(stderr).UsageTemplate(usageTemplate)
	app.HelpFlag.Short('h').Help("Show this help, or that of a command. --help-man writes a man page.")
	// Not app.Version: its text of several lines breaks the title of the man page.
	app.Flag("version", "Show the version.").PreAction(func(*kingpin.ParseContext) error {
		fmt.Fprintln(stdout, version.Print("rollcall"))
		os.Exit(exitOK)
		return nil
	}).Bool()
	commands = map[string]func() int{}
	addServe(app, commands, stdout, stderr)
	addCheck(app, commands, stdout, stderr)
	addHealthcheck(app, commands, stdout, stderr)
	addAlertTest(app, commands, stdout, stderr)
	addGuard(app, commands, stdout, stderr)
	addTargets(app, commands, stdout, stderr)
	return app, commands
}

// wrongUse prints what is wrong with the command line, and how the command that args select is used.
func wrongUse(app *kingpin.Application, args []string, stderr io.Writer, problem string) int {
	fmt.Fprintf(stderr, "%s\n\n", problem)
	if context, _ := app.ParseContext(args); context != nil { // its error is the problem
		app.UsageWriter(stderr).UsageTemplate(shortUsageTemplate)
		_ = app.UsageForContext(context) // fails only when stderr does
	}
	return exitUsage
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
	switch {
	case command != nil && len(command.Model().Commands) > 0 && left == nil:
		return fmt.Sprintf("rollcall %s: a command is missing; accepted: %s", command.FullCommand(), strings.Join(commandNames(command.Model().FlattenedCommands()), ", "))
	case command != nil && len(command.Model().Commands) > 0:
		return fmt.Sprintf("rollcall %s: unknown command %q; accepted: %s", command.FullCommand(), left.Value, strings.Join(commandNames(command.Model().FlattenedCommands()), ", "))
	case left != nil && (command == nil || command.Model().Default):
		return fmt.Sprintf("rollcall: unknown command %q; accepted: %s", left.Value, strings.Join(commandNames(app.Model().FlattenedCommands()), ", "))
	case left != nil:
		return fmt.Sprintf("rollcall %s: unexpected argument %q; accepted: %s", command.FullCommand(), left.Value, accepts(command.Model()))
	case missingArguments(context) > 0:
		return "Wrong number of arguments. rollcall: " + err.Error()
	}
	return "rollcall: " + err.Error()
}

func commandNames(commands []*kingpin.CmdModel) (names []string) {
	for _, command := range commands {
		names = append(names, command.FullCommand)
	}
	slices.Sort(names)
	return names
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

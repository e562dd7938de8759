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
	exitOurs   = 3 // a check that failed for a reason of our own, so nothing is known about the target
)

// Main is the program. It ends the process.
func Main() {
	// Only libraries write to the standard logger: one line for each odd frame or packet of a peer.
	log.SetOutput(io.Discard)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program from its arguments to its exit code. --help, --version and their like end the process themselves.
func run(args []string, stdout, stderr io.Writer) int {
	stampVersion()
	app, commands := newApp(stdout, stderr)
	name, err := app.Parse(withoutHalfACommand(args))
	if err != nil {
		complaint := "rollcall: " + err.Error()
		if tooFewArguments(app, args) {
			complaint = "Wrong number of arguments. " + complaint
		}
		if slices.Contains(args, nagiosFlag) {
			return writeNagiosUnknown(stdout, complaint)
		}
		return wrongUse(app, args, stderr, complaint)
	}
	return commands[name]()
}

// withoutHalfACommand drops the first word when a shell asks how it may go on: kingpin takes half a command for an
// argument of the default command, and suggests nothing. Without it, kingpin names all commands, and the shell
// chooses those that begin as the word does.
func withoutHalfACommand(args []string) []string {
	if len(args) == 2 && args[0] == "--completion-bash" && !strings.HasPrefix(args[1], "-") {
		return args[:1]
	}
	return args
}

// newApp puts the command line together; commands are what the commands' names do, with an exit code.
func newApp(stdout, stderr io.Writer) (app *kingpin.Application, commands map[string]func() int) {
	app = kingpin.New("rollcall", "Asks every service whether it is there: the answer for Prometheus, a mail when one is down.")
	app.UsageWriter(stdout).ErrorWriter(stderr).UsageTemplate(usageTemplate)
	app.HelpFlag.Short('h').Help("Show this help, or that of a command. --help-man writes a man page.")
	// Not app.Version: its several lines would tear the man page's title apart.
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
	return app, commands
}

// wrongUse says what is wrong with the command line, and how the command that args select is used.
func wrongUse(app *kingpin.Application, args []string, stderr io.Writer, complaint string) int {
	fmt.Fprintf(stderr, "%s\n\n", complaint)
	if context, _ := app.ParseContext(args); context != nil { // its error is what we complain of
		app.UsageWriter(stderr).UsageTemplate(shortUsageTemplate)
		_ = app.UsageForContext(context) // to a broken stderr nothing more can be said
	}
	return exitUsage
}

// tooFewArguments tells whether the command that args select wants more.
func tooFewArguments(app *kingpin.Application, args []string) bool {
	context, _ := app.ParseContext(args)
	if context == nil || context.SelectedCommand == nil {
		return false
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
	return missing > 0
}

// stampVersion gives a binary that was not built by `make build` (go install, go run) the version Go knows of.
func stampVersion() {
	if version.Version != "" {
		return
	}
	version.Version = "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version.Version = strings.Trim(info.Main.Version, "()") // "(devel)"
	}
}

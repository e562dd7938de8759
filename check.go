package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"rollcall/alert"
	"rollcall/config"
	"rollcall/probe"
)

// check is `rollcall check`: one probe, told to a person, with the arguments of the cron script that it replaces.
type check struct {
	testType, serverInfo string
	address              givenText
	surplus              []string
	timeout              time.Duration
	configFile, module   string
	quiet, nagios        bool

	config         *config.Config // of configFile; the built-in one without
	recipient      alert.Address  // of address; empty: nobody gets a mail
	stdout, stderr io.Writer
	wrongUse       func(complaint string) int
}

func addCheck(app *kingpin.Application, commands map[string]func() int, stdout, stderr io.Writer) {
	c := &check{stdout: stdout, stderr: stderr}
	cmd := app.Command("check", "Check one server now and say what was found. Exit code: 0 up, 1 down, 2 wrong use, "+
		"3 rollcall itself failed. With --nagios: 0 up, 2 down, 3 unknown.")
	cmd.HelpLong("  rollcall check tcp example.com:9000\n  rollcall check http https://example.com/\n" +
		"  rollcall check http example.com:80 admin@example.com")
	c.wrongUse = func(complaint string) int { return wrongUse(app, []string{cmd.FullCommand()}, stderr, complaint) }
	cmd.Arg("test-type", "tcp or http.").Required().HintOptions("tcp", "http").StringVar(&c.testType)
	cmd.Arg("server-info", "tcp: hostname:port. http: a URL, or hostname:port.").Required().StringVar(&c.serverInfo)
	cmd.Arg("email-address", "Who gets a mail when the server is down.").SetValue(&c.address)
	cmd.Arg("surplus", "").Hidden().StringsVar(&c.surplus)
	addFlag(cmd, "timeout", "How long the whole check may take.", "30s", "a time span above 0, as 5s", above0(&c.timeout, duration))
	cmd.Flag("config.file", "Configuration file with the module, and with how mail is sent. Default: the local sendmail.").PlaceHolder("<file>").StringVar(&c.configFile)
	cmd.Flag("module", "Check as this module of the configuration file (or of the built-in ones) says.").
		PlaceHolder("<name>").StringVar(&c.module)
	cmd.Flag("quiet", "Print nothing about a server that is up; for cron, which mails whatever a job prints.").
		Short('q').BoolVar(&c.quiet)
	cmd.Flag(nagiosFlag[2:], "Answer as a plugin of Nagios or Icinga: one line with performance data, and its exit codes.").BoolVar(&c.nagios)
	commands[cmd.FullCommand()] = c.run
}

func (c *check) run() int {
	kind, complaint := c.validate()
	if complaint != "" {
		return c.refuse(complaint)
	}
	// A file that does not load is found out now, and not on the night when mail has to leave by it.
	var err error
	if c.config = config.Default(); c.configFile != "" {
		c.config, err = config.Load(c.configFile)
	}
	var module *probe.Module
	if err == nil {
		module, err = c.selectModule(kind)
	}
	if err != nil {
		if c.nagios {
			return writeNagiosUnknown(c.stdout, err.Error())
		}
		fmt.Fprintf(c.stderr, "rollcall check: %s\n", err)
		return exitUsage
	}
	request := probe.Request{Target: c.serverInfo, Timeout: c.timeout}
	if module.Timeout > 0 {
		request.Timeout = min(c.timeout, module.Timeout)
	}
	record, err := new(probe.Runner).Do(context.Background(), module, request)
	if err != nil {
		return c.notChecked(err)
	}
	up := record.Result.Up()
	switch {
	case c.nagios:
		writeNagios(c.stdout, kind, record, request.Timeout)
	case !up || !c.quiet:
		writeReport(c.stdout, kind, record, hasColour(c.stdout))
	}
	if up {
		return exitOK
	}
	if c.recipient != "" {
		if err := c.notify(record); err != nil {
			fmt.Fprintf(c.stderr, "rollcall check: no mail was sent to %s: %s\n", c.recipient, err)
		}
	}
	if c.nagios {
		return nagiosCritical
	}
	return exitFailed
}

// refuse says what is wrong with the arguments, to whom it concerns.
func (c *check) refuse(complaint string) int {
	if c.nagios {
		return writeNagiosUnknown(c.stdout, complaint)
	}
	return c.wrongUse(complaint)
}

// validate judges the arguments as the script did, and reads the address: it returns the prober's name, or what is
// wrong, for a person.
func (c *check) validate() (kind, complaint string) {
	kind = strings.ToLower(c.testType)
	switch {
	case len(c.surplus) > 0:
		return "", fmt.Sprintf("Wrong number of arguments: got %d, at most 3 are accepted.", 3+len(c.surplus))
	case kind != "tcp" && kind != "http":
		return "", "Invalid test-type given, please use either tcp or http."
	}
	if c.address.given {
		var err error
		if c.recipient, err = alert.ParseAddress(c.address.text); err != nil {
			return "", fmt.Sprintf("Invalid email-address: %s.", err)
		}
	}
	return kind, ""
}

// selectModule is the configured module, or what the script did: IPv4 first, any answer of 2xx, the body read whole.
func (c *check) selectModule(kind string) (*probe.Module, error) {
	if c.module == "" {
		return scriptModule(kind)
	}
	module, err := c.config.Module(c.module)
	if err != nil {
		return nil, err
	}
	if module.Kind != kind {
		return nil, fmt.Errorf("module %q is for %s, the test-type is %s", c.module, module.Kind, kind)
	}
	return module, nil
}

func scriptModule(kind string) (*probe.Module, error) {
	var prober probe.Prober
	var err error
	switch kind {
	case "tcp":
		options := new(probe.TCPOptions)
		options.SetDefaults()
		options.IPProtocol = "ip4"
		prober, err = options.Compile()
	case "http":
		options := new(probe.HTTPOptions)
		options.SetDefaults()
		options.IPProtocol = "ip4"
		options.BodySizeLimit = 0 // nothing of it is kept; the timeout bounds it
		prober, err = options.Compile()
	}
	return &probe.Module{Name: "check_" + kind, Kind: kind, Prober: prober}, err
}

// notChecked says why nothing is known about the target, and whose doing that is.
func (c *check) notChecked(err error) int {
	var target *probe.TargetError
	var denied *probe.DeniedError
	switch {
	case c.nagios:
		return writeNagiosUnknown(c.stdout, err.Error())
	case errors.As(err, &target):
		return c.wrongUse("Invalid server-info: " + err.Error())
	case errors.As(err, &denied):
		fmt.Fprintf(c.stderr, "rollcall check: not allowed: %s\n", err)
		return exitUsage
	default:
		fmt.Fprintf(c.stderr, "rollcall check: the check could not be made, so nothing is known about %s: %s\n",
			printable(probe.RedactTarget(c.serverInfo)), err)
		return exitOurs
	}
}

// notify mails what record says to the recipient and waits for the outcome: as the configuration file says how mail
// leaves, or through the local sendmail, as the script did.
func (c *check) notify(record probe.Record) error {
	mail := alert.LocalMail()
	if c.config.Alert() != nil {
		mail = c.config.Alert()
	}
	return mail.MailDown(context.Background(), c.recipient, record)
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/alert"
	"rollcall/config"
	"rollcall/probe"
	"rollcall/probe/httpprobe"
	"rollcall/probe/tcpprobe"
	"rollcall/redact"
	"rollcall/report"
)

// check is `rollcall check`: one probe for a person or for cron, with the arguments of the cron script that it replaces.
type check struct {
	*program
	testType, serverInfo string
	address              givenText
	surplus              []string
	timeout              time.Duration
	configFile, module   string
	quiet, nagios        bool

	config     *config.Config  // of configFile; the built-in one without
	recipients []alert.Address // of address; none: no mail is sent
}

func addCheck(p *program) {
	c := &check{program: p}
	cmd := p.app.Command("check", "Check one server now and say what was found. Exit code: 0 up, 1 down, 2 wrong use, "+
		"3 rollcall itself failed. With --nagios: 0 up, 2 down, 3 unknown.")
	cmd.HelpLong("  rollcall check tcp example.com:9000\n  rollcall check http https://example.com/\n" +
		"  rollcall check http example.com:80 admin@example.com")
	cmd.Arg("test-type", "tcp or http").Required().HintOptions("tcp", "http").StringVar(&c.testType)
	cmd.Arg("server-info", "tcp: hostname:port. http: http://hostname/page, https://hostname/page or hostname:port.").Required().StringVar(&c.serverInfo)
	cmd.Arg("email-address", "username or username@domain.com: gets a mail when the server is down. Several: with commas.").SetValue(&c.address)
	cmd.Arg("surplus", "").Hidden().StringsVar(&c.surplus)
	addTimeout(cmd, "How long the whole check may take.", "30s", &c.timeout)
	cmd.Flag("config.file", "Configuration file with the module, and with how mail is sent. Default: the built-in modules, the local sendmail.").PlaceHolder("<file>").StringVar(&c.configFile)
	cmd.Flag("module", "Check as this module of the configuration file (or of the built-in ones) says.").
		PlaceHolder("<name>").StringVar(&c.module)
	cmd.Flag("quiet", "Print nothing about a server that is up. With an email-address nothing is printed anyway, unless the mail fails.").
		Short('q').BoolVar(&c.quiet)
	cmd.Flag(nagiosFlag[2:], "Answer as a plugin of Nagios or Icinga: one line with performance data, and its exit codes.").BoolVar(&c.nagios)
	p.commands[cmd.FullCommand()] = c.run
}

func (c *check) run() int {
	kind, problem := c.validate()
	if problem != "" {
		return c.refuse(problem)
	}
	// The file is loaded even if only the mail needs it: an error in it has to show while the server is still up.
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
		return c.fail("check", err, exitUsage)
	}
	request := probe.Request{Target: c.serverInfo, Timeout: c.timeout}
	if module.Timeout > 0 {
		request.Timeout = min(c.timeout, module.Timeout)
	}
	record, err := new(probe.Runner).Do(context.Background(), module, request)
	if err != nil {
		return c.notChecked(err)
	}
	return c.finish(kind, record, request.Timeout)
}

// finish mails and prints the verdict, and returns its exit code.
func (c *check) finish(kind string, record *probe.Record, limit time.Duration) int {
	up := record.Result.Up()
	var unsent error
	if !up {
		unsent = c.notify(record)
	}
	silent := up && c.quiet || len(c.recipients) > 0 && unsent == nil // cron would mail what is printed once more
	switch {
	case c.nagios:
		writeNagios(c.stdout, kind, record, limit)
	case !silent:
		writeReport(c.stdout, kind, record, hasColour(c.stdout))
	}
	if unsent != nil {
		fmt.Fprintln(c.stderr, unsent)
	}
	switch {
	case up:
		return exitOK
	case c.nagios:
		return nagiosCritical
	default:
		return exitFailed
	}
}

// refuse prints what is wrong with the arguments.
func (c *check) refuse(problem string) int {
	if c.nagios {
		return writeNagiosUnknown(c.stdout, problem)
	}
	return c.wrongUse([]string{"check"}, problem)
}

// validate checks the arguments as the script did and reads the addresses. It returns the prober's name, or what is wrong.
func (c *check) validate() (kind, problem string) {
	kind = strings.ToLower(c.testType)
	switch {
	case len(c.surplus) > 0:
		return "", fmt.Sprintf("Wrong number of arguments: got %d, at most 3 are accepted.", 3+len(c.surplus))
	case kind != "tcp" && kind != "http":
		return "", "Invalid test-type given, please use either tcp or http."
	}
	if c.address.given {
		var err error
		if c.recipients, err = parseAddresses(c.address.text); err != nil {
			return "", fmt.Sprintf("Invalid email-address: %s.", err)
		}
	}
	return kind, ""
}

// parseAddresses reads one address, or several between commas or spaces as mail(1) takes them.
func parseAddresses(text string) ([]alert.Address, error) {
	one, err := alert.ParseAddress(text)
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	if err == nil || len(parts) < 2 {
		return []alert.Address{one}, err
	}
	var all []alert.Address
	for _, part := range parts {
		one, err := alert.ParseAddress(part)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all, nil
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
		options := new(tcpprobe.Options)
		options.SetDefaults()
		options.IPProtocol = "ip4"
		prober, err = options.Compile()
	case "http":
		options := new(httpprobe.Options)
		options.SetDefaults()
		options.IPProtocol = "ip4"
		options.BodySizeLimit = 0 // nothing of it is kept; the timeout bounds it
		prober, err = options.Compile()
	}
	return &probe.Module{Name: "check_" + kind, Kind: kind, Prober: prober}, err
}

// notChecked prints why nothing is known about the target.
func (c *check) notChecked(err error) int {
	var target *probe.TargetError
	var denied *probe.DeniedError
	switch {
	case c.nagios:
		return writeNagiosUnknown(c.stdout, err.Error())
	case errors.As(err, &target):
		return c.refuse("Invalid server-info: " + err.Error())
	case errors.As(err, &denied):
		return c.fail("check", fmt.Errorf("not allowed: %w", err), exitUsage)
	default:
		about := report.Printable(redact.Target(c.serverInfo))
		return c.fail("check", fmt.Errorf("the check could not be made, so nothing is known about %s: %w", about, err), exitOurs)
	}
}

// notify mails record to each recipient and waits for the outcome. Mail goes as the configuration file says, or through
// the local sendmail, as the script's did. The error has a line for each recipient whose mail was not sent.
func (c *check) notify(record *probe.Record) error {
	mail := alert.LocalMail()
	if c.config.Alert() != nil {
		mail = c.config.Alert()
	}
	var unsent []error
	for _, to := range c.recipients {
		if err := mail.MailDown(context.Background(), to, record); err != nil {
			unsent = append(unsent, fmt.Errorf("rollcall check: no mail was sent to %s: %w", to, err))
		}
	}
	return errors.Join(unsent...)
}

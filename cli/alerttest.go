package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"rollcall/alert"
	"rollcall/config"
)

// alertTest is `rollcall alert test`: it tries whether mails and alerts are accepted.
type alertTest struct {
	*program
	configFile string
	address    givenText
}

func addAlertTest(p *program) {
	a := &alertTest{program: p}
	group := p.app.Command("alert", "Commands for the mails and alerts about servers that are down.")
	cmd := group.Command("test", "Send a test mail, and a test alert to each Alertmanager, as the configuration file says, and show each step. "+
		"Exit code: 0 all were accepted, 1 not all.")
	cmd.Flag("config.file", "Configuration file with the alert section.").Default(defaultConfigFile).StringVar(&a.configFile)
	cmd.Arg("address", "Recipient of the mail, instead of the configured ones: username or username@domain.com.").SetValue(&a.address)
	p.commands[cmd.FullCommand()] = a.run
}

func (a *alertTest) run() int {
	if err := a.test(); err != nil {
		return a.fail("alert test", err, exitFailed)
	}
	return exitOK
}

func (a *alertTest) test() error {
	cfg, err := config.Load(a.configFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s; give the one with the alert section by --config.file", a.configFile)
	}
	if err != nil {
		return err
	}
	if cfg.Alert() == nil {
		return fmt.Errorf("%s has no alert section, e.g. alert: {email: {to: [ops@example.com]}}", a.configFile)
	}
	var to alert.Address
	if a.address.given {
		if to, err = alert.ParseAddress(a.address.text); err != nil {
			return err
		}
	}
	return cfg.Alert().Test(context.Background(), a.stdout, to)
}

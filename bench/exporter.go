//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// exporter is one of the programs that are compared.
type exporter struct {
	name    string // "rollcall", "blackbox", "floor"
	program string
	args    func(b *bench, addr string) []string
	// families returns the families of a reply for a case; nil if only the verdict is checked.
	families func(c checkCase) []string

	addr    string
	process *process
}

const (
	nameRollcall = "rollcall"
	nameBlackbox = "blackbox"
	nameFloor    = "floor"
)

func newExporter(name, program string) (*exporter, error) {
	e := &exporter{name: name, program: program}
	switch name {
	case nameRollcall:
		e.args = func(b *bench, addr string) []string {
			args := []string{"--config.file=" + b.configFile, "--web.listen-address=" + addr}
			if b.options.profileDir != "" {
				args = append(args, "--web.enable-pprof")
			}
			return args
		}
		e.families = rollcallFamilies
	case nameBlackbox:
		e.args = func(b *bench, addr string) []string {
			return []string{"--config.file=" + b.peerConfigFile, "--web.listen-address=" + addr}
		}
		e.families = blackboxFamilies
	case nameFloor:
		e.args = func(b *bench, addr string) []string {
			return []string{"-listen", addr, "-ca-file", b.targets.caFile}
		}
		e.families = func(checkCase) []string { return nil }
	default:
		return nil, fmt.Errorf("the exporter %q is unknown; accepted: %s, %s, %s", name, nameRollcall, nameBlackbox, nameFloor)
	}
	return e, nil
}

// begin starts the exporter on a free port, as a fresh process.
func (e *exporter) begin(ctx context.Context, b *bench) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.addr = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	e.process, err = start(e.name, nil, nil, []string{fmt.Sprintf("GOGC=%d", b.options.gogc)}, e.program, e.args(b, e.addr)...)
	if err != nil {
		return err
	}
	if err := e.process.awaitReady(ctx, e.addr); err != nil {
		e.end()
		return err
	}
	return nil
}

func (e *exporter) end() {
	if e.process != nil {
		e.process.stop()
		e.process = nil
	}
}

// packages are the programs of this module that the benchmark builds.
var packages = map[string]string{nameRollcall: ".", nameFloor: "./bench/floor", "targets": "./bench/targets"}

// build compiles the program of that name into dir and returns its path.
func build(ctx context.Context, dir, name string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	program := filepath.Join(dir, name)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, packages[name])
	command.Dir = strings.TrimSpace(string(root))
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", name, err, out)
	}
	return program, nil
}

const peerPackage = "prometheus-blackbox-exporter"

// findPeer returns the path of blackbox_exporter. If it is not installed, Debian's package is unpacked into dir: installing it
// would start a service on rollcall's port.
func findPeer(ctx context.Context, dir string) (string, error) {
	path, err := exec.LookPath(peerPackage)
	if err == nil {
		return path, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := download(ctx, dir); err != nil {
		return "", fmt.Errorf("finding the peer: %w; install the Debian package %s, or name a program with -blackbox", err, peerPackage)
	}
	packages, err := filepath.Glob(filepath.Join(dir, peerPackage+"_*.deb"))
	if err != nil || len(packages) == 0 {
		return "", fmt.Errorf("apt-get downloaded no package %s", peerPackage)
	}
	if out, err := exec.CommandContext(ctx, "dpkg", "--extract", packages[0], dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking %s: %w: %s", packages[0], err, out)
	}
	return filepath.Join(dir, "usr/bin", peerPackage), nil
}

// download fetches the peer's package into dir; if that fails and we are root, again after updating the package lists.
func download(ctx context.Context, dir string) error {
	get := func(args ...string) error {
		command := exec.CommandContext(ctx, "apt-get", args...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	err := get("download", peerPackage)
	if err != nil && os.Geteuid() == 0 && get("update") == nil {
		err = get("download", peerPackage)
	}
	return err
}

// version returns the first line of a program's --version.
func version(program string) string {
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil {
		return "unknown version"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

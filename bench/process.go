//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a child of the benchmark.
type process struct {
	name    string
	command *exec.Cmd
	done    chan struct{} // closed once the child has ended
	stderr  *tail
}

// start runs a program with extra environment. The child is killed when the benchmark ends in any way.
func start(name string, stdin io.Reader, stdout io.Writer, env []string, program string, args ...string) (*process, error) {
	p := &process{name: name, command: exec.Command(program, args...), done: make(chan struct{}), stderr: &tail{}}
	p.command.Env = append(os.Environ(), env...)
	p.command.Stdin, p.command.Stdout, p.command.Stderr = stdin, stdout, p.stderr
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.command.Wait() // stop reports ProcessState
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// stop sends SIGTERM and, after a while, SIGKILL.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.command.Process.Kill()
		<-p.done
	}
}

// awaitReady waits until addr accepts connections. It fails if the child ends first.
func (p *process) awaitReady(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended instead of listening: %s", p.name, p.stderr)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s at %s: %w: %s", p.name, addr, err, p.stderr)
		case <-ticker.C:
		}
	}
}

// tail keeps the last few kilobytes written to it. It is for one writer: exec copies from one pipe.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	const limit = 4 << 10
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.kept)) }

// targets is the process with the loopback servers.
type targets struct {
	*process
	ports  map[string]int
	stdin  io.Closer
	caFile string
	socket string // path of the Unix socket
}

// startTargets starts the servers and reads their ports.
func startTargets(program, caFile, socket string) (*targets, error) {
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	stdout, out, err := os.Pipe()
	if err != nil {
		stdin.Close()
		return nil, err
	}
	defer stdout.Close()
	p, err := start("targets", in, out, []string{"GOGC=400"}, program, "-ca-file", caFile, "-socket", socket)
	out.Close()
	if err != nil {
		stdin.Close()
		return nil, err
	}
	t := &targets{process: p, stdin: stdin, caFile: caFile, socket: socket}
	if err := stdout.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return nil, errors.Join(err, t.end())
	}
	if err := json.NewDecoder(stdout).Decode(&t.ports); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the ports of the targets: %w: %s", err, p.stderr), t.end())
	}
	return t, nil
}

func (t *targets) end() error {
	err := t.stdin.Close()
	t.stop()
	return err
}

// raiseDescriptorLimit raises the limit of descriptors for this process and its children. Without the privilege to raise the
// hard limit it uses that one.
func raiseDescriptorLimit(want uint64) (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur >= want {
		return limit.Cur, nil
	}
	raised := syscall.Rlimit{Cur: want, Max: max(want, limit.Max)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		raised = syscall.Rlimit{Cur: min(want, limit.Max), Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			return 0, fmt.Errorf("raising the limit of open files: %w", err)
		}
	}
	return raised.Cur, nil
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// profile writes a CPU profile of each case with 32 connections, and one of all allocations, for go tool pprof.
func (b *bench) profile(ctx context.Context) error {
	e := b.find(nameRollcall)
	if e == nil || b.options.profileDir == "" {
		return errors.New("name a directory with -profile, and leave rollcall in")
	}
	for _, c := range checkCases {
		if err := b.profileOne(ctx, e, c); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) profileOne(ctx context.Context, e *exporter, c checkCase) error {
	if err := e.begin(ctx, b); err != nil {
		return err
	}
	defer e.end()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	loaded := make(chan error, 1)
	go func() {
		l := e.load(c, b.one(c))
		l.count, l.concurrency = b.options.probes, connections
		for ctx.Err() == nil {
			if _, err := l.run(ctx, e); err != nil && ctx.Err() == nil {
				loaded <- err
				return
			}
		}
		loaded <- nil
	}()
	name := strings.Trim(strings.NewReplacer(",", "", " ", "_").Replace(c.name), "_")
	err := errors.Join(
		fetch(ctx, "http://"+e.addr+"/debug/pprof/profile?seconds=10", filepath.Join(b.options.profileDir, name+".cpu.pprof")),
		fetch(ctx, "http://"+e.addr+"/debug/pprof/allocs", filepath.Join(b.options.profileDir, name+".allocs.pprof")),
	)
	stop()
	return errors.Join(err, <-loaded)
}

// fetch writes the response of url to file and creates its directory.
func fetch(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("fetching %s: %s", url, response.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, response.Body)
	return errors.Join(err, out.Close())
}

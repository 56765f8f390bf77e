// Command bench measures Sluice on the machine at hand and prints each figure as a ratio to something measured in the same minutes: plain Caddy, an
// ideal log, the same without what is being asked about. Rates alone say more about the machine than about the program.
//
//	go run ./cmd/bench                       everything, a few minutes
//	go run ./cmd/bench -only connections     one part
//	go run ./cmd/bench -runs 5 -time 10s     for figures to quote
//
// Servers are processes of their own: this program starts itself again as plain Caddy, as the gateway and as a user of the store.
// docs/benchmarks.md says what each figure means.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sluice-webhooks/sluice/caddymodule"
)

// roleVariable says what a child process is: empty is the bench itself.
const roleVariable = "SLUICE_BENCH_ROLE"

const (
	roleCaddy = "caddy" // Caddy with the arguments that follow
	roleStore = "store" // one step with the store, described by the argument
)

func main() {
	switch os.Getenv(roleVariable) {
	case roleCaddy:
		caddycmd.Main()
		return
	case roleStore:
		if err := runStoreStep(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "bench: store:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	runs       int
	time       time.Duration
	conns      []int
	sizes      []int
	sustained  time.Duration
	pending    int
	drain      int
	stuck      int
	dir        string
	only       []string
	json       bool
	cpuProfile string
}

// part is one group of figures.
type part struct {
	name, what string
	run        func(ctx context.Context, b *bench) error
}

var parts = []part{
	{"connections", "the gateway's durable 2xx/s beside plain Caddy's 202/s, by connections and size of the body", measureConnections},
	{"sustained", "the same over a longer time", measureSustained},
	{"burst", "latency of one connection after a burst", measureAfterBurst},
	{"forward", "accepting while everything is forwarded, and while the application is down", measureForwarding},
	{"latency", "from accepted to delivered at 50/s", measureDeliveryLatency},
	{"isolation", "a destination beside one that hangs and has a backlog", measureIsolation},
	{"drain", "delivering a backlog beside a bare reverse_proxy", measureDrain},
	{"store", "the store alone beside an ideal log", measureStore},
	{"backlog", "the store with many pending events", measureBacklog},
}

func run(args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp(s.dir, "sluice-bench-")
	if err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	b := &bench{settings: s, dir: dir, progress: os.Stderr}
	b.machine = fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	for _, p := range parts {
		if len(s.only) > 0 && !slices.Contains(s.only, p.name) {
			continue
		}
		fmt.Fprintf(b.progress, "== %s: %s\n", p.name, p.what)
		b.part = p.name
		if err = p.run(ctx, b); err != nil {
			err = fmt.Errorf("%s: %w", p.name, err)
			break
		}
	}
	if reportErr := b.report(os.Stdout); err == nil {
		err = reportErr
	}
	return errors.Join(err, os.RemoveAll(dir))
}

func parse(args []string) (settings, error) {
	s := settings{conns: []int{1, 16, 64, 256}, sizes: []int{1 << 10, 16 << 10}}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&s.runs, "runs", 3, "how often each measurement is made; figures are medians")
	f.DurationVar(&s.time, "time", 2*time.Second, "how long one measurement takes")
	f.Func("conns", "keep-alive connections, and writers of the store (default 1,16,64,256)", numbers(&s.conns))
	f.Func("sizes", "bytes of a body (default 1024,16384)", numbers(&s.sizes))
	f.DurationVar(&s.sustained, "sustained", time.Minute, "how long the sustained measurement takes")
	f.IntVar(&s.pending, "pending", 200_000, "events of the backlog")
	f.IntVar(&s.drain, "drain", 100_000, "events to drain")
	f.IntVar(&s.stuck, "stuck", 50_000, "pending events of the destination that hangs")
	f.StringVar(&s.dir, "dir", "", "where stores are put; it decides which disk is measured (default: the system's temporary directory)")
	f.BoolVar(&s.json, "json", false, "print JSON")
	f.StringVar(&s.cpuProfile, "cpuprofile", "", "write a CPU profile of the gateway at 64 connections to this file")
	f.Func("only", "parts to run, with commas: "+strings.Join(names, ","), func(text string) error {
		for name := range strings.SplitSeq(text, ",") {
			if !slices.Contains(names, name) {
				return fmt.Errorf("%q is none of %s", name, strings.Join(names, ", "))
			}
			s.only = append(s.only, name)
		}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 || s.runs < 1 || s.time <= 0 {
		return s, errors.New("want no arguments, and at least one run that takes some time")
	}
	return s, nil
}

// numbers reads a list of positive numbers.
func numbers(to *[]int) func(string) error {
	return func(text string) error {
		*to = nil
		for field := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(field)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no positive number", field)
			}
			*to = append(*to, n)
		}
		return nil
	}
}

// Command atsize shows how fast the gateway answers an operator when its store is large: it fills a store with events that were delivered, died and wait, starts the gateway on it,
// sends it events all the while, and measures the first page of every call of the admin API and of every command that reads.
//
//	go run ./cmd/atsize -history 1000000 -pending 100000
//
// It ends with code 1 if one of them took longer than allowed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	dir      string
	history  int
	pending  int
	rate     int
	size     int
	rounds   int
	allowed  time.Duration
	caddy    string
	keepOnly bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "Directory of the store; filled if it is not there. Default: a temporary one")
	flag.IntVar(&o.history, "history", 1_000_000, "Events in history: of 100, one is dead and the others are delivered")
	flag.IntVar(&o.pending, "pending", 100_000, "Events that wait for a destination that is paused")
	flag.IntVar(&o.rate, "rate", 1000, "Events per second that arrive while it is measured")
	flag.IntVar(&o.size, "size", 300, "Bytes of a payload, about")
	flag.IntVar(&o.rounds, "rounds", 5, "How often each call is made")
	flag.DurationVar(&o.allowed, "allowed", 300*time.Millisecond, "How long the first page may take")
	flag.StringVar(&o.caddy, "caddy", "", "The binary. Default: it is built")
	flag.BoolVar(&o.keepOnly, "fill-only", false, "Fill the store and measure nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "atsize:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) (err error) {
	work, err := os.MkdirTemp("", "atsize-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.dir == "" {
		o.dir = filepath.Join(work, "store")
	}
	if _, err := os.Stat(filepath.Join(o.dir, "db")); errors.Is(err, os.ErrNotExist) {
		if err := fill(ctx, o); err != nil {
			return fmt.Errorf("filling %s: %w", o.dir, err)
		}
	}
	if o.keepOnly {
		return nil
	}
	g, err := startGateway(ctx, o, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	return measure(ctx, o, g)
}

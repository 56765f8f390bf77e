package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// storeGoals are the ratios of the store to an ideal log to reach at 1 KiB, by writers.
var storeGoals = map[int]*goal{1: atLeast(.60, 0), 16: atLeast(.30, 0), 64: atLeast(.20, 0), 256: atLeast(.18, 0)}

// newStep prepares a process that does a step.
func newStep(s step) (*exec.Cmd, *bytes.Buffer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find this program: %w", err)
	}
	description, err := json.Marshal(s)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(self, string(description)) //nolint:noctx // an interrupt reaches it as it reaches this process
	cmd.Env = append(os.Environ(), roleVariable+"="+roleStore)
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	return cmd, stderr, nil
}

// do runs one step in a process of its own.
func (s step) do() (stepResult, error) {
	var r stepResult
	cmd, stderr, err := newStep(s)
	if err != nil {
		return r, err
	}
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%s: %w: %s", s.Do, err, stderr)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("%s: read result: %w", s.Do, err)
	}
	return r, nil
}

func measureStore(ctx context.Context, b *bench) error {
	for _, size := range b.sizes {
		for _, writers := range b.conns {
			if err := b.storeBesideLog(ctx, size, writers); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) storeBesideLog(ctx context.Context, size, writers int) error {
	var log, store series
	for run := range b.runs {
		dir := filepath.Join(b.dir, fmt.Sprintf("store-%d-%d-%d", size, writers, run))
		if err := log.takeWAL(b.dir, load{conns: writers, size: size, time: b.time}); err != nil {
			return err
		}
		r, err := step{Do: "enqueue", Dir: dir, Writers: writers, Size: size, Time: b.time}.do()
		if err != nil {
			return err
		}
		store.rates = append(store.rates, r.Rate)
		store.p50, store.p99 = append(store.p50, micros(r.P50)), append(store.p99, micros(r.P99))
		if err := errors.Join(os.RemoveAll(dir), ctx.Err()); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("%d KiB, %d writers", size>>10, writers)
	var g *goal
	if size == 1<<10 {
		g = storeGoals[writers]
	}
	b.add(name+": store to ideal log", "", g, ratios(store.rates, log.rates)...)
	b.add(name+": store", "/s", nil, store.rates...)
	b.add(name+": store p50", "µs", nil, store.p50...)
	b.add(name+": store p99", "µs", nil, store.p99...)
	b.add(name+": ideal log", "/s", nil, log.rates...)
	b.add(name+": ideal log p50", "µs", nil, log.p50...)
	return nil
}

// backlogWindows is how many windows enqueuing beside the backlog is measured for at least.
const backlogWindows = 3

// backlog is the part that measures a store with many pending events.
type backlog struct {
	*bench
	dir string
}

func measureBacklog(ctx context.Context, b *bench) error {
	l := &backlog{bench: b, dir: filepath.Join(b.dir, "backlog")}
	filled, err := step{Do: "fill", Dir: l.dir, Size: 1 << 10, Count: b.pending}.do()
	if err != nil {
		return err
	}
	b.add(fmt.Sprintf("filling with %d events", b.pending), "/s", nil, filled.Rate)
	for _, measure := range []func(context.Context) error{l.opening, l.enqueuing, l.draining} {
		if err := errors.Join(measure(ctx), ctx.Err()); err != nil {
			return err
		}
	}
	return os.RemoveAll(l.dir)
}

func (l *backlog) name(what string) string { return fmt.Sprintf("%d pending: %s", l.pending, what) }

// opening measures how long it takes to open the store after it was closed, and after a crash under load.
func (l *backlog) opening(ctx context.Context) error {
	var clean, crashed, idle []float64
	for range l.runs {
		r, err := step{Do: "open", Dir: l.dir}.do()
		if err != nil {
			return err
		}
		clean, idle = append(clean, r.Open.Seconds()), append(idle, r.Memory)
		if err := l.crash(ctx); err != nil {
			return err
		}
		if r, err = (step{Do: "open", Dir: l.dir}).do(); err != nil {
			return err
		}
		crashed = append(crashed, r.Open.Seconds())
	}
	l.add(l.name("open after a clean close"), "s", atMost(.1), clean...)
	l.add(l.name("open after kill -9 under load"), "s", atMost(1), crashed...)
	l.add(l.name("anonymous memory, idle"), "MiB", atMost(64), idle...)
	return nil
}

// crash kills a process that enqueues.
func (l *backlog) crash(ctx context.Context) error {
	cmd, stderr, err := newStep(step{Do: "flood", Dir: l.dir, Writers: 64, Size: 1 << 10})
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.NewTimer(l.time)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	if err := cmd.Process.Kill(); err != nil {
		return errors.Join(fmt.Errorf("kill: %w: %s", err, stderr), cmd.Wait())
	}
	_ = cmd.Wait() // it was killed
	return nil
}

// enqueuing compares enqueuing beside the backlog with enqueuing into an empty store.
func (l *backlog) enqueuing(ctx context.Context) error {
	var full, empty, worst, memory []float64
	d := max(l.time, backlogWindows*watchWindow)
	for run := range l.runs {
		fresh := filepath.Join(l.bench.dir, fmt.Sprintf("empty-%d", run))
		e, err := step{Do: "enqueue", Dir: fresh, Writers: 64, Size: 1 << 10, Time: d}.do()
		if err != nil {
			return err
		}
		f, err := step{Do: "enqueue", Dir: l.dir, Writers: 64, Size: 1 << 10, Time: d}.do()
		if err != nil {
			return err
		}
		empty, full = append(empty, e.Rate), append(full, f.Rate)
		worst, memory = append(worst, f.Worst/e.Rate), append(memory, f.Memory)
		if err := errors.Join(os.RemoveAll(fresh), ctx.Err()); err != nil {
			return err
		}
	}
	l.add(l.name("enqueue to an empty store's"), "", atLeast(.70, 0), ratios(full, empty)...)
	l.add(l.name("worst window to an empty store's"), "", atLeast(.35, 0), worst...)
	l.add(l.name("enqueue, 64 writers"), "/s", nil, full...)
	l.add(l.name("anonymous memory while enqueuing"), "MiB", atMost(256), memory...)
	return nil
}

// draining compares leasing and settling with enqueuing at the same backlog for as long, and looks for due deliveries behind all that were delivered.
func (l *backlog) draining(ctx context.Context) error {
	var drained, enqueued, seeks []float64
	for range l.runs {
		d, err := step{Do: "drain", Dir: l.dir, Count: l.pending / l.runs}.do()
		if err != nil {
			return err
		}
		took := time.Duration(float64(l.pending/l.runs) / d.Rate * float64(time.Second))
		e, err := step{Do: "enqueue", Dir: l.dir, Writers: 64, Size: 1 << 10, Time: max(took, time.Second)}.do()
		if err != nil {
			return err
		}
		s, err := step{Do: "seek", Dir: l.dir, Count: 1000}.do()
		if err != nil {
			return err
		}
		enqueued, drained = append(enqueued, e.Rate), append(drained, d.Rate)
		seeks = append(seeks, s.P99.Seconds()*1e3)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	l.add(l.name("lease + settle to enqueue"), "", atLeast(2, 0), ratios(drained, enqueued)...)
	l.add(l.name("lease + settle"), "/s", nil, drained...)
	l.add(l.name("next due delivery behind delivered ones, p99"), "ms", atMost(1), seeks...)
	return nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a child: this program again in another role.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	exit chan struct{} // closed when it has ended
}

func startProcess(name, role, logPath string, env []string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	p := &process{name: name, exit: make(chan struct{})}
	if p.log, err = os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	p.cmd = exec.Command(self, args...) //nolint:noctx // it ends with stop or kill
	p.cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // whoever stops it reads the state
		close(p.exit)
	}()
	return p, nil
}

const stopTimeout = time.Minute

// stop ends the process in order.
func (p *process) stop() error {
	select {
	case <-p.exit:
		return p.died()
	default:
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.exit:
		return p.log.Close()
	case <-timeout.C:
		return errors.Join(fmt.Errorf("%s did not stop within %s", p.name, stopTimeout), p.kill())
	}
}

// kill ends the process as a crash does.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.exit
	return p.log.Close()
}

// died describes a process that ended by itself.
func (p *process) died() error {
	tail, err := os.ReadFile(p.log.Name())
	p.log.Close()
	return errors.Join(fmt.Errorf("%s ended: %s\n%s", p.name, p.cmd.ProcessState, tail[max(0, len(tail)-2000):]), err)
}

// clockTicks is the unit of CPU time in /proc on Linux.
const clockTicks = 100

// cpu returns the CPU time that the process has used; false where the system does not tell.
func (p *process) cpu() (time.Duration, bool) { return cpuOf(p.cmd.Process.Pid) }

func cpuOf(pid int) (time.Duration, bool) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	_, rest, _ := bytes.Cut(raw, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / clockTicks, err1 == nil && err2 == nil
}

// anonymous returns the anonymous memory of a process in MiB; false where the system does not tell.
func anonymous(pid int) (float64, bool) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kib / 1024, err == nil
		}
	}
	return 0, false
}

const (
	idleStep = 50 * time.Millisecond
	idleMost = 20 * time.Second
)

// rest waits until the processes have done what a measurement left them to do: the next one must not pay for it.
func rest(ctx context.Context, processes ...*process) error {
	return atRest(ctx, func() (sum time.Duration) {
		for _, p := range processes {
			cpu, _ := p.cpu()
			sum += cpu
		}
		return sum
	})
}

// atRest waits until little processor time is used any more.
func atRest(ctx context.Context, used func() time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, idleMost)
	defer cancel()
	quiet, before := 0, used()
	err := poll(ctx, idleStep, func() bool {
		now := used()
		if quiet++; now-before > idleStep/5 {
			quiet = 0
		}
		before = now
		return quiet >= 3
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // something goes on in the background; the spread shows it
	}
	return err
}

// poll asks again and again until the answer is yes or the context ends.
func poll(ctx context.Context, every time.Duration, yes func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

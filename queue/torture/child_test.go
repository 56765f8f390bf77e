package torture

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// child is another process of this test binary.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	errors bytes.Buffer

	opened chan struct{} // closed when the store is open
	silent chan struct{} // closed when everything the process said was heard
	heard  error         // set before silent is closed
}

func command(role string, s *spec) (*exec.Cmd, error) {
	arg, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, string(arg))
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd, nil
}

// startWriter starts a process that uses the store, and listens to it.
func startWriter(t *testing.T, s *spec, m *model) *child {
	t.Helper()
	cmd, err := command("writer", s)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, opened: make(chan struct{}), silent: make(chan struct{})}
	cmd.Stderr = &c.errors
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		c.stdin, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go c.listen(stdout, m)
	return c
}

func (c *child) listen(from io.Reader, m *model) {
	defer close(c.silent)
	var once sync.Once
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.heard = err
			}
			return // a line without an end was not said
		}
		line = strings.TrimSuffix(line, "\n")
		if line == saysOpen {
			once.Do(func() { close(c.opened) })
		}
		if err := m.hear(line); err != nil && c.heard == nil {
			c.heard = err
		}
	}
}

// kill ends the process without any warning, and hears the rest of what it had said.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	if err := c.wait(); err != nil {
		if status := c.cmd.ProcessState; status == nil || status.Exited() {
			t.Fatalf("the writer ended by itself: %v\n%s", err, tail(c.errors.String()))
		}
	}
}

// end asks the process to end.
func (c *child) end() error {
	if err := c.stdin.Close(); err != nil {
		return err
	}
	return c.wait()
}

// wait waits for the end of the process and of what it has said.
func (c *child) wait() error {
	<-c.silent
	return errors.Join(c.heard, c.cmd.Wait())
}

// openFor waits until the store has been open for a while; false if the process ends before.
func (c *child) openFor(d time.Duration) bool {
	select {
	case <-c.opened:
		return c.runFor(d)
	case <-c.silent:
		return false
	}
}

// runFor waits a while; false if the process ends before.
func (c *child) runFor(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.silent:
		return false
	}
}

// check lets another process compare the store with the model, which it then takes over.
func check(t *testing.T, s *spec, m *model, finish bool) (*report, error) {
	t.Helper()
	cmd, err := command("checker", s)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(&task{Model: m, Finish: finish})
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("check: %w: %s", err, tail(said.String()))
	}
	r := &report{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		return nil, fmt.Errorf("check: %w: %s", err, tail(said.String()))
	}
	m.adopt(r, s.Run, finish)
	return r, nil
}

// adopt makes of what was found what is expected next time.
func (m *model) adopt(r *report, run int, finish bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Events, m.frozen = r.Promised, false
	if finish {
		m.Events, m.Finished = map[string]*promised{}, run
	}
}

// tail returns the end of a text.
func tail(s string) string {
	const most = 3000
	if len(s) > most {
		s = "..." + s[len(s)-most:]
	}
	return s
}

package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// commandLine is the environment variable by which the test binary becomes `caddy`.
const commandLine = "SLUICE_TEST_COMMAND_LINE"

// TestCommandProcess is no test: it is `caddy`, for the tests that need it as a process.
func TestCommandProcess(*testing.T) {
	line, ok := os.LookupEnv(commandLine)
	if !ok {
		return
	}
	var args []string
	if err := json.Unmarshal([]byte(line), &args); err != nil {
		panic(err)
	}
	os.Args = append([]string{"caddy"}, args...)
	caddycmd.Main()
	os.Exit(0)
}

// process is `caddy` with arguments.
func process(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	line, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCommandProcess$")
	cmd.Env = append(os.Environ(), commandLine+"="+string(line), "HOME="+t.TempDir(), "TERM=xterm", "NO_COLOR=")
	return cmd
}

// output is what a command printed.
type output struct {
	stdout, stderr string
	code           int
}

// run runs `caddy webhooks` with its output in pipes.
func run(t testing.TB, args ...string) output {
	t.Helper()
	cmd := process(t, append([]string{"webhooks"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// webhooks runs a verb against the rig's admin API.
func (rig *adminRig) webhooks(verb string, args ...string) output {
	rig.t.Helper()
	return run(rig.t, append([]string{verb, "--address", "unix/" + rig.socket}, args...)...)
}

// good runs a verb that must succeed without a word on standard error.
func (rig *adminRig) good(verb string, args ...string) string {
	rig.t.Helper()
	o := rig.webhooks(verb, args...)
	if o.code != 0 || o.stderr != "" {
		rig.t.Fatalf("%s %v: code %d, %s", verb, args, o.code, o.stderr)
	}
	return o.stdout
}

// wantParts expects all parts in a text, in order.
func wantParts(t testing.TB, what, got string, parts ...string) {
	t.Helper()
	rest := got
	for _, part := range parts {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Errorf("%s: no %q (in this order) in:\n%s", what, part, got)
			return
		}
		rest = after
	}
}

// readAll reads from a terminal until its other end is closed, which Linux reports as an error.
func readAll(r io.Reader) string {
	var b bytes.Buffer
	_, _ = b.ReadFrom(r)
	return b.String()
}

package caddymodule

import (
	"errors"
	"fmt"
	"io"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// Exit codes of `caddy webhooks`. Scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1 // what was asked for did not work
	exitUsage       = 2 // the command line makes no sense
	exitNotFound    = 3 // no such event, destination or replay
	exitUnreachable = 4 // no admin API at the address, or its configuration has no webhooks
)

// verbs are the subcommands of `caddy webhooks`. Each command_*.go adds its own in an init function; cobra sorts them by name.
var verbs []func() *cobra.Command

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "webhooks",
		Usage: "<verb>",
		Short: "Commands for the webhook gateway",
		Long: `Shows and operates the webhook gateway of a running Caddy, through its admin API.

The address of the admin API is found as Caddy's own commands find it: from --address, from the configuration given with --config, or
the default. Every verb that shows something takes --json; every verb that changes something takes --dry-run.

Exit codes: 0 done, 1 failed, 2 the command line makes no sense, 3 no such event, destination or replay, 4 no gateway can be reached.`,
		CobraFunc: buildCommand,
	})
}

func buildCommand(root *cobra.Command) {
	root.Args = cobra.ArbitraryArgs
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return finish(cmd, usagef("unknown verb %q: see `caddy webhooks --help`", args[0]))
		}
		return cmd.Help()
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return finish(cmd, usageError(err)) })
	for _, verb := range verbs {
		cmd := verb()
		if check := cmd.Args; check != nil {
			cmd.Args = func(cmd *cobra.Command, args []string) error { return finish(cmd, usageError(check(cmd, args))) }
		}
		root.AddCommand(cmd)
	}
}

// commandError is an error with the exit code that goes with it.
type commandError struct {
	code int
	err  error
}

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }

// usageError marks an error as one of the command line; nil stays nil.
func usageError(err error) error {
	if err == nil {
		return nil
	}
	return &commandError{code: exitUsage, err: err}
}

func usagef(format string, args ...any) error { return usageError(fmt.Errorf(format, args...)) }

// errSilent is for a failure that the output already tells: nothing is printed, and the exit code is 1.
var errSilent = errors.New("failed")

// runVerb makes a cobra RunE of a verb: errors go to standard error in one line, and the exit code follows from the error.
func runVerb(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error { return finish(cmd, run(cmd, args)) }
}

// finish prints an error and gives it the form from which Caddy takes the exit code.
func finish(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if !errors.Is(err, errSilent) {
		_, _ = io.WriteString(cmd.ErrOrStderr(), "Error: "+err.Error()+"\n") // nobody is left to tell if standard error is closed
	}
	code := exitFailed
	var ce *commandError
	if errors.As(err, &ce) {
		code = ce.code
	}
	if code == exitFailed {
		return err
	}
	// Caddy's error type for exit codes is not exported; this is the way to one
	exit := caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
	return fmt.Errorf("%w (%w)", err, exit)
}

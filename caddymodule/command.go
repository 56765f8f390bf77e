package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if cmd == root && cmd.Flags().NArg() > 0 { // the flag may be right for the verb that was meant
			return root.RunE(cmd, cmd.Flags().Args())
		}
		return finish(cmd, usageError(err))
	})
	for _, verb := range verbs {
		cmd := verb()
		strict(cmd)
		root.AddCommand(cmd)
	}
}

// strict refuses what a script with an unset variable, or one too many, would say without meaning it, of a verb and those below it: an argument or a flag that is empty,
// and a flag that is given twice, of which the last one would count. Lists can be repeated.
func strict(cmd *cobra.Command) {
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if slices.Contains(args, "") {
			return finish(cmd, usagef("an argument is empty: want an id or a name"))
		}
		if err := exclusive(cmd); err != nil || check == nil {
			return finish(cmd, err)
		}
		return finish(cmd, usageError(check(cmd, args)))
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains([]string{"string", "int", "float64"}, f.Value.Type()) {
			f.Value = &onceValue{Value: f.Value, filled: !slices.Contains([]string{"address", "config", "adapter", "public-url"}, f.Name)}
		}
	})
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
}

// exclusive refuses flags that exclude each other, before cobra does it in words and with an exit code of its own.
func exclusive(cmd *cobra.Command) error {
	given := make(map[string][]string) // by group
	cmd.Flags().Visit(func(f *pflag.Flag) {
		for _, group := range f.Annotations["cobra_annotation_mutually_exclusive"] {
			given[group] = append(given[group], "--"+f.Name)
		}
	})
	for _, group := range sortedKeys(given) {
		if names := given[group]; len(names) > 1 {
			return usagef("%s: want one of them", strings.Join(names, " and "))
		}
	}
	return nil
}

// onceValue is the value of a flag that can be given once.
type onceValue struct {
	pflag.Value
	filled bool // it must not be empty
	given  bool
}

func (v *onceValue) Set(text string) error {
	if v.given {
		return errors.New("it is given more than once")
	}
	if v.filled && text == "" {
		return errors.New("it is empty")
	}
	v.given = true
	return v.Value.Set(text)
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
	return func(cmd *cobra.Command, args []string) error {
		out := &checkedOutput{Writer: cmd.OutOrStdout()}
		cmd.SetOut(out)
		err := run(cmd, args)
		if err == nil && out.err != nil {
			err = fmt.Errorf("writing the output: %w", out.err)
		}
		return finish(cmd, err)
	}
}

// checkedOutput is where a verb prints. It remembers that something could not be written: a file that is cut short must not look like a success.
type checkedOutput struct {
	io.Writer
	err error
}

func (o *checkedOutput) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// file is the file behind an output; nil if there is none.
func file(w io.Writer) *os.File {
	if o, ok := w.(*checkedOutput); ok {
		w = o.Writer
	}
	f, _ := w.(*os.File)
	return f
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

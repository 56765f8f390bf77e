package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluice-webhooks/sluice/caddymodule/demo"
)

func init() { verbs = append(verbs, demoCommand) }

// demoPace is the time between two events of the demo, so that a reader can follow.
const demoPace = 60 * time.Millisecond

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo [--serve]",
		Short: "Shows the whole gateway at work on this machine",
		Long: `Runs a real gateway in this process, with its store in a temporary directory, and tells what happens: five systems
send events, repeat them and are imitated; the application behind the gateway is slow, fails, goes down and comes back.
At the end it counts on all sides and exits with 0 only if the sums agree.

Needs no configuration and no network, and leaves nothing behind.`,
		Args: cobra.NoArgs,
	}
	serve := cmd.Flags().Bool("serve", false, "Keep everything running afterwards and say what can be done with it")
	outputFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("serve", "json")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		asJSON, err := cmd.Flags().GetBool("json")
		if err != nil {
			return usageError(err)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		out := cmd.OutOrStdout()
		o := demo.Options{Out: out, Color: isTerminal(out), Serve: *serve, Command: program(), Pace: demoPace, Now: now}
		var checks []demo.Check
		if asJSON {
			o.Out, o.Pace, o.Report = io.Discard, 0, func(c []demo.Check) { checks = c }
		}
		if err = demo.Run(ctx, o); checks != nil {
			err = errors.Join(err, json.NewEncoder(out).Encode(map[string]any{"checks": checks, "sound": err == nil}))
		}
		if errors.Is(err, context.Canceled) {
			return errors.New("interrupted")
		}
		return err
	})
	return cmd
}

// isTerminal reports whether a person reads what is written to w, and wants colours.
func isTerminal(w io.Writer) bool {
	f := file(w)
	return f != nil && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// program is how the user called this program.
func program() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/caddy"
	}
	return os.Args[0]
}

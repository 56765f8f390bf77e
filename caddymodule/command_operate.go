package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func init() {
	verbs = append(verbs, cancelCommand,
		func() *cobra.Command { return pauseCommand(true) },
		func() *cobra.Command { return pauseCommand(false) })
}

func cancelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel <id>... [--destination <name>] [--dry-run]", Short: "Cancels deliveries that are not settled", Args: cobra.MinimumNArgs(1),
		Long: `Cancels the deliveries of events that are pending, held or under way. Those that are delivered or dead stay as they are.`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	destination := cmd.Flags().String("destination", "", "Only the delivery to this destination")
	dryRun := cmd.Flags().Bool("dry-run", false, "Say what would be cancelled and do nothing")
	cmd.RunE = runVerb(func(cmd *cobra.Command, ids []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		query := url.Values{}
		if *dryRun {
			query.Set("dry_run", "true")
		}
		if *destination != "" {
			query.Set("destination", *destination)
		}
		s := newScreen(cmd.OutOrStdout())
		for _, id := range ids {
			var result cancelledView
			raw, err := client.post(cmd.Context(), "events/"+segment(id)+"/cancel", query, nil, &result)
			if err != nil {
				return err
			}
			if err := showOr(cmd, s, raw, func() { printCancelled(s, &result) }); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func printCancelled(s *screen, v *cancelledView) {
	switch {
	case len(v.Destinations) == 0:
		s.printf("%s: nothing to cancel\n", v.Event)
	case v.DryRun:
		s.printf("%s: would cancel the deliveries to %s\n", v.Event, printable(strings.Join(v.Destinations, ", ")))
	default:
		s.printf("%s: cancelled the deliveries to %s\n", v.Event, printable(strings.Join(v.Destinations, ", ")))
	}
}

// pauseCommand is `pause`, or `resume` if paused is false.
func pauseCommand(paused bool) *cobra.Command {
	action, done, long := "resume", "resumed", "Ends the pause of destinations. What has piled up goes out with a slow start."
	if paused {
		action, done, long = "pause", "paused", "Holds all deliveries of destinations until they are resumed, across restarts. Events are accepted as before; attempts under way finish."
	}
	cmd := &cobra.Command{
		Use: action + " <destination>... [--dry-run]", Short: strings.ToUpper(action[:1]) + action[1:] + "s deliveries to destinations",
		Long: long, Args: cobra.MinimumNArgs(1),
	}
	connectFlags(cmd)
	outputFlags(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "Say what would change and do nothing")
	cmd.RunE = runVerb(func(cmd *cobra.Command, names []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		s := newScreen(cmd.OutOrStdout())
		for _, name := range names {
			var d destinationView
			var raw json.RawMessage
			if raw, err = client.post(cmd.Context(), "destinations/"+segment(name)+"/"+action, dryRunQuery(*dryRun), nil, &d); err != nil {
				return err
			}
			if err := showOr(cmd, s, raw, func() { s.printf("%s\n", describePause(&d, done, *dryRun)) }); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func describePause(d *destinationView, done string, dryRun bool) string {
	verb := "is " + done
	if dryRun {
		verb = "would be " + done
	}
	text := fmt.Sprintf("%s %s, %d deliveries pending", printable(d.Name), verb, d.Pending)
	if !d.Paused && d.Held && !dryRun {
		text += ", and still held: " + d.HeldReason
	}
	return text
}

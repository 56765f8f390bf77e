package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, statusCommand, sourcesCommand, destinationsCommand) }

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [--check]", Short: "Shows the gateway at a glance", Args: cobra.NoArgs,
		Long: `Shows what arrives, what leaves, what is stuck, and what asks for an operator.

With --check, the exit code is 1 if anything does.`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	watchFlags(cmd)
	check := cmd.Flags().Bool("check", false, "Exit with 1 if something asks for an operator")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		return watch(cmd, func(ctx context.Context, s *screen) error {
			var status statusView
			raw, err := client.get(ctx, "status", nil, &status)
			if err != nil {
				return err
			}
			if err := showOr(cmd, s, raw, func() { printStatus(s, &status) }); err != nil {
				return err
			}
			if *check && !status.OK {
				return errSilent
			}
			return nil
		})
	})
	return cmd
}

// showOr prints the answer as JSON if that was asked for, else in the way for people.
func showOr(cmd *cobra.Command, s *screen, raw json.RawMessage, people func()) error {
	asJSON, err := cmd.Flags().GetBool("json")
	if err != nil {
		return usageError(err)
	}
	if asJSON {
		return writeDocument(s, raw)
	}
	people()
	return nil
}

func printStatus(s *screen, v *statusView) {
	state := s.paint(green, "ok")
	if !v.OK {
		state = s.paint(red, "needs attention")
	}
	s.printf("Gateway %s", state)
	if v.Replays > 0 {
		s.printf(", %d replays under way", v.Replays)
	}
	s.printf("\n")
	for _, problem := range v.Problems {
		s.printf("  %s %s\n", s.paint(red, "!"), printable(problem))
	}
	s.printf("Store   %s events, %s on disk", humanize.Comma(int64(v.Store.Events)), humanize.IBytes(uint64(max(0, v.Store.Bytes))))
	if v.Store.FreeBytes >= 0 {
		s.printf(", %s free", humanize.IBytes(uint64(v.Store.FreeBytes)))
	}
	s.printf("\nEvents  %s accepted, %s delivered, %s pending (%s held), %s dead", humanize.Comma(int64(v.Totals.Accepted)),
		humanize.Comma(int64(v.Totals.Delivered)), humanize.Comma(int64(v.Totals.Pending)), humanize.Comma(int64(v.Totals.Held)), humanize.Comma(int64(v.Totals.Dead)))
	if !v.Totals.OldestPending.IsZero() {
		s.printf(", oldest pending %s", since(v.Totals.OldestPending))
	}
	s.printf("\n\n")
	printSources(s, v.Sources)
	s.printf("\n")
	printDestinations(s, v.Destinations)
}

func sourcesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sources [--reveal <source>]", Short: "Lists the sources of webhooks", Args: cobra.NoArgs,
		Long: `Lists the sources, what they brought in, and when each of their secrets last verified a request.

With --reveal, shows the token that a provider sent in a handshake and wants pasted into its own pages. That is recorded in the audit log.`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	watchFlags(cmd)
	reveal := cmd.Flags().String("reveal", "", "Show the token of a source's handshake")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		if *reveal != "" {
			var token handshakeToken
			raw, err := client.post(cmd.Context(), "sources/"+segment(*reveal)+"/handshake", nil, nil, &token)
			if err != nil {
				return err
			}
			s := newScreen(cmd.OutOrStdout())
			return showOr(cmd, s, raw, func() { s.printf("%s\n", printable(token.Token)) })
		}
		return watch(cmd, func(ctx context.Context, s *screen) error {
			var list struct{ Sources []sourceView }
			raw, err := client.get(ctx, "sources", nil, &list)
			if err != nil {
				return err
			}
			return showOr(cmd, s, raw, func() { printSources(s, list.Sources); printSecrets(s, list.Sources) })
		})
	})
	return cmd
}

func printSources(s *screen, sources []sourceView) {
	t := table{headings: []string{"SOURCE", "PROVIDER", "ACCEPTED", "LAST EVENT", "DUPLICATES", "REFUSED", "ERRORS", "TO"}}
	for i := range sources {
		v := &sources[i]
		name, provider := text(v.Name), text(v.Provider)
		if !v.Configured {
			name, provider = colored(yellow, v.Name), colored(yellow, "(not configured)")
		}
		refused, failed := number(v.Requests[resultRefused]), number(v.Requests[resultError])
		if v.Requests[resultRefused] > 0 {
			refused = colored(yellow, fmt.Sprintf("%d %s", v.Requests[resultRefused], describeCounts(v.Refused)))
		}
		if v.Requests[resultError] > 0 {
			failed.color = red
		}
		var to []string
		for _, f := range v.Forwards {
			to = append(to, f.Destination)
		}
		t.add(name, provider, number(v.Accepted), text(since(v.LastEvent)), number(v.Requests[resultDuplicate]), refused, failed, text(strings.Join(to, " ")))
	}
	t.print(s)
}

// describeCounts writes counts by name, the largest first.
func describeCounts(counts map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	return "(" + strings.Join(names, ", ") + ")"
}

func printSecrets(s *screen, sources []sourceView) {
	t := table{headings: []string{"SOURCE", "SECRET", "MATCHES", "LAST USED", "HERE FOR"}}
	for i := range sources {
		for _, secret := range sources[i].Secrets {
			t.add(text(sources[i].Name), text(secret.Label), number(secret.Matches), text(since(secret.LastUsed)), text(since(secret.Since)))
		}
		if sources[i].HandshakeToken {
			t.add(text(sources[i].Name), colored(yellow, "token of a handshake: see --reveal"), text(""), text(""), text(""))
		}
	}
	if len(t.rows) > 0 {
		s.printf("\n")
		t.print(s)
	}
	for i := range sources {
		for _, failing := range sources[i].Failing {
			s.printf("%s\n", s.paint(red, printable(sources[i].Name+": "+failing+"; its last good value is used until Caddy stops")))
		}
	}
}

func destinationsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "destinations", Short: "Lists the destinations of events", Args: cobra.NoArgs}
	connectFlags(cmd)
	outputFlags(cmd)
	watchFlags(cmd)
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		return watch(cmd, func(ctx context.Context, s *screen) error {
			var list struct{ Destinations []destinationView }
			raw, err := client.get(ctx, "destinations", nil, &list)
			if err != nil {
				return err
			}
			return showOr(cmd, s, raw, func() { printDestinations(s, list.Destinations) })
		})
	})
	return cmd
}

func printDestinations(s *screen, destinations []destinationView) {
	t := table{headings: []string{"DESTINATION", "STATE", "PENDING", "OLDEST", "IN FLIGHT", "DELIVERED", "DEAD", "NEXT RETRY", "TO"}}
	for i := range destinations {
		d := &destinations[i]
		state := colored(green, "active")
		if d.Held {
			state = colored(yellow, "held: "+d.HeldReason)
			if d.HeldReason == heldBreaker {
				state.color = red
			}
		}
		dead := number(d.Dead)
		if d.Dead > 0 {
			dead.color = red
		}
		next := "-"
		if !d.Held && !d.NextDue.IsZero() {
			next = "in " + age(max(0, d.NextDue.Sub(now())))
		}
		t.add(text(d.Name), state, number(d.Pending), text(since(d.OldestPending)), text(fmt.Sprintf("%d/%d", d.InFlight, d.Limit)),
			number(d.Delivered), dead, text(next), text(strings.Join(d.To, " ")))
	}
	t.print(s)
}

// millis reads a number of milliseconds as a span.
func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

package caddymodule

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, deadCommand, auditCommand) }

func deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead [<filters>]", Short: "Groups dead deliveries by destination and error", Args: cobra.NoArgs,
		Long: `Groups the deliveries that were given up by destination and class of error, the largest group first. To see the events of a group, and to deliver
them again:`,
		Example: `  caddy webhooks events --destination billing --state dead --error timeout
  caddy webhooks replay --destination billing --error timeout`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	watchFlags(cmd)
	names := []string{"source", "destination", "type", "since", "until"}
	values := make([]*string, len(names))
	for i, usage := range []string{
		"Of this source", "To this destination", "Whose type matches this glob", "Received since: a time, a date, or how long ago", "Received before; as --since",
	} {
		values[i] = cmd.Flags().String(names[i], "", usage)
	}
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		query := url.Values{}
		for i, name := range names {
			if *values[i] != "" {
				query.Set(name, *values[i])
			}
		}
		return watch(cmd, func(ctx context.Context, s *screen) error {
			var dead deadView
			raw, err := client.get(ctx, "dead", query, &dead)
			if err != nil {
				return err
			}
			if len(dead.Groups) == 0 && !cmd.Flags().Changed("watch") {
				tellUnknown(cmd, client, query)
			}
			return showOr(cmd, s, raw, func() { printDead(s, &dead) })
		})
	})
	return cmd
}

func printDead(s *screen, v *deadView) {
	if len(v.Groups) == 0 {
		s.printf("No dead deliveries.\n")
		return
	}
	t := table{headings: []string{"DESTINATION", "ERROR", "COUNT", "STATUSES", "FIRST", "LAST", "SOURCES", "NEWEST"}}
	for i := range v.Groups {
		g := &v.Groups[i]
		var statuses []string
		for _, status := range slices.Sorted(maps.Keys(g.Statuses)) {
			statuses = append(statuses, fmt.Sprintf("%s×%d", status, g.Statuses[status]))
		}
		t.add(text(g.Destination), colored(red, g.Error), number(g.Count), text(strings.Join(statuses, " ")),
			text(since(g.FirstSeen)), text(since(g.LastSeen)), text(strings.Join(g.Sources, " ")), text(g.Newest.String()))
	}
	t.print(s)
	if !v.Complete {
		var total uint64
		for _, n := range v.Totals {
			total += n
		}
		s.printf("%s\n", s.paint(yellow, fmt.Sprintf("Counted the newest %d events only; there are %d dead deliveries in all.", v.Events, total)))
	}
}

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit [--limit <n>]", Short: "Lists what operators changed, newest first", Args: cobra.NoArgs,
		Long: `Lists what was changed through the admin API or the dashboard: pauses, replays, events sent again with another payload, cancellations, requests released from
the quarantine or removed, imports, reconciliations and tests; and what was taken out: exports, backups and tokens that were revealed. The last 1000 entries are kept.`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	limit := cmd.Flags().Int("limit", defaultPageSize, "Changes of a page, at most 1000")
	cursor := cmd.Flags().String("cursor", "", "Where to go on: printed at the end of a page")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		query := url.Values{"limit": {fmt.Sprint(*limit)}}
		if *cursor != "" {
			query.Set("cursor", *cursor)
		}
		var page auditPage
		raw, err := client.get(cmd.Context(), "audit", query, &page)
		if err != nil {
			return err
		}
		s := newScreen(cmd.OutOrStdout())
		return showOr(cmd, s, raw, func() {
			t := table{headings: []string{"AT", "ACTION", "TARGET", "BY", "DETAIL"}}
			for _, e := range page.Entries {
				t.add(text(clockTime(e.At)), text(e.Action), text(e.Target), text(e.Actor), text(e.Detail))
			}
			t.print(s)
			if page.Next != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "More: --cursor "+page.Next)
			}
		})
	})
	return cmd
}

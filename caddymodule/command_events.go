package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/queue"
)

func init() { verbs = append(verbs, eventsCommand) }

// filterFlags adds the flags that select events.
func filterFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("source", "", "Of this source")
	f.String("provider", "", "Of this provider")
	f.String("destination", "", "With a delivery to this destination")
	f.String("type", "", "Whose type matches this glob")
	f.String("id", "", "With this id: the gateway's (wh_...) or the provider's")
	f.StringSlice("state", nil, "With a delivery in one of these states: pending, delivering, held, delivered, dead, cancelled")
	f.String("error", "", "With a delivery whose last failure is of this class: "+strings.Join(failureClasses, ", "))
	momentFlags(cmd, "Received")
	completeWith(cmd, "state", "cancelled", "dead", "delivered", "delivering", "held", "pending")
}

// completeWith lets shells complete a flag with the values that it can have.
func completeWith(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil { // there is no such flag
		panic(err)
	}
}

// filterQuery reads the flags that select events, as parameters of the API.
func filterQuery(cmd *cobra.Command) (url.Values, error) {
	query := url.Values{}
	for _, name := range []string{"source", "provider", "destination", "type", "id", "error", "since", "until"} {
		value, err := cmd.Flags().GetString(name)
		if err != nil {
			return nil, usageError(err)
		}
		if value != "" {
			query.Set(name, value)
		}
	}
	states, err := cmd.Flags().GetStringSlice("state")
	if err != nil {
		return nil, usageError(err)
	}
	for _, state := range states {
		if _, err := queue.ParseState(state); err != nil {
			return nil, usageError(err)
		}
		query.Add("state", state)
	}
	return query, nil
}

func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events [<filters>] [--limit <n> | --all]", Short: "Lists events, newest first", Args: cobra.NoArgs,
		Long: `Lists events, newest first: one page, or with --all every one that matches.

Destination, state and error are asked of one and the same delivery. With --json, a page is one document, and --all prints one event in a line.`,
		Example: `  caddy webhooks events --state dead --since 24h
  caddy webhooks events --source payments --type 'invoice.*' --all --json | jq -r .event_id`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	filterFlags(cmd)
	limit := cmd.Flags().Int("limit", defaultPageSize, "Events of a page, at most 1000")
	cursor := cmd.Flags().String("cursor", "", "Where to go on: printed at the end of a page")
	all := cmd.Flags().Bool("all", false, "Every event that matches, not one page")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		query, err := filterQuery(cmd)
		if err != nil {
			return err
		}
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		query.Set("limit", strconv.Itoa(*limit))
		if *cursor != "" {
			query.Set("cursor", *cursor)
		}
		if *all {
			return printAllEvents(cmd, client, query)
		}
		return printEventPage(cmd, client, query)
	})
	return cmd
}

func printEventPage(cmd *cobra.Command, client *adminClient, query url.Values) error {
	var page eventPage
	raw, err := client.get(cmd.Context(), "events", query, &page)
	if err != nil {
		return err
	}
	if len(page.Events) == 0 {
		tellNothing(cmd, client, query, "events")
	}
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() {
		printEvents(s, page.Events)
		if page.Next != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), "More: --cursor "+page.Next+", or --all")
		}
	})
}

// printAllEvents follows the cursors to the end.
func printAllEvents(cmd *cobra.Command, client *adminClient, query url.Values) error {
	asJSON, err := cmd.Flags().GetBool("json")
	if err != nil {
		return usageError(err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	query.Set("limit", strconv.Itoa(maxPageSize))
	s := newScreen(cmd.OutOrStdout())
	for {
		var page struct {
			Events []json.RawMessage `json:"events"`
			Next   string            `json:"next"`
		}
		if _, err := client.get(ctx, "events", query, &page); err != nil {
			return interrupted(ctx, err)
		}
		if len(page.Events) == 0 && !query.Has("cursor") {
			tellNothing(cmd, client, query, "events")
		}
		if err := printEventLines(s, page.Events, asJSON); err != nil {
			return err
		}
		if page.Next == "" {
			return nil
		}
		query.Set("cursor", page.Next)
	}
}

func printEventLines(s *screen, events []json.RawMessage, asJSON bool) error {
	views := make([]eventView, len(events))
	for i, raw := range events {
		if asJSON {
			if _, err := fmt.Fprintf(s, "%s\n", raw); err != nil {
				return err
			}
			continue
		}
		if err := json.Unmarshal(raw, &views[i]); err != nil {
			return fmt.Errorf("answer of the admin API cannot be read: %w", err)
		}
	}
	if !asJSON && len(views) > 0 {
		printEvents(s, views)
	}
	return nil
}

// interrupted turns the error of a call that the operator broke off into nothing.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the operator wanted it so
	}
	return err
}

func printEvents(s *screen, events []eventView) {
	t := table{headings: []string{"ID", "RECEIVED", "SOURCE", "TYPE", "EVENT ID", "DELIVERIES"}}
	for i := range events {
		e := &events[i]
		t.add(text(e.ID.String()), text(clockTime(e.ReceivedAt)), text(e.Source), text(e.Type), text(e.EventID), deliveriesCell(e))
	}
	t.print(s)
}

// stateColors are how states look.
var stateColors = map[queue.State]string{
	queue.StatePending: yellow, queue.StateDelivering: yellow, queue.StateHeld: yellow, queue.StateDelivered: green, queue.StateDead: red, queue.StateCancelled: dim,
}

// deliveriesCell puts an event's deliveries into few words; its colour is that of the worst.
func deliveriesCell(e *eventView) cell {
	if len(e.Deliveries) == 0 {
		if len(e.Filtered) > 0 {
			return colored(dim, "filtered")
		}
		return colored(dim, "none")
	}
	worst := map[string]int{red: 4, yellow: 3, green: 2, dim: 1}
	var words []string
	color := plain
	for i := range e.Deliveries {
		d := &e.Deliveries[i]
		word := d.Destination + " " + d.State.String()
		if reason := failureReason(d.LastStatus, d.LastError); reason != "" && d.State != queue.StateDelivered {
			word += " (" + reason + ")"
		}
		words = append(words, word)
		if c := stateColors[d.State]; worst[c] > worst[color] {
			color = c
		}
	}
	return colored(color, strings.Join(words, ", "))
}

// failureReason names a failure by its status if it had one, else by its class.
func failureReason(status int, class string) string {
	if class == "" {
		return ""
	}
	if status != 0 {
		return strconv.Itoa(status)
	}
	return class
}

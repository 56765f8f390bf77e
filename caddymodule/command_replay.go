package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

func init() { verbs = append(verbs, replayCommand) }

// replayPoll is how often the progress of a replay is asked for.
const replayPoll = 250 * time.Millisecond

type replayFlags struct {
	to                     string
	move, all, dry, detach bool
	rate                   float64
	list                   bool
	follow, cancel         string
	edit                   bool
	body                   string
}

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay [<id>...] [<filters>] [--to <destination>] [--dry-run]", Short: "Delivers events once more",
		Long: `Delivers events once more: those named by id, or those that match the filters. Dedup does not apply; the limits of the destinations do.

Without --state, filters select dead deliveries, or with --to all settled ones. With ids as arguments, all deliveries of those events are meant; --id is a filter.
The replay runs in the gateway: breaking this command off does not stop it.

With --edit or --body, one event is delivered with another payload: as a new event, which names the original, and which the audit log records.`,
		Example: `  caddy webhooks replay --destination billing --error timeout --since 6h --dry-run
  caddy webhooks replay --destination old --state held --to new --move
  caddy webhooks replay wh_hoe2wyl9j4
  caddy webhooks replay wh_hoe2wyl9j4 --edit
  caddy webhooks replay --list`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	filterFlags(cmd)
	var flags replayFlags
	f := cmd.Flags()
	f.StringVar(&flags.to, "to", "", "Send them to this destination instead")
	f.BoolVar(&flags.move, "move", false, "With --to: cancel the deliveries where they wait")
	f.BoolVar(&flags.all, "all", false, "Every settled delivery of every event")
	f.Float64Var(&flags.rate, "rate", 0, "Deliveries per second (default 100)")
	f.BoolVar(&flags.edit, "edit", false, "Edit the payload of the one event in $VISUAL or $EDITOR, and deliver that")
	f.StringVar(&flags.body, "body", "", "Deliver the one event with the payload in this file (- for standard input)")
	f.BoolVar(&flags.dry, "dry-run", false, "Say what would be delivered and do nothing")
	f.BoolVar(&flags.detach, "detach", false, "Do not wait for the end")
	f.BoolVar(&flags.list, "list", false, "List replays")
	f.StringVar(&flags.follow, "follow", "", "Show the progress of a replay")
	f.StringVar(&flags.cancel, "cancel", "", "Stop a replay")
	cmd.MarkFlagsMutuallyExclusive("list", "follow", "cancel", "all", "edit", "body")
	cmd.RunE = runVerb(func(cmd *cobra.Command, ids []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		switch {
		case flags.list:
			return listReplays(cmd, client)
		case flags.follow != "":
			return followReplay(cmd, client, flags.follow)
		case flags.cancel != "":
			return cancelReplay(cmd, client, flags.cancel, flags.dry)
		case flags.edit || flags.body != "":
			return resendEvent(cmd, client, ids, &flags)
		}
		return startReplay(cmd, client, ids, &flags)
	})
	return cmd
}

// replayOrderOf builds what the API is asked for.
func replayOrderOf(cmd *cobra.Command, ids []string, flags *replayFlags) (replayOrder, error) {
	order := replayOrder{IDs: ids, All: flags.all, To: flags.to, Move: flags.move, Rate: flags.rate, DryRun: flags.dry}
	query, err := filterQuery(cmd)
	if err != nil {
		return order, err
	}
	filter := &replayFilter{
		Source: query.Get("source"), Provider: query.Get("provider"), Destination: query.Get("destination"), Type: query.Get("type"),
		EventID: query.Get("id"), Error: query.Get("error"),
	}
	for _, text := range query["state"] {
		state, err := queue.ParseState(text)
		if err != nil {
			return order, usageError(err)
		}
		filter.States = append(filter.States, state)
	}
	for name, into := range map[string]*time.Time{"since": &filter.Since, "until": &filter.Until} {
		if text := query.Get(name); text != "" {
			if *into, err = parseMoment(text, now()); err != nil {
				return order, usagef("--%s: %w", name, err)
			}
		}
	}
	if filter.empty() {
		if len(order.IDs) == 0 && !flags.all {
			return order, usagef("what is to be replayed? Give ids or filters, or --all")
		}
		return order, nil
	}
	if len(order.IDs) == 0 && len(filter.States) == 0 && flags.to == "" {
		filter.States = []queue.State{queue.StateDead}
	}
	order.Filter = filter
	return order, nil
}

func startReplay(cmd *cobra.Command, client *adminClient, ids []string, flags *replayFlags) error {
	order, err := replayOrderOf(cmd, ids, flags)
	if err != nil {
		return err
	}
	var view replayView
	raw, err := client.post(cmd.Context(), "replay", nil, order, &view)
	if err != nil {
		return err
	}
	if query, err := filterQuery(cmd); err == nil && view.Estimate.Events == 0 && view.Estimate.Complete && order.Filter != nil {
		tellNothing(cmd, client, query, "deliveries")
	}
	s := newScreen(cmd.OutOrStdout())
	if flags.dry || flags.detach {
		return showOr(cmd, s, raw, func() {
			verb := "Would deliver"
			if flags.detach {
				verb = "Replay " + view.ID + " delivers"
			}
			s.printf("%s %s\n", verb, describeEstimate(view.Estimate))
		})
	}
	return followReplay(cmd, client, view.ID)
}

func describeEstimate(e delivery.ReplayEstimate) string {
	more := ""
	if !e.Complete {
		more = "more than "
	}
	return fmt.Sprintf("%s%d deliveries of %d events", more, e.Deliveries, e.Events) + describeUnderWay(e.UnderWay)
}

// describeUnderWay tells of deliveries that a replay leaves out.
func describeUnderWay(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", without %d that are under way", n)
}

// followReplay shows the progress of a replay until it ends.
func followReplay(cmd *cobra.Command, client *adminClient, id string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bar := newProgress(cmd.ErrOrStderr())
	tick := time.NewTicker(replayPoll)
	defer tick.Stop()
	for {
		var view replayView
		raw, err := client.get(ctx, "replays/"+segment(id), nil, &view)
		if err != nil {
			bar.clear()
			return brokenOff(ctx, cmd, id, err)
		}
		if view.State != delivery.ReplayRunning {
			bar.clear()
			return endReplay(cmd, raw, &view)
		}
		bar.show(view.Replayed, view.Estimate.Deliveries, "Replay "+id)
		select {
		case <-tick.C:
		case <-ctx.Done():
			bar.clear()
			return brokenOff(ctx, cmd, id, ctx.Err())
		}
	}
}

func brokenOff(ctx context.Context, cmd *cobra.Command, id string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "The replay goes on: caddy webhooks replay --follow %[1]s, or --cancel %[1]s\n", id)
	return nil
}

// endReplay reports how a replay ended; one that was cancelled is a failure.
func endReplay(cmd *cobra.Command, raw []byte, view *replayView) error {
	s := newScreen(cmd.OutOrStdout())
	if err := showOr(cmd, s, raw, func() {
		s.printf("Replay %s %s: %d deliveries put back into the queue, of %d events", view.ID, view.State, view.Replayed, view.Events)
		if view.Skipped > 0 {
			s.printf(" (%d had none to put back)", view.Skipped)
		}
		s.printf("%s\n", describeUnderWay(view.UnderWay))
	}); err != nil {
		return err
	}
	if view.State == delivery.ReplayCancelled {
		return errors.New("replay was cancelled")
	}
	return nil
}

func cancelReplay(cmd *cobra.Command, client *adminClient, id string, dryRun bool) error {
	var view replayView
	raw, err := client.post(cmd.Context(), "replays/"+segment(id)+"/cancel", dryRunQuery(dryRun), nil, &view)
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() {
		verb := "Stopped"
		if dryRun {
			verb = "Would stop"
		}
		s.printf("%s replay %s after %d of %d deliveries\n", verb, view.ID, view.Replayed, view.Estimate.Deliveries)
	})
}

func dryRunQuery(dryRun bool) url.Values {
	if !dryRun {
		return nil
	}
	return url.Values{"dry_run": {"true"}}
}

func listReplays(cmd *cobra.Command, client *adminClient) error {
	var list struct{ Replays []replayView }
	raw, err := client.get(cmd.Context(), "replays", nil, &list)
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() {
		t := table{headings: []string{"REPLAY", "STATE", "STARTED", "REPLAYED", "OF", "EVENTS", "TO"}}
		for i := range list.Replays {
			r := &list.Replays[i]
			of := fmt.Sprint(r.Estimate.Deliveries)
			if !r.Estimate.Complete {
				of = ">" + of
			}
			t.add(text(r.ID), text(string(r.State)), text(clockTime(r.Created)), number(r.Replayed), text(of), number(r.Events), text(r.Request.To))
		}
		t.print(s)
	})
}

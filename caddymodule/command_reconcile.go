package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, reconcileCommand) }

func reconcileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reconcile <source> [--since <time>] [--until <time>] [--dry-run]", Short: "Finds events that never arrived, and fetches them", Args: cobra.ExactArgs(1),
		Long: `Compares the events that a source's provider lists in its API with those that arrived, and fetches what is missing, through the dedup of the source.
With --dry-run it shows the gap and fetches nothing. The source needs ` + "`reconcile`" + ` in its configuration.

The default range is the last 24 hours; it cannot begin before what history keeps (` + "`retain delivered`" + `). Breaking it off is harmless.`,
		Example: `  caddy webhooks reconcile payments --since 6h --dry-run
  caddy webhooks reconcile payments --since 2026-01-02T03:00:00Z --until 2026-01-02T05:00:00Z`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	since, until := momentFlags(cmd, "Happened")
	dryRun := cmd.Flags().Bool("dry-run", false, "Show what is missing and fetch nothing")
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		query := url.Values{}
		for name, value := range map[string]string{"since": since.String(), "until": until.String()} {
			if value != "" {
				query.Set(name, value)
			}
		}
		if *dryRun {
			query.Set("dry_run", "true")
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		bar := newProgress(cmd.ErrOrStderr())
		raw, err := followReconcile(ctx, client, args[0], query, bar)
		bar.clear()
		if err != nil {
			return err
		}
		var view reconcileView
		if err := json.Unmarshal(raw, &view); err != nil {
			return fmt.Errorf("answer of the admin API cannot be read: %w", err)
		}
		s := newScreen(cmd.OutOrStdout())
		if err := showOr(cmd, s, raw, func() { printReconcile(s, &view) }); err != nil {
			return err
		}
		if view.Failed > 0 {
			return fmt.Errorf("%d missing events could not be fetched", view.Failed)
		}
		return nil
	})
	return cmd
}

// followReconcile shows the progress and returns the result.
func followReconcile(ctx context.Context, client *adminClient, source string, query url.Values, bar *progress) (json.RawMessage, error) {
	resp, err := client.stream(ctx, http.MethodPost, "sources/"+segment(source)+"/reconcile", query)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxTailLine)
	event := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		switch event {
		case "progress":
			var view reconcileView
			if err := json.Unmarshal([]byte(data), &view); err != nil {
				return nil, fmt.Errorf("answer of the admin API cannot be read: %w", err)
			}
			bar.show(view.Listed, 0, fmt.Sprintf("Reconcile %s: page %d, %d missing, listed", source, view.Pages, view.Missing))
		case "problem":
			return nil, client.problem([]byte(data), resp)
		case "result":
			return json.RawMessage(data), nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, errors.Join(errors.New("the gateway broke off, at a reload perhaps: do it again, it goes on where it was"), lines.Err())
}

func printReconcile(s *screen, v *reconcileView) {
	s.printf("%s lists %d events from %s to %s; %d of them arrived.\n", printable(v.API), v.Listed, clockTime(v.Since), clockTime(v.Until), v.Known)
	if v.Missing == 0 {
		s.printf("%s\n", s.paint(green, "Nothing is missing."))
		return
	}
	s.printf("%s", s.paint(yellow, fmt.Sprintf("%d are missing", v.Missing)))
	if !v.First.IsZero() {
		s.printf(", from %s to %s", clockTime(v.First), clockTime(v.Last))
	}
	s.printf(".\n\n")
	t := table{headings: []string{"HAPPENED", "TYPE", "EVENT ID", ""}}
	for i := range v.Events {
		e := &v.Events[i]
		t.add(text(clockTime(e.At)), text(e.Type), text(e.ID), colored(red, e.Error))
	}
	t.print(s)
	if more := v.Missing - len(v.Events); more > 0 {
		s.printf("... and %d more\n", more)
	}
	if v.DryRun {
		s.printf("\nWithout --dry-run they are fetched.\n")
		return
	}
	s.printf("\n%d were fetched and accepted, %d had been accepted all the same, %d failed.\n", v.Stored, v.Duplicates, v.Failed)
}

package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

func storeSalvageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "salvage <directory> --to <directory>", Short: "Carries every readable event of a damaged store into a new one", Args: cobra.ExactArgs(1),
		Long: `Takes what can be read out of the files of a damaged store whose Caddy is stopped, each file for itself, and makes a new store of it in a directory that is empty or
does not exist: events with their deliveries and attempts, dedup claims, counters and what operators have set. The damaged store is not changed.

Deliveries whose state cannot be read are pending in the new store: they may be delivered once more. Events that cannot be read are listed; if they had not been
delivered, their dedup claims are left out, so that their providers can send them again.

The exit code is 1 if something was lost, or may have been.`,
	}
	outputFlags(cmd)
	to := cmd.Flags().String("to", "", "Directory of the new store")
	dryRun := cmd.Flags().Bool("dry-run", false, "Only check the damaged store")
	key := keyFlag(cmd, "encryption-key", "the damaged store")
	target := newTargetKey(cmd)
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		ctx, stop := interruptible(cmd)
		defer stop()
		s := newScreen(cmd.OutOrStdout())
		if *dryRun {
			raw, report, err := checkStore(ctx, cmd, args, *key)
			if err != nil {
				return explained(err)
			}
			return showOr(cmd, s, raw, func() { printStoreReport(s, report) })
		}
		if *to == "" {
			return usagef("want --to <directory>: where the new store is to be")
		}
		oldKey, err := readKey("encryption-key", *key)
		if err != nil {
			return err
		}
		newKey, err := target.read(oldKey)
		if err != nil {
			return err
		}
		report, err := badgerstore.Salvage(ctx, args[0], *to, newKey, offlineOptions(oldKey))
		if err == nil {
			err = handOver(*to, args[0])
		}
		if err != nil {
			return explained(err)
		}
		raw, err := json.Marshal(report)
		if err != nil {
			return err
		}
		if err := showOr(cmd, s, raw, func() { printSalvage(s, report) }); err != nil {
			return err
		}
		if report.LostCount+report.Missing > 0 || report.Uncounted || len(report.LostRows) > 0 {
			return errSilent
		}
		return nil
	})
	return cmd
}

func printSalvage(s *screen, r *badgerstore.SalvageReport) {
	for i := range r.Source.Findings {
		f := r.Source.Findings[i]
		f.WayOut = "" // this is it
		printStoreFinding(s, &f)
	}
	for i := range r.Lost {
		l := &r.Lost[i]
		what := l.ID.String()
		if l.EventID != "" {
			what += fmt.Sprintf(" (%s of %s, %s)", l.EventID, l.Source, clockTime(l.ReceivedAt))
		}
		state := "its deliveries were settled"
		if !l.Settled {
			state = "not delivered, as far as can be told: ask its provider to send it again"
		}
		s.printf("%s %s: %s; %s\n", s.paint(red, "lost"), printable(what), printable(l.Reason), state)
	}
	if more := r.LostCount - uint64(len(r.Lost)); more > 0 {
		s.printf("... and %d more\n", more)
	}
	s.printf("carried %d events with %d pending and %d settled deliveries, %d dedup claims, %d other records\n", r.Events, r.Pending, r.Settled, r.Claims, r.Metadata)
	if r.Unlisted > 0 {
		s.printf("%d of the events were found in the journal or the value log only; they are pending as far as nothing else is known\n", r.Unlisted)
	}
	if r.Uncertain > 0 {
		s.printf("%d deliveries have lost their state and are pending: they may be delivered once more\n", r.Uncertain)
	}
	if r.Missing > 0 {
		s.printf("%s\n", s.paint(red, fmt.Sprintf("%d more events were counted by the store, and nothing is left of them", r.Missing)))
	}
	if r.Uncounted {
		s.printf("%s\n", s.paint(red, "the store has lost its newest part or its bookkeeping: how many more events are missing cannot be told"))
	}
	if len(r.LostRows) > 0 {
		s.printf("%s\n", s.paint(red, "with a part of the database some of these may be lost: "+strings.Join(r.LostRows, "; ")))
		s.printf("deliveries whose states are lost are pending and may be made once more; a pause that is lost has to be set again: start with the applications stopped if that matters\n")
	}
	s.printf("the new store is in %s\n", printable(r.To))
}

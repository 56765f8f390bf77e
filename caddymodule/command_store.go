package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

func init() { verbs = append(verbs, storeCommand) }

func storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "store <check|backup|restore|salvage>", Short: "Checks, backs up, restores and salvages the store",
		Long: `Looks after the store in which the events are, a directory of files. check and backup go through the admin API of a running Caddy, or
open the directory of a store whose Caddy is stopped; restore and salvage make a new directory and leave everything else as it is.

The key of an encrypted store is given with --encryption-key, as the encryption_key of the Caddyfile is: {env.NAME}, {file./path} or the key itself in hex or base64.`,
		Args: cobra.ArbitraryArgs,
	}
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown verb %q of store: want check, backup, restore or salvage", args[0])
		}
		return cmd.Help()
	})
	for _, verb := range []func() *cobra.Command{storeCheckCommand, storeBackupCommand, storeRestoreCommand, storeSalvageCommand} {
		sub := verb()
		check := sub.Args
		sub.Args = func(cmd *cobra.Command, args []string) error { return finish(cmd, usageError(check(cmd, args))) }
		cmd.AddCommand(sub)
	}
	return cmd
}

// storeLockWait is how long commands wait for a process that is on its way out.
const storeLockWait = 2 * time.Second

// keyFlag adds a flag for an encryption key.
func keyFlag(cmd *cobra.Command, name, of string) *string {
	return cmd.Flags().String(name, "", "Key of "+of+", if it is encrypted: {env.NAME}, {file./path}, hex or base64")
}

// readKey reads an encryption key; nil if none was given. Errors never show it.
func readKey(flag, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	source, err := newSecretSource(text)
	if err != nil {
		return nil, usagef("--%s: %w", flag, err)
	}
	key, err := decodeKey(string(source.value))
	if err != nil {
		return nil, usagef("--%s: %w", flag, err)
	}
	return key, nil
}

func offlineOptions(key []byte) badgerstore.Options {
	return badgerstore.Options{EncryptionKey: key, LockWait: storeLockWait}
}

// interruptible ends with the command or an interrupt, so that what was begun is tidied up.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
}

// explained adds to an error what the operator can do.
func explained(err error) error {
	switch {
	case errors.Is(err, badgerstore.ErrKey):
		return fmt.Errorf("%w (--encryption-key)", err)
	case errors.Is(err, badgerstore.ErrInUse):
		return fmt.Errorf("%w; stop that Caddy, or leave the directory out: then it checks or backs up its store itself, while it works", err)
	case errors.Is(err, badgerstore.ErrNoStore):
		return &commandError{code: exitNotFound, err: err}
	}
	return err
}

func storeCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check [<directory>]", Short: "Reads and verifies everything in the store", Args: cobra.MaximumNArgs(1),
		Long: `Reads every row and every payload and compares them with each other: lengths and checksums, events with their deliveries, deliveries with the places where
they wait, and counters with what they count.

Without a directory this is done by the running Caddy, which goes on working. With the directory of a store whose Caddy is stopped, all of its files are read
too: Badger's manifest, tables, memtables and value log, the journal, and the high-water mark that tells whether the store went back in time. Nothing is changed.

The exit code is 1 if there is damage; each finding names the file or event, and the way out.`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	key := keyFlag(cmd, "encryption-key", "the store")
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		ctx, stop := interruptible(cmd)
		defer stop()
		raw, report, err := checkStore(ctx, cmd, args, *key)
		if err != nil {
			return explained(err)
		}
		s := newScreen(cmd.OutOrStdout())
		if err := showOr(cmd, s, raw, func() { printStoreReport(s, report) }); err != nil {
			return err
		}
		if !report.Sound {
			return errSilent
		}
		return nil
	})
	return cmd
}

func checkStore(ctx context.Context, cmd *cobra.Command, args []string, keyText string) (json.RawMessage, *badgerstore.Report, error) {
	if len(args) == 0 {
		if keyText != "" {
			return nil, nil, usagef("--encryption-key goes with a directory: the running Caddy knows its key")
		}
		client, err := connect(cmd)
		if err != nil {
			return nil, nil, err
		}
		report := new(badgerstore.Report)
		raw, err := client.get(ctx, "store/check", nil, report)
		return raw, report, err
	}
	key, err := readKey("encryption-key", keyText)
	if err != nil {
		return nil, nil, err
	}
	report, err := badgerstore.CheckDir(ctx, args[0], offlineOptions(key))
	if err != nil {
		return nil, nil, err
	}
	raw, err := json.Marshal(report)
	return raw, report, err
}

func printStoreReport(s *screen, r *badgerstore.Report) {
	for i := range r.Findings {
		printStoreFinding(s, &r.Findings[i])
	}
	if listed := len(r.Findings); r.Damage > listed {
		s.printf("... and more: %d findings of damage in all\n", r.Damage)
	}
	s.printf("read %d events with %s of payload, %d deliveries, %d attempts, %d dedup claims\n", r.Events, bytesText(r.Payload), r.Deliveries, r.Attempts, r.Claims)
	switch {
	case !r.Online:
		s.printf("%d tables; %d of the events are in the journal only\n", r.Tables, r.Journal)
	case r.Sound:
		s.printf("the rows and payloads were read; to read the files too, stop Caddy and name the directory: %s\n", printable(r.Dir))
	}
	if r.Sound {
		s.printf("%s\n", s.paint(green, "the store is sound"))
	} else {
		s.printf("%s\n", s.paint(red, fmt.Sprintf("the store is damaged: %d findings", r.Damage)))
	}
}

func printStoreFinding(s *screen, f *badgerstore.Finding) {
	color := red
	if f.Level == badgerstore.LevelNote {
		color = dim
	}
	subject := f.Kind
	for _, part := range []string{f.File, f.Event, f.Destination} {
		if part != "" {
			subject += " " + part
		}
	}
	s.printf("%s %s: %s\n", s.paint(color, f.Level), printable(subject), printable(f.Text))
	if f.WayOut != "" {
		s.printf("       %s\n", s.paint(dim, printable(f.WayOut)))
	}
}

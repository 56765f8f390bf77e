package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

func storeBackupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup <file>|- [--dir <directory>] [--force]", Short: "Writes everything in the store to a file", Args: cobra.ExactArgs(1),
		Long: `Writes a backup: everything that is in the store at one moment, each event that was accepted before included. The running Caddy makes it and goes on working; with
--dir, the store of a Caddy that is stopped is backed up. "-" is standard output, for a pipe.

The backup of an encrypted store is encrypted with the same key: keep that key somewhere else. A backup has checksums and an end, and is verified as it is written.
The file gets its name when it is complete.`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	dir := cmd.Flags().String("dir", "", "Directory of a store whose Caddy is stopped")
	force := cmd.Flags().Bool("force", false, "Replace the file if it is there")
	dryRun := cmd.Flags().Bool("dry-run", false, "Read the store and verify the backup, and write nothing")
	key := keyFlag(cmd, "encryption-key", "the store in --dir")
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		ctx, stop := interruptible(cmd)
		defer stop()
		var info badgerstore.BackupInfo
		write := func(w io.Writer) (err error) {
			info, err = backupTo(ctx, cmd, w, *dir, *key)
			return err
		}
		if err := writeBackup(cmd, args[0], *force, *dryRun, write); err != nil {
			return explained(err)
		}
		return showBackup(cmd, &info, args[0], *dryRun)
	})
	return cmd
}

// backupTo writes a backup to w and verifies what is written.
func backupTo(ctx context.Context, cmd *cobra.Command, w io.Writer, dir, keyText string) (badgerstore.BackupInfo, error) {
	if dir != "" {
		key, err := readKey("encryption-key", keyText)
		if err != nil {
			return badgerstore.BackupInfo{}, err
		}
		info, err := badgerstore.BackupDir(ctx, dir, w, offlineOptions(key))
		return info, errors.Join(err, handOver(dir, dir))
	}
	if keyText != "" {
		return badgerstore.BackupInfo{}, usagef("--encryption-key goes with --dir: the running Caddy knows its key")
	}
	client, err := connect(cmd)
	if err != nil {
		return badgerstore.BackupInfo{}, err
	}
	resp, err := client.open(ctx, "GET", "store/backup", nil, nil)
	if err != nil {
		return badgerstore.BackupInfo{}, err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "application/octet-stream" {
		return badgerstore.BackupInfo{}, client.stranger(resp)
	}
	return badgerstore.VerifyBackup(io.TeeReader(resp.Body, w))
}

// writeBackup calls write with the file, which gets its name only when all of it is on the disk.
func writeBackup(cmd *cobra.Command, name string, force, dryRun bool, write func(io.Writer) error) error {
	if dryRun {
		return write(io.Discard)
	}
	if name == "-" {
		if isTerminal(cmd.OutOrStdout()) {
			return usagef("a backup is no text: name a file, or send standard output somewhere else")
		}
		return write(cmd.OutOrStdout())
	}
	if _, err := os.Stat(name); err == nil && !force {
		return usagef("%s is there already: choose another name, or replace it with --force", name)
	}
	partial := name + ".partial"
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(partial, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	return nil
}

// showBackup says what is in a backup: on standard error if the backup is on standard output.
func showBackup(cmd *cobra.Command, info *badgerstore.BackupInfo, name string, dryRun bool) error {
	out := cmd.OutOrStdout()
	if name == "-" && !dryRun {
		out = cmd.ErrOrStderr()
	}
	raw, err := json.Marshal(info)
	if err != nil {
		return err
	}
	s := newScreen(out)
	err = showOr(cmd, s, raw, func() {
		printBackup(s, info)
		if info.Damaged > 0 {
			s.printf("%s\n", s.paint(red, fmt.Sprintf("%d of the events cannot be read, and are in the backup as they are: see `caddy webhooks store check`", info.Damaged)))
		}
	})
	if err == nil && info.Damaged > 0 {
		return errSilent
	}
	return err
}

func printBackup(s *screen, info *badgerstore.BackupInfo) {
	encrypted := "not encrypted"
	if info.Encrypted {
		encrypted = "encrypted"
	}
	s.printf("backup of %s: %d events up to %s, %d rows, %s, %s\n", clockTime(info.CreatedAt), info.Events, info.LastEvent, info.Rows, bytesText(info.Bytes), encrypted)
}

// targetKey is the key of a new store: that of the old one, unless another one, or none, was asked for.
type targetKey struct {
	other *string
	plain *bool
}

func newTargetKey(cmd *cobra.Command) targetKey {
	return targetKey{
		other: cmd.Flags().String("new-encryption-key", "", "Key of the new store, if it is to be another one: {env.NAME}, {file./path}, hex or base64"),
		plain: cmd.Flags().Bool("decrypt", false, "Make a new store that is not encrypted"),
	}
}

func (t targetKey) read(key []byte) ([]byte, error) {
	switch {
	case *t.plain && *t.other != "":
		return nil, usagef("want only one of --new-encryption-key and --decrypt")
	case *t.plain:
		return nil, nil
	case *t.other != "":
		return readKey("new-encryption-key", *t.other)
	}
	return key, nil
}

func storeRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore <file>|- --to <directory>", Short: "Makes a store of a backup", Args: cobra.ExactArgs(1),
		Long: `Makes a store of a backup, in a directory that is empty or does not exist. Then stop Caddy and let the directory take the place of its store, or name it in the
Caddyfile: store badger <directory>.

What was pending when the backup was made is pending again: an event that was delivered since then is delivered once more, under its old webhook-id. Pause the
destinations, or their applications, if they cannot stand that. New events get numbers that were never used.

The new store has the key of the backup, or another one: that is how the key of a store is changed.`,
	}
	outputFlags(cmd)
	to := cmd.Flags().String("to", "", "Directory of the new store")
	dryRun := cmd.Flags().Bool("dry-run", false, "Read the backup to its end, verify it, and write nothing")
	key := keyFlag(cmd, "encryption-key", "the backup")
	target := newTargetKey(cmd)
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		ctx, stop := interruptible(cmd)
		defer stop()
		file := cmd.InOrStdin()
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			file = f
		}
		info, err := restoreStore(ctx, file, *to, *key, target, *dryRun)
		if err != nil {
			return explained(err)
		}
		raw, err := json.Marshal(info)
		if err != nil {
			return err
		}
		s := newScreen(cmd.OutOrStdout())
		return showOr(cmd, s, raw, func() {
			printBackup(s, &info)
			if *dryRun {
				s.printf("it is complete and unchanged; nothing was written\n")
			} else {
				s.printf("the store is in %s\n", printable(*to))
			}
		})
	})
	return cmd
}

func restoreStore(ctx context.Context, file io.Reader, to, keyText string, target targetKey, dryRun bool) (badgerstore.BackupInfo, error) {
	if dryRun {
		return badgerstore.VerifyBackup(file)
	}
	if to == "" {
		return badgerstore.BackupInfo{}, usagef("want --to <directory>: where the new store is to be")
	}
	key, err := readKey("encryption-key", keyText)
	if err != nil {
		return badgerstore.BackupInfo{}, err
	}
	newKey, err := target.read(key)
	if err != nil {
		return badgerstore.BackupInfo{}, err
	}
	like := filepath.Dir(filepath.Clean(to))
	if _, err := os.Stat(to); err == nil {
		like = to
	}
	info, err := badgerstore.Restore(ctx, file, key, to, offlineOptions(newKey))
	return info, errors.Join(err, handOver(to, like))
}

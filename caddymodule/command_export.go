package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/queue"
)

func init() { verbs = append(verbs, exportCommand) }

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export [<filters>] [--output <file>] [--compact]", Short: "Writes events as CloudEvents, one in a line", Args: cobra.NoArgs,
		Long: `Writes events with their payloads as CloudEvents in JSON, one in a line, newest first; ` + "`import`" + ` reads them back.

Payloads are written as their source allows: not at all with redact, and with what it masks replaced. Headers that carry secrets are left out. A payload that
is JSON with line breaks is kept byte for byte in data_base64; --compact writes it as JSON without them.

A file appears when it is complete. Reloads of Caddy in the meantime do no harm.`,
		Example: `  caddy webhooks export --source payments --since 7d --output payments.jsonl
  caddy webhooks export --state dead --compact | jq .data`,
	}
	connectFlags(cmd)
	filterFlags(cmd)
	output := cmd.Flags().StringP("output", "o", "", "Write into this file")
	compact := cmd.Flags().Bool("compact", false, "Write JSON payloads without their line breaks")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		query, err := filterQuery(cmd)
		if err != nil {
			return err
		}
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		if *compact {
			query.Set("compact", "true")
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		x := &exportRun{client: client, query: query, bar: newProgress(cmd.ErrOrStderr())}
		x.total = x.expected(ctx)
		if *output == "" {
			err = x.run(ctx, cmd.OutOrStdout())
		} else {
			err = intoFile(*output, func(w io.Writer) error { return x.run(ctx, w) })
		}
		x.bar.clear()
		if err != nil {
			return err
		}
		x.tell(cmd.ErrOrStderr())
		return nil
	})
	return cmd
}

// exportRun fetches an export page by page, so that a reload of Caddy costs it one page at most.
type exportRun struct {
	client *adminClient
	query  url.Values
	bar    *progress
	total  int

	events, hidden, masked, damaged int
	last                            queue.ID // the last one written
	answered                        bool     // there is a gateway: if it is not to be reached, it is being reloaded
}

const (
	exportPageSize = 500
	exportTries    = 6
	exportPause    = 200 * time.Millisecond // before the second try; doubles
)

// expected is how many events there are if all are asked for; 0 if that is not known.
func (x *exportRun) expected(ctx context.Context) int {
	if len(x.query) > 0 && (len(x.query) > 1 || !x.query.Has("compact")) {
		return 0
	}
	var status statusView
	if _, err := x.client.get(ctx, "status", nil, &status); err != nil {
		return 0 // the export itself says what is wrong
	}
	return int(min(status.Store.Events, 1<<53))
}

func (x *exportRun) run(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, 256<<10)
	x.query.Set("limit", strconv.Itoa(exportPageSize))
	for tries, cursor := 1, ""; ; {
		if cursor != "" {
			x.query.Set("cursor", cursor)
		}
		before := x.events
		next, err := x.page(ctx, out)
		var broken *brokenPage
		if errors.As(err, &broken) && tries < exportTries && ctx.Err() == nil {
			if x.events > before {
				tries = 0
			}
			if err := pause(ctx, exportPause<<tries); err != nil {
				return err
			}
			tries++
			continue
		}
		if err != nil {
			return err
		}
		if next == "" {
			return out.Flush()
		}
		cursor, tries = next, 1
	}
}

// brokenPage is a failure after which the same page is worth another try.
type brokenPage struct{ err error }

func (b *brokenPage) Error() string { return b.err.Error() }
func (b *brokenPage) Unwrap() error { return b.err }

// page writes one page and returns the cursor of the next. After a page that broke off, the events that are written already are left out.
func (x *exportRun) page(ctx context.Context, w io.Writer) (next string, err error) {
	resp, err := x.client.open(ctx, http.MethodGet, "export", x.query, nil)
	if err != nil {
		var failed *commandError
		away := errors.As(err, &failed) && failed.code == exitUnreachable
		if errors.Is(err, errLeaving) || x.answered && away {
			x.answered = true
			return "", &brokenPage{err}
		}
		return "", err
	}
	defer resp.Body.Close()
	x.answered = true
	if resp.Header.Get("Content-Type") != linesType {
		return "", x.client.stranger(resp)
	}
	r := bufio.NewReaderSize(resp.Body, 256<<10)
	for {
		line, err := readLine(r, maxAdminAnswer)
		switch {
		case errors.Is(err, io.EOF):
			return resp.Header.Get(nextHeader), nil
		case err != nil || line[len(line)-1] != '\n':
			return "", &brokenPage{fmt.Errorf("export broke off after %d events: %w", x.events, errors.Join(err, ctx.Err()))}
		}
		if err := x.write(w, line); err != nil {
			return "", err
		}
	}
}

func (x *exportRun) write(w io.Writer, line []byte) error {
	id, err := queue.ParseID(gjson.GetBytes(line, "gatewayid").String())
	if err != nil {
		return fmt.Errorf("answer of the admin API cannot be read: %w", err)
	}
	if x.last != 0 && id >= x.last {
		return nil
	}
	if _, err := w.Write(line); err != nil {
		return err
	}
	x.last = id
	x.events++
	switch gjson.GetBytes(line, "payloadstate").String() {
	case payloadHidden:
		x.hidden++
	case payloadMasked:
		x.masked++
	case payloadDamaged:
		x.damaged++
	}
	if x.events%100 == 0 {
		x.bar.show(x.events, max(x.total, 0), "Export")
	}
	return nil
}

func (x *exportRun) tell(w io.Writer) {
	fmt.Fprintf(w, "Exported %d events.\n", x.events)
	for _, note := range []struct {
		n    int
		text string
	}{
		{x.hidden, "have no payload, because their source shows none (redact)"},
		{x.masked, "have a payload with parts masked"},
		{x.damaged, "are damaged, and only their attributes are there"},
	} {
		if note.n > 0 {
			fmt.Fprintf(w, "%d of them %s; they cannot be imported.\n", note.n, note.text)
		}
	}
}

// intoFile writes a file that appears under its name when it is complete.
func intoFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return f.Close()
}

// pause waits, or returns the context's error if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
)

func init() { verbs = append(verbs, importCommand) }

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import [<file>] [--deliver undelivered|all|none] [--source <name>] [--dry-run]", Short: "Stores events that `export` wrote", Args: cobra.MaximumNArgs(1),
		Long: `Stores events from a file, or from standard input, that has one CloudEvent in JSON in each line, such as ` + "`export`" + ` writes. They pass the dedup of
their sources, so that the same file twice stores nothing twice. Each event's source must be configured; --source names one for all.

They arrive now: the time of each event is when it happened. By default those deliveries are made that were not settled when the event was exported;
--deliver all makes those that a new event would get, and none leaves it at history, from which ` + "`replay`" + ` delivers what is wanted.`,
		Example: `  caddy webhooks import payments.jsonl --dry-run
  zcat all.jsonl.gz | caddy webhooks import --deliver none`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	deliver := cmd.Flags().String("deliver", deliverUndelivered, "Which deliveries are made: undelivered, all or none")
	completeWith(cmd, "deliver", deliverAll, deliverNone, deliverUndelivered)
	source := cmd.Flags().String("source", "", "The source that takes them, in place of each event's own")
	dryRun := cmd.Flags().Bool("dry-run", false, "Check every line and store nothing")
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		if _, err := parseDeliver(*deliver); err != nil {
			return usageError(err)
		}
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		query := url.Values{"deliver": {*deliver}}
		if *source != "" {
			query.Set("source", *source)
		}
		if *dryRun {
			query.Set("dry_run", "true")
		}
		file, closeFile, err := importFile(cmd, args)
		if err != nil {
			return err
		}
		defer closeFile()
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		im := &importRun{client: client, query: query, bar: newProgress(cmd.ErrOrStderr()), total: importView{Problems: []importProblem{}, DryRun: *dryRun}}
		err = im.run(ctx, file)
		im.bar.clear()
		return errors.Join(im.tell(cmd), err)
	})
	return cmd
}

// importFile is the file that is read. Standard input is copied into one first, because it is read backwards where the newest event stands first.
func importFile(cmd *cobra.Command, args []string) (*os.File, func(), error) {
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, nil, usageError(err)
		}
		return f, func() { f.Close() }, nil
	}
	f, err := os.CreateTemp("", "webhooks-import-*")
	if err != nil {
		return nil, nil, fmt.Errorf("keeping standard input: %w", err)
	}
	done := func() {
		f.Close()
		_ = os.Remove(f.Name()) // it is in the directory for temporary files
	}
	if _, err := io.Copy(f, cmd.InOrStdin()); err != nil {
		done()
		return nil, nil, fmt.Errorf("keeping standard input: %w", err)
	}
	return f, done, nil
}

// importRun sends the lines of a file, oldest event first, in calls of bounded size.
type importRun struct {
	client *adminClient
	query  url.Values
	bar    *progress
	total  importView
	sent   int
}

// importChunk is how many bytes of lines one call carries at most, unless one line alone is longer.
const importChunk = 16 << 20

// lineAt is where a line stands in the file.
type lineAt struct {
	at     int64
	length int
	number int // from 1
}

func (im *importRun) run(ctx context.Context, file *os.File) error {
	lines, backwards, err := indexLines(file)
	if err != nil {
		return err
	}
	if backwards {
		for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
			lines[i], lines[j] = lines[j], lines[i]
		}
	}
	for all := lines; len(lines) > 0; {
		n, size := 0, 0
		for n < len(lines) && (n == 0 || size+lines[n].length <= importChunk) {
			size += lines[n].length
			n++
		}
		if err := im.send(ctx, file, lines[:n], len(all)); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}

// indexLines finds the lines of a file that are not empty. backwards reports whether the first arrived after the last.
func indexLines(file *os.File) (lines []lineAt, backwards bool, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, false, fmt.Errorf("reading the events: %w", err)
	}
	r := bufio.NewReaderSize(file, 256<<10)
	var first, last time.Time
	for at, number := int64(0), 1; ; number++ {
		line, err := readLine(r, maxImportLine)
		if errors.Is(err, io.EOF) {
			return lines, first.After(last), nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("reading line %d: %w", number, err)
		}
		if len(line) > 1 {
			lines = append(lines, lineAt{at: at, length: len(line), number: number})
			arrived := lineTime(line)
			if len(lines) == 1 {
				first = arrived
			}
			last = arrived
		}
		at += int64(len(line))
	}
}

// lineTime is when the event of a line arrived, or else happened; zero if it does not say.
func lineTime(line []byte) time.Time {
	for _, name := range []string{"receivedat", "time"} {
		if t, err := time.Parse(time.RFC3339Nano, gjson.GetBytes(line, name).String()); err == nil {
			return t
		}
	}
	return time.Time{}
}

// lineReader reads lines in the order of a list.
type lineReader struct {
	file  io.ReaderAt
	lines []lineAt
	line  []byte
	begin func() // called for each line
}

func (r *lineReader) Read(p []byte) (int, error) {
	for len(r.line) == 0 {
		if len(r.lines) == 0 {
			return 0, io.EOF
		}
		next := r.lines[0]
		r.lines = r.lines[1:]
		buf := make([]byte, next.length)
		if _, err := r.file.ReadAt(buf, next.at); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if buf[len(buf)-1] != '\n' {
			buf = append(buf, '\n')
		}
		r.line = buf
		r.begin()
	}
	n := copy(p, r.line)
	r.line = r.line[n:]
	return n, nil
}

// send makes one call and adds what became of its lines.
func (im *importRun) send(ctx context.Context, file io.ReaderAt, lines []lineAt, all int) error {
	body := &lineReader{file: file, lines: lines, begin: func() {
		if im.sent++; im.sent%100 == 0 {
			im.bar.show(im.sent, all, "Import")
		}
	}}
	resp, err := im.client.send(ctx, "import", im.query, linesType, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var view importView
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAdminAnswer)).Decode(&view); err != nil {
		return fmt.Errorf("answer of the admin API cannot be read: %w", err)
	}
	t := &im.total
	t.Lines, t.Stored, t.Duplicates = t.Lines+view.Lines, t.Stored+view.Stored, t.Duplicates+view.Duplicates
	t.Refused, t.Valid = t.Refused+view.Refused, t.Valid+view.Valid
	for _, p := range view.Problems {
		if p.Line > 0 && p.Line <= len(lines) && len(t.Problems) < maxImportTold {
			p.Line = lines[p.Line-1].number
			t.Problems = append(t.Problems, p)
		}
	}
	return nil
}

// tell prints what became of the lines. Refused ones are a failure.
func (im *importRun) tell(cmd *cobra.Command) error {
	t := &im.total
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	if err := showOr(cmd, s, raw, func() {
		if t.DryRun {
			s.printf("%d of %d lines can be imported.\n", t.Valid, t.Lines)
		} else {
			s.printf("%d events stored, %d were there already, of %d lines.\n", t.Stored, t.Duplicates, t.Lines)
		}
		for _, p := range t.Problems {
			s.printf("line %d %s: %s\n", p.Line, printable(p.ID), printable(p.Reason))
		}
		if rest := t.Refused - len(t.Problems); rest > 0 {
			s.printf("... and %d more\n", rest)
		}
	}); err != nil {
		return err
	}
	if t.Refused > 0 {
		return fmt.Errorf("%d lines were not imported", t.Refused)
	}
	return nil
}

package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The colours of the terminal.
const (
	plain  = ""
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"

	clearScreen = "\x1b[H\x1b[2J"
)

// screen is where a command writes: colours and widths follow from what it is.
type screen struct {
	io.Writer
	color bool
	width int // 0: no limit
}

func newScreen(w io.Writer) *screen {
	s := &screen{Writer: w, color: isTerminal(w)}
	if f := file(w); f != nil && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			s.width = width
		}
	}
	return s
}

func (s *screen) paint(color, text string) string {
	if !s.color || color == plain || text == "" {
		return text
	}
	return color + text + reset
}

func (s *screen) printf(format string, args ...any) { fmt.Fprintf(s, format, args...) }

// printable makes a text that a stranger chose harmless: no control characters reach the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, text)
}

// cell is one field of a table.
type cell struct {
	text  string
	color string
}

func text(s string) cell              { return cell{text: printable(s)} }
func colored(color, s string) cell    { return cell{text: printable(s), color: color} }
func number[N int | uint64](n N) cell { return cell{text: fmt.Sprint(n)} }

// table is rows under headings. On a terminal, the widest columns give way until a row fits.
type table struct {
	headings []string
	rows     [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// minColumn is how narrow a column is made at most.
const minColumn = 6

func (t *table) print(s *screen) {
	widths := make([]int, len(t.headings))
	for i, h := range t.headings {
		widths[i] = utf8.RuneCountInString(h)
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	if s.width > 0 {
		shrink(widths, s.width)
	}
	var line strings.Builder
	for i, h := range t.headings {
		writeCell(&line, s, cell{text: h, color: dim}, widths[i], i == len(widths)-1)
	}
	line.WriteByte('\n')
	for _, row := range t.rows {
		for i, c := range row {
			writeCell(&line, s, c, widths[i], i == len(widths)-1)
		}
		line.WriteByte('\n')
	}
	s.printf("%s", line.String())
}

// shrink takes from the widest column, one by one, until all fit.
func shrink(widths []int, limit int) {
	for {
		total, widest := 2*(len(widths)-1), 0
		for i, w := range widths {
			total += w
			if w > widths[widest] {
				widest = i
			}
		}
		if total <= limit || widths[widest] <= minColumn {
			return
		}
		widths[widest]--
	}
}

func writeCell(b *strings.Builder, s *screen, c cell, width int, last bool) {
	text := c.text
	if n := utf8.RuneCountInString(text); n > width {
		text = string([]rune(text)[:width-1]) + "…"
	}
	b.WriteString(s.paint(c.color, text))
	if !last {
		b.WriteString(strings.Repeat(" ", width-utf8.RuneCountInString(text)+2))
	}
}

// writeDocument prints an answer of the API as JSON: indented for people, in one line for programs.
func writeDocument(s *screen, raw json.RawMessage) error {
	var b bytes.Buffer
	err := json.Compact(&b, raw)
	if s.width > 0 {
		b.Reset()
		err = json.Indent(&b, raw, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("answer of the admin API: %w", err)
	}
	b.WriteByte('\n')
	_, err = b.WriteTo(s)
	return err
}

// since says how long ago a moment was.
func since(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return age(now().Sub(at))
}

// age writes a span with two units at most.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// clockTime writes a moment in the operator's own time zone.
func clockTime(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Local().Format("2006-01-02 15:04:05")
}

func outputFlags(cmd *cobra.Command) { cmd.Flags().Bool("json", false, "Print JSON") }

func watchFlags(cmd *cobra.Command) {
	cmd.Flags().Duration("watch", 0, "Show it again and again, each time after this span")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && cmd.Flags().Changed("watch") { // --watch 5s is read as --watch and an argument
			if _, err := time.ParseDuration(args[0]); err == nil {
				return cmd.Flags().Set("watch", args[0])
			}
		}
		return cobra.NoArgs(cmd, args)
	}
}

// watch shows something once or, with --watch, until it is interrupted.
func watch(cmd *cobra.Command, show func(ctx context.Context, s *screen) error) error {
	every, err := cmd.Flags().GetDuration("watch")
	if err != nil {
		return usageError(err)
	}
	out := newScreen(cmd.OutOrStdout())
	if every == 0 {
		return show(cmd.Context(), out)
	}
	if every < 100*time.Millisecond {
		return usagef("watch %s: want 100ms or more", every)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var b bytes.Buffer // so that the screen does not flicker
		err := show(ctx, &screen{Writer: &b, color: out.color, width: out.width})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if out.width > 0 {
			out.printf(clearScreen)
		}
		if _, err := b.WriteTo(out); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, tailCommand) }

const (
	tailRetry    = 500 * time.Millisecond // between two tries to come back
	tailPatience = 30 * time.Second       // how long a gateway may be away
	maxTailLine  = 1 << 20
)

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tail [<filters>]", Short: "Follows requests and deliveries as they happen", Args: cobra.NoArgs,
		Long: `Follows what happens: requests with their result, attempts, deliveries that come to an end, breakers and pauses. It goes on over reloads of Caddy, and
says so if it was too slow to show everything.`,
		Example: `  caddy webhooks tail --source payments
  caddy webhooks tail --kind request --result refused --json`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	f := cmd.Flags()
	f.String("source", "", "Of this source")
	f.String("provider", "", "Of this provider")
	f.String("destination", "", "About this destination")
	f.String("type", "", "Whose type matches this glob")
	f.String("error", "", "With this reason of a refusal, or class of a failure")
	f.StringSlice("kind", nil, "Only these kinds: request, attempt, delivery, breaker, pause")
	f.StringSlice("result", nil, "Only with these results: accepted, duplicate, refused, handshake, error of requests; open, half-open, closed of breakers; paused, resumed")
	limit := f.Int("limit", 0, "End after this many (default: never)")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		if *limit < 0 || *limit == 0 && cmd.Flags().Changed("limit") {
			return usagef("limit %d: want 1 or more", *limit)
		}
		query, err := tailQuery(cmd)
		if err != nil {
			return err
		}
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		asJSON, err := cmd.Flags().GetBool("json")
		if err != nil {
			return usageError(err)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		f := &follower{client: client, query: query, cmd: cmd, out: newScreen(cmd.OutOrStdout()), asJSON: asJSON, limit: *limit}
		return interrupted(ctx, f.run(ctx))
	})
	return cmd
}

func tailQuery(cmd *cobra.Command) (url.Values, error) {
	query := url.Values{}
	for _, name := range []string{"source", "provider", "destination", "type", "error"} {
		value, err := cmd.Flags().GetString(name)
		if err != nil {
			return nil, usageError(err)
		}
		if value != "" {
			query.Set(name, value)
		}
	}
	for _, name := range []string{"kind", "result"} {
		values, err := cmd.Flags().GetStringSlice(name)
		if err != nil {
			return nil, usageError(err)
		}
		for _, value := range values {
			query.Add(name, value)
		}
	}
	return query, nil
}

// follower reads the stream of what happens, and comes back when a reload ends it.
type follower struct {
	client *adminClient
	query  url.Values
	cmd    *cobra.Command
	out    *screen
	asJSON bool
	limit  int
	shown  int
}

var errTailEnough = errors.New("limit is reached")

func (f *follower) run(ctx context.Context) error {
	connected := now()
	for first := true; ; first = false {
		err := f.stream(ctx, func() { connected = now() })
		var known *commandError
		away := errors.As(err, &known) && known.code == exitUnreachable
		switch {
		case errors.Is(err, errTailEnough):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (!away || first):
			return err
		case now().Sub(connected) > tailPatience:
			return fmt.Errorf("gateway did not come back: %w", err)
		}
		pause := time.NewTimer(tailRetry)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// stream shows items until the stream ends, which is no error: it ends with each reload.
func (f *follower) stream(ctx context.Context, connected func()) error {
	resp, err := f.client.open(ctx, "GET", "tail", f.query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	connected()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxTailLine)
	event := ""
	for lines.Scan() {
		connected()
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if err := f.show(event, []byte(data)); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) show(event string, data []byte) error {
	switch event {
	case "end":
		return nil
	case "missed":
		var missed struct{ Count uint64 }
		if err := json.Unmarshal(data, &missed); err != nil {
			return fmt.Errorf("stream cannot be read: %w", err)
		}
		fmt.Fprintf(f.cmd.ErrOrStderr(), "%d items were missed: too many to follow\n", missed.Count)
		return nil
	}
	if f.asJSON {
		if _, err := fmt.Fprintf(f.out, "%s\n", data); err != nil {
			return err
		}
	} else {
		var item tailItem
		if err := json.Unmarshal(data, &item); err != nil {
			return fmt.Errorf("stream cannot be read: %w", err)
		}
		f.print(&item)
	}
	if f.shown++; f.limit > 0 && f.shown >= f.limit {
		return errTailEnough
	}
	return nil
}

// print shows an item in one line.
func (f *follower) print(i *tailItem) {
	s := f.out
	head := fmt.Sprintf("%s %-8s", i.At.Local().Format("15:04:05.000"), i.Kind)
	var words []string
	add := func(color, word string) {
		if word != "" {
			words = append(words, s.paint(color, printable(word)))
		}
	}
	route := i.Source
	if i.Destination != "" {
		route = strings.TrimPrefix(i.Source+" → "+i.Destination, " → ")
	}
	add(plain, route)
	add(outcomeColor(i), outcomeWord(i))
	add(plain, i.Type)
	add(dim, i.EventID)
	add(dim, i.Event)
	if i.Attempt > 0 {
		add(dim, fmt.Sprintf("attempt %d", i.Attempt))
	}
	if i.DurationMS > 0 {
		add(dim, age(millis(i.DurationMS)))
	}
	if due, err := time.Parse(time.RFC3339Nano, i.Due); err == nil {
		add(yellow, "next in "+age(max(0, due.Sub(i.At))))
	}
	add(dim, i.ClientIP)
	s.printf("%s %s\n", s.paint(dim, head), strings.Join(words, "  "))
}

// outcomeWord says what became of it: the result or state, the status, and the reason.
func outcomeWord(i *tailItem) string {
	word := i.Result
	if word == "" && i.Kind == tailDelivery {
		word = i.State
	}
	if i.Status != 0 {
		word = strings.TrimSpace(fmt.Sprintf("%s %d", word, i.Status))
	}
	if i.Reason != "" {
		word = strings.TrimSpace(word + " " + i.Reason)
	}
	return word
}

func outcomeColor(i *tailItem) string {
	switch {
	case i.Result == resultRefused, i.Result == resultError, i.Result == "open", i.State == "dead":
		return red
	case i.Reason != "", i.Result == resultDuplicate, i.Result == "half-open", i.Result == "paused":
		return yellow
	}
	return green
}

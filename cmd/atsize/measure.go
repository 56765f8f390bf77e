package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// question is a call or a command, and how long its answers took.
type question struct {
	name   string
	ask    func(ctx context.Context) error
	took   []time.Duration
	failed error
}

// patience is how long one answer is waited for.
const patience = 10 * time.Second

func (q *question) once(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begin := time.Now()
	if err := q.ask(ctx); err != nil {
		q.failed = err
	}
	q.took = append(q.took, time.Since(begin))
}

func (q *question) median() time.Duration {
	sorted := slices.Sorted(slices.Values(q.took))
	return sorted[len(sorted)/2]
}

// measure asks every question several times while events arrive.
func measure(ctx context.Context, o *options, g *gateway) error {
	if err := g.ask(ctx, http.MethodPost, "destinations/"+stuck+"/pause", nil); err != nil {
		return fmt.Errorf("pausing: %w", err)
	}
	questions, err := g.questions(ctx)
	if err != nil {
		return err
	}
	if err := g.indexed(ctx); err != nil {
		return fmt.Errorf("waiting for the index of history: %w", err)
	}
	loading, stop := context.WithCancel(ctx)
	type outcome struct {
		accepted, failed uint64
		err              error
	}
	done, started := make(chan outcome, 1), time.Now()
	go func() {
		var out outcome
		out.accepted, out.failed, out.err = g.load(loading, o.rate)
		done <- out
	}()
	for range o.rounds {
		for _, q := range questions {
			if err := ctx.Err(); err != nil {
				stop()
				return errors.Join(err, (<-done).err)
			}
			q.once(ctx)
		}
	}
	stop()
	out := <-done
	fmt.Printf("while %.0f events/s were accepted (%d not)\n", float64(out.accepted)/time.Since(started).Seconds(), out.failed)
	return errors.Join(report(o, questions), out.err)
}

// indexed waits until the store has made its index of what was there when it was opened: then it knows that an id is nowhere.
func (g *gateway) indexed(ctx context.Context) error {
	started := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var problem struct{ Code string }
		if err := g.read(ctx, "events/evt_none", &problem); err != nil {
			return err
		}
		if problem.Code != "search_limit" {
			fmt.Printf("an event that is nowhere is known to be nowhere after %.1f s\n", time.Since(started).Seconds())
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// report prints the figures. What the start of the binary takes is no part of a command's answer.
func report(o *options, questions []*question) error {
	slow := 0
	start := questions[len(questions)-1].median()
	fmt.Printf("%-64s %10s %10s\n", "", "median ms", "worst ms")
	for _, q := range questions {
		note := ""
		switch {
		case q.failed != nil:
			note = "  failed: " + q.failed.Error()
			slow++
		case q == questions[len(questions)-1]:
		case strings.HasPrefix(q.name, "caddy ") && q.median()-start > o.allowed, !strings.HasPrefix(q.name, "caddy ") && q.median() > o.allowed:
			note = "  SLOW"
			slow++
		}
		fmt.Printf("%-64s %10.1f %10.1f%s\n", q.name, millis(q.median()), millis(slices.Max(q.took)), note)
	}
	if slow > 0 {
		return fmt.Errorf("%d of %d did not answer within %s", slow, len(questions), o.allowed)
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// questions are all that an operator asks.
func (g *gateway) questions(ctx context.Context) ([]*question, error) {
	var newest struct{ Events []struct{ ID string } }
	if err := g.read(ctx, "events?limit=1", &newest); err != nil || len(newest.Events) == 0 {
		return nil, fmt.Errorf("newest event: %w", err)
	}
	var out []*question
	for _, path := range []string{
		"status", "series?span=24h", "requests", "sources", "destinations", "destinations/" + stuck, "events", "events?limit=1000",
		"events?source=" + sourceName, "events?destination=" + stuck, "events?destination=" + delivering, "events?state=dead", "events?state=held", "events?state=pending",
		"events?state=delivered", "events?state=cancelled", "events?state=pending&destination=" + delivering, "events?state=held&type=none.*", "events?destination=none", "events?provider=none",
		"events?error=timeout", "events?source=" + sourceName + "&type=none.*", "events?id=evt_none", "events?type=charge.*", "events?type=none.*", "events?error=status", "events?since=1h", "events?until=1h", "events?since=10m&state=dead",
		"events?id=evt_000000007", "events?id=" + newest.Events[0].ID, "events/evt_000000007", "events/evt_none", "events/" + newest.Events[0].ID, "events/" + newest.Events[0].ID + "/payload",
		"export?limit=50", "dead", "dead?destination=" + delivering, "replays", "providers", "providers/stripe", "audit", "quarantine", "doctor",
	} {
		out = append(out, &question{name: "GET " + path, ask: func(ctx context.Context) error { return g.ask(ctx, http.MethodGet, path, nil) }})
	}
	for _, body := range []string{
		`{"filter":{"destination":"` + delivering + `","states":["dead"]},"dry_run":true}`, `{"filter":{"destination":"` + stuck + `","states":["pending"]},"to":"` + delivering + `","dry_run":true}`,
		`{"all":true,"dry_run":true}`,
	} {
		out = append(out, &question{name: "POST replay " + body[:min(len(body), 50)], ask: func(ctx context.Context) error { return g.ask(ctx, http.MethodPost, "replay", []byte(body)) }})
	}
	out = append(out, g.pageQuestions(newest.Events[0].ID)...)
	for _, line := range []string{
		"status", "sources", "destinations", "events", "events --state dead", "events --destination " + stuck, "dead", "show " + newest.Events[0].ID, "show evt_000000007",
		"replay --list", "replay --destination " + delivering + " --dry-run", "audit", "quarantine", "providers",
	} {
		args := append([]string{"webhooks"}, strings.Fields(line)...)
		args = append(args, "--address", "unix/"+g.socket)
		out = append(out, &question{name: "caddy webhooks " + line, ask: func(ctx context.Context) error {
			if text, err := exec.CommandContext(ctx, g.binary, args...).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, text)
			}
			return nil
		}})
	}
	return append(out, &question{name: "(caddy version, the start of the binary alone)", ask: func(ctx context.Context) error {
		return exec.CommandContext(ctx, g.binary, "version").Run()
	}}), nil
}

// pageQuestions are the dashboard's views. event is one that is there.
func (g *gateway) pageQuestions(event string) (out []*question) {
	for _, path := range []string{
		"", "requests", "requests?result=refused", "events", "events?state=held", "events?state=pending", "events?state=dead", "events?destination=" + stuck, "events?type=none.*",
		"events?error=timeout", "events?id=evt_none", "events/" + event, "find?id=evt_000000007", "dead", "dead?destination=" + delivering, "replays",
		"replay?destination=" + delivering + "&state=dead", "destinations", "destination?name=" + stuck, "source?name=" + sourceName, "quarantine", "providers", "providers/stripe", "send", "audit",
	} {
		out = append(out, &question{name: "page /" + path, ask: func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.pages+"/"+path, nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if page, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %.200s: %w", resp.Status, page, err)
			}
			return nil
		}})
	}
	return out
}

func (g *gateway) read(ctx context.Context, path string, v any) error {
	resp, err := g.get(ctx, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(v)
}

func (g *gateway) ask(ctx context.Context, method, path string, body []byte) error {
	resp, err := g.call(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusNotFound && bytes.Contains(answer, []byte(`"not_found"`)) { // of the event that is nowhere
		return nil
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s: %.200s", resp.Status, answer)
	}
	return nil
}
